"""What the commands share: the application, its errors and exit codes, arguments, output."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

import zoo
from zoo import loading, registry
from zoo.core import recipe_json
from zoo.errors import CheckpointError, TrainingError, ZooError
from zoo.media.console import import_tensorflow, waiting
from zoo.store.files import read_object
from zoo.store.folder import RECIPE_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zoo.core.recipe import Recipe
    from zoo.kinds.model import ZooModel

__all__ = [
    "BAD_INPUT",
    "EXIT_CODES",
    "FAILED",
    "SIGNALLED",
    "AsJson",
    "Context",
    "Name",
    "RegistryName",
    "app",
    "complain",
    "complaining",
    "loaded",
    "main",
    "print_json",
    "recipe_of",
]

FAILED = 1
BAD_INPUT = 2
SIGNALLED = 128  # plus the signal's number, as shells have it

EXIT_CODES = """
Exit codes: 0 done; 1 a check failed, a checkpoint is missing or damaged, or a training was stopped
by an error; 2 bad usage or bad input; 128 + N signal N ended a training, its state saved, or a
server.
"""


COMMAND_ORDER = (
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
)


class _Group(typer.core.TyperGroup):
    """Turns the zoo's own errors, and those of files, into a line on stderr and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order of their use."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: (*COMMAND_ORDER, name).index(name))

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except ZooError as error:
            if ctx.params.get("debug"):
                raise
            complain(str(error))
            failed = isinstance(error, CheckpointError | TrainingError)
            raise typer.Exit(FAILED if failed else BAD_INPUT) from error
        except BrokenPipeError:
            raise  # the reader has gone: the framework ends quietly
        except OSError as error:
            if ctx.params.get("debug"):
                raise
            complain(str(error))
            raise typer.Exit(FAILED) from error


app = typer.Typer(
    name="zoo",
    cls=_Group,
    help="Normalizing flows with weights: list them, score, sample, train, evaluate, export.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Name = Annotated[str, typer.Argument(help="One of `zoo list`, or the path of a checkpoint folder.")]
RegistryName = Annotated[str, typer.Argument(help="One of `zoo list`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Context = Annotated[
    str | None,
    typer.Option(
        help="For conditional models: a label, numbers 0.5,2 or COLUMN=VALUE,… for every row, or a "
        "file with a context a row."
    ),
]


def main() -> None:
    """The console script."""
    app(prog_name="zoo")


def _version(value: bool) -> None:  # noqa: FBT001  # called by typer
    if value:
        print(zoo.__version__)
        raise typer.Exit


@app.callback()
def _common(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del debug, version


def loaded(name: str) -> ZooModel:
    """The model of that name or folder, with a line of progress while it loads."""
    import_tensorflow()
    with waiting(f"loading {name}"):
        return loading.load(name)


def recipe_of(name: str) -> Recipe:
    """The recipe of a name, or of a folder that `zoo train` or a release wrote.

    Raises UnknownModelError or CheckpointError where there is none.
    """
    if loading.is_folder(name):
        return recipe_json.from_dict(read_object(Path(name) / RECIPE_FILE))
    return registry.get(name).recipe


def print_json(value: Any) -> None:
    """The value as indented JSON on stdout; NaN and infinities, which JSON lacks, are null."""
    print(json.dumps(_finite(value), indent=2, default=str, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def complaining() -> Iterator[None]:
    """Says each warning of what is done inside once, as a line on stderr."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        finally:
            for message in dict.fromkeys(
                str(w.message) for w in told if issubclass(w.category, UserWarning)
            ):
                complain(message)


def complain(message: str) -> None:
    """A line on stderr."""
    print(f"zoo: {message}", file=sys.stderr)
