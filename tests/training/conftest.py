"""Rows that are the same in every process, and one whole run for all tests of a file."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tiny_runs
from whole_runs import (
    SHORT,
)

from zoo import training
from zoo.data import sources


@pytest.fixture(autouse=True)
def _tiny_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "load_arrays", tiny_runs.load_arrays)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """`SHORT`, trained to its end."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    calls: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "load_arrays", tiny_runs.load_arrays)
        result = training.train(
            SHORT, folder, name="short", progress=lambda step, total, _: calls.append((step, total))
        )
    return SimpleNamespace(folder=folder, result=result, calls=calls)
