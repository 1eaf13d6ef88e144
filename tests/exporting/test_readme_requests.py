"""The calls in `export/README.md`, run as they stand there against `zoo serve`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from live_server import serve

import zoo
from zoo import exporting

README = Path(zoo.__file__).parent.parent / "export" / "README.md"
TEXT = README.read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(curl .*?)```", TEXT, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of the names and shapes that the file calls."""
    path = tmp_path_factory.mktemp("readme")
    nice = {"event_shape": (28, 28, 1), "hidden_units": (8,), "num_couplings": 2}
    for family, name, config in (
        ("nice", "nice_mnist", nice),
        ("maf", "maf_magic", {"event_shape": (10,), "hidden_units": (8,), "num_layers": 2}),
    ):
        exporting.export(zoo.create(family, name=name, **config), path)
    return path


@pytest.fixture(scope="module")
def localised(exports: Path) -> Iterator[Any]:
    """text -> the text with the addresses of a server that runs."""
    with serve(exports) as addresses:

        def replaced(text: str) -> str:
            text = text.replace("http://localhost:8501", addresses.rest)
            return text.replace("localhost:8500", addresses.grpc)

        yield replaced


def _printed(code: str, capsys: pytest.CaptureFixture[str]) -> str:
    exec(compile(code, str(README), "exec"), {})
    return capsys.readouterr().out


def test_curl(localised: Any) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    answers = []
    for command in SHELL:
        done = subprocess.run(
            ["bash", "-c", localised(command)], capture_output=True, text=True, check=True
        )
        answers.append(json.loads(done.stdout))
    (scores,) = answers[0]["predictions"]
    assert set(scores) == {"log_prob", "bits_per_dim"}
    assert [len(row) for row in answers[1]["outputs"]] == [10, 10]


def test_rest_with_the_standard_library(localised: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert float(_printed(localised(PYTHON[0]), capsys)) > 0.0


def test_grpc(localised: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert _printed(localised(PYTHON[1]), capsys) == "(2, 28, 28, 1)\n"


def test_tensorflow_alone(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exports)
    names: dict[str, Any] = {}
    exec(compile(PYTHON[2], str(README), "exec"), names)
    gradients = names["gradients"]
    assert len(gradients) == len(names["model"].trainable_variables) > 0
    assert all(tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients)


def test_every_block_is_run_here() -> None:
    assert (len(SHELL), len(PYTHON)) == (2, 3)
    assert TEXT.count("```") == 2 * (len(SHELL) + len(PYTHON) + 1)  # and how to start a server
