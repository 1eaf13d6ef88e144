"""What tests of the command line share."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from zoo import cli

SUFFIXES = (".npy", ".npz", ".png")
COMMANDS = (
    "list",
    "info",
    "download",
    "cache",
    "sample",
    "score",
    "anomalies",
    "impute",
    "compress",
    "decompress",
    "ask",
    "fit",
    "train",
    "step",
    "evaluate",
    "study",
    "plot",
    "export",
    "convert",
    "serve",
    "publish",
    "verify",
    "doctor",
)


def run(*args: object) -> Result:
    return CliRunner().invoke(cli.app, [str(arg) for arg in args])


def run_ok(*args: object) -> str:
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(code: int, *args: object) -> str:
    """The one line of an error, after checking its exit code and that nothing else was said."""
    result = run(*args)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("zoo: ")
    assert "Traceback" not in result.stderr
    return result.stderr
