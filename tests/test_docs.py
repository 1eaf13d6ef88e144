"""Blocks of README, CONTRIBUTING and docs/: commands that exist, Python that runs as it stands.

Here on small models of the same names and shapes; `make slow` runs them on the published ones.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import typer
from documents import DOCUMENTS, ROOT, Block, blocks
from PIL import Image

import zoo
from zoo import cli
from zoo.data import samples

ALL = [block for document in DOCUMENTS for block in blocks(document)]
PYTHON = [block for block in ALL if block.language == "python" and not block.excuse]
SHELL = [block for block in ALL if block.language == "sh" and not block.excuse]
NICE = {"event_shape": (28, 28, 1), "num_couplings": 4, "hidden_units": (8,)}
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "nice_mnist": ("nice", NICE),
    "idf_digits": ("idf", {"event_shape": (8, 8, 1), "num_classes": 17, "hidden_units": (8,)}),
    "realnvp_mnist": (
        "realnvp",
        {"event_shape": (28, 28, 1), "vector": True, "num_couplings": 2, "hidden_units": (8,)},
    ),
    "realnvp_bsds300": ("realnvp", {"event_shape": (63,), "hidden_units": (8,)}),
    "sylvester_vae_mnist": (
        "sylvester_vae",
        {
            "event_shape": (28, 28, 1),
            "preprocessing": {"num_levels": 2, "transform": "unit"},
            "latent_size": 4,
            "num_vectors": 2,
            "hidden_units": (8,),
        },
    ),
    "wavenet_digits": (
        "wavenet",
        {
            "event_shape": (1600,),
            "context_size": 50,
            "context_factors": (10, 5),
            "position_frames": 4,
            "num_stacks": 1,
            "layers_per_stack": 2,
            "residual_channels": 4,
            "skip_channels": 4,
        },
    ),
}


def small(name: str) -> Any:
    family, config = SMALL[name]
    return zoo.create(family, name=name, **config)


def test_blocks_are_found_and_say_why_they_do_not_run() -> None:
    assert len(PYTHON) >= 4
    assert len(SHELL) >= 1
    assert [str(block) for block in ALL if block.language not in ("python", "sh", "", "text")] == []
    assert all(re.search(r"\w \w", block.excuse) for block in ALL if block.excuse)
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        marks = re.findall("^<!-- not run: ", text, re.MULTILINE)
        assert len(marks) == sum(bool(b.excuse) for b in blocks(document))


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_runs_on_small_models(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zoo, "load", small, raising=False)
    for name in ("set_intra_op_parallelism_threads", "set_inter_op_parallelism_threads"):
        monkeypatch.setattr(tf.config.threading, name, lambda count: None)  # once a process
    scope: dict[str, Any] = {}
    exec(compile(block.code, str(block), "exec"), scope)
    check = CHECKS.get(next((mark for mark in CHECKS if mark in block.code), ""))
    if check is not None:
        check(scope, tmp_path)


def _quickstart(scope: dict[str, Any], folder: Path) -> None:
    del folder
    assert scope["images"].shape == (64, 28, 28, 1)
    assert (scope["drawn"].shape, scope["drawn"].dtype) == ((16, 28, 28, 1), "uint8")
    assert scope["latents"].shape == (64, 784)
    assert int(scope["model"].optimizer.iterations) == 2


def _fine_tuning(scope: dict[str, Any], folder: Path) -> None:
    trained = {v.path.split("/")[0] for v in scope["model"].trainable_variables}
    assert trained == {"coupling_2", "coupling_3", "scaling"}
    assert (folder / "fashion.keras").is_file()
    assert list((folder / "export").glob("*/1/saved_model.pb"))


def _vae(scope: dict[str, Any], folder: Path) -> None:
    del folder
    assert scope["fresh"].config.event_shape == (32, 32, 3)


CHECKS = {"list_models(": _quickstart, ".freeze(": _fine_tuning, "reconstruct(": _vae}


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every call of `zoo` in a block of any document, run or not."""
    for block in ALL:
        lines = block.code.replace("\\\n", " ").splitlines() if block.language == "sh" else ()
        for line in lines:
            if line.startswith("zoo "):
                words = shlex.split(line, comments=True)
                end = next((i for i, word in enumerate(words) if word in (">", "|", "&&")), None)
                yield f"{block}: {line}", words[1:end]


def test_commands_have_the_options_that_they_are_given() -> None:
    root = typer.main.get_command(cli.app)
    lines = list(command_lines())
    assert len(lines) > 20
    for line, (name, *words) in lines:
        command = root.commands[name]
        while hasattr(command, "commands"):  # `zoo step export`
            name, *words = words
            command = command.commands[name]
        known = {option for param in command.params for option in param.opts}
        used = {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)}
        assert used <= known, line


def test_every_command_stands_in_the_list_of_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.partition("<!-- commands -->\n```sh\n")[2].partition("```")[0]
    named = {line.split()[1] for line in block.splitlines()}
    assert named == set(typer.main.get_command(cli.app).commands)


@pytest.mark.slow
@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_runs_as_it_stands(block: Block, require_checkpoint: Any, tmp_path: Path) -> None:
    for name in re.findall(r'load\("(\w+)"\)', block.code):
        require_checkpoint(name)
    done = subprocess.run(
        [sys.executable, "-c", block.code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "port.cc" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_run_as_they_stand(block: Block, require_checkpoint: Any, tmp_path: Path) -> None:
    run_shell(block.code, require_checkpoint, tmp_path)


QUICK = "list|info|sample|score|anomalies|impute|doctor|publish nice_mnist"


@pytest.mark.slow
def test_quick_commands_of_the_other_blocks_run(require_checkpoint: Any, tmp_path: Path) -> None:
    code = "".join(block.code for block in ALL if block.language == "sh" and block.excuse)
    lines = [line for line in code.splitlines() if re.match(rf"zoo ({QUICK})\b", line)]
    lines = [line for line in lines if " runs/" not in line]  # a run of one's own
    assert len(lines) >= 9
    run_shell("\n".join(lines), require_checkpoint, tmp_path)


def run_shell(code: str, require_checkpoint: Any, tmp_path: Path) -> None:
    """Runs the commands in a folder that holds the files which they read."""
    for name in re.findall(r"^zoo (?!list|doctor)\w+ (\w+)", code, re.MULTILINE):
        require_checkpoint(name)
    rows = samples("magic")
    table = np.char.mod("%g", rows[:8])
    table[1, 2] = ""
    for name, lines in (
        ("observed", rows[:40]), ("normal", rows[40:240]), ("holes", table), ("table", rows[:8])
    ):  # fmt: skip
        np.savetxt(tmp_path / f"{name}.csv", lines, "%s", delimiter=",")
    np.save(tmp_path / "digits.npy", samples("mnist"))
    Image.fromarray(samples("mnist")[0, ..., 0]).save(tmp_path / "digit.png")
    zoo_is = f'zoo() {{ "{sys.executable}" -m zoo.cli "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-euc", zoo_is + code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
