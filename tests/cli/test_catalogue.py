"""`zoo`, `zoo list` and `zoo info`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_checkpoints
from commands import COMMANDS, refused, run, run_ok
from edits import flip

import zoo
from zoo.errors import InvalidInputError


class TestStart:
    def test_list_and_help_import_nothing_heavy(self) -> None:
        code = f"""
import sys
from zoo import cli
for args in [["list"], ["list", "--json"], ["info", "nice_mnist"], ["--help"], *(
    [command, "--help"] for command in {COMMANDS}
)]:
    try:
        cli.app(args)
    except SystemExit as end:
        assert end.code == 0, (args, end.code)
heavy = ("tensorflow", "keras", "numpy", "h5py", "rich", "PIL", "pydantic", "requests")
print("heavy:", *(name for name in heavy if name in sys.modules))
"""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "heavy:"

    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_documents_the_exit_codes(self, command: str) -> None:
        text = " ".join(run_ok(command, "--help").split())
        assert "Exit codes: 0 done; 1 a check failed" in text
        assert "2 bad usage or bad input" in text

    def test_these_are_all_the_commands(self) -> None:
        text = run_ok("--help").partition("Commands:")[2]
        listed = re.findall(r"^  (\w+)  ", text, flags=re.MULTILINE)
        assert tuple(listed) == COMMANDS

    def test_version(self) -> None:
        assert run_ok("--version") == f"{zoo.__version__}\n"

    def test_an_unknown_command_or_option_is_bad_usage(self) -> None:
        assert run("lst").exit_code == 2
        assert run("list", "--famly", "nice").exit_code == 2

    def test_debug_lets_the_error_through(self, tmp_path: Path) -> None:
        result = run("--debug", "score", "tiny_images", tmp_path / "absent.npy")
        assert isinstance(result.exception, InvalidInputError)


class TestList:
    def test_a_line_a_model(self) -> None:
        lines = run_ok("list").splitlines()
        assert [line.split()[0] for line in lines] == [
            "name",
            "tiny_features",
            "tiny_images",
            "tiny_labels",
            "tiny_recipe",
        ]
        assert (
            lines[2].split()[1:]
            == (
                f"nice mnist:3.0.1 {zoo.info('tiny_images').num_parameters} v1 "
                "4.363 ± 0.012 bits_per_dim"
            ).split()
        )
        assert lines[4].split()[1:] == ["nice", "mnist:3.0.1", "-"]

    @pytest.mark.parametrize(
        ("filters", "names"),
        [
            (["*_images"], ["tiny_images"]),
            (["--family", "made"], ["tiny_labels"]),
            (["--dataset", "magic"], ["tiny_features", "tiny_labels"]),
            (["--no-pretrained"], ["tiny_recipe"]),
            (["--pretrained", "--family", "nice"], ["tiny_features", "tiny_images"]),
            (["none_*"], []),
        ],
        ids=" ".join,
    )
    def test_filters(self, filters: list[str], names: list[str]) -> None:
        assert [row["name"] for row in json.loads(run_ok("list", *filters, "--json"))] == names

    def test_json_holds_the_figures(self) -> None:
        row = json.loads(run_ok("list", "tiny_features", "--json"))[0]
        assert row["metrics"] == tiny_checkpoints.metrics("tiny_features")["metrics"]
        assert row["event_shape"] == [5]
        assert row["pretrained"] is True
        assert row["version"] == 1

    def test_a_damaged_checkpoint_is_said_and_does_not_hide_the_others(self, published) -> None:
        flip(published / "tiny_images" / "metrics.json")
        text = run_ok("list")
        assert "checkpoint refused: IntegrityError" in text
        assert "-23.75 ± 0.25 log_prob" in text


class TestInfo:
    def test_facts_limits_and_card(self) -> None:
        text = run_ok("info", "tiny_images", "--card")
        for part in ("A tiny nice", "arXiv:1410.8516", "Of no use.", "# tiny_images"):
            assert part in text

    def test_json(self) -> None:
        values = json.loads(run_ok("info", "tiny_images", "--json"))
        assert values["event_shape"] == [4, 4, 1]
        assert values["metrics"]["count"] == 10000
        assert values["num_parameters"] == zoo.load("tiny_images").count_params()

    def test_an_unknown_name_gets_close_matches(self) -> None:
        assert "Did you mean 'tiny_images'" in refused(2, "info", "tiny_imges")
