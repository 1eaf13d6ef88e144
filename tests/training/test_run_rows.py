"""Rows that no run can learn from, and the folders that a run may write to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
from whole_runs import SHORT

from zoo import training
from zoo.core import lazy
from zoo.core.recipe import variant
from zoo.core.row_checks import warn_of_columns
from zoo.data import sources
from zoo.errors import DataError, NonFiniteLossError, TrainingError
from zoo.training.claim import alone
from zoo.training.run import Run

TABLE = variant(tiny_runs.RECIPES["maf"], max_epochs=1, validate_every=0, jit_compile=False)


def changed(monkeypatch: pytest.MonkeyPatch, split: str, change: Any) -> None:
    def load_arrays(dataset: Any, which: str, **options: Any) -> sources.Arrays:
        arrays = tiny_runs.load_arrays(dataset, which, **options)
        if which == split:
            change(arrays.x)
        return arrays

    monkeypatch.setattr(sources, "load_arrays", load_arrays)


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (-np.inf, "-inf")])
def test_a_number_that_is_not_finite_is_named(
    split: str, value: float, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def spoil(x: np.ndarray) -> None:
        x[7, 2] = x[9, 1] = value

    changed(monkeypatch, split, spoil)
    message = rf"row 7, column 2 of the {split} rows of features .* holds {text}, and 2 of"
    with pytest.raises(DataError, match=message):
        training.train(TABLE, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()


def test_constant_and_equal_columns_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def spoil(x: np.ndarray) -> None:
        x[:, 1] = 4.0

    changed(monkeypatch, "train", spoil)
    assert lazy.tfd.Normal  # whose import warns of other things
    with pytest.warns(RuntimeWarning, match=r"features have constant columns: 1 \(counted"):
        training.train(TABLE, tmp_path / "run", max_seconds=0.0)
    x = np.random.default_rng(0).normal(size=(9, 4))
    x[:, 3] = x[:, 0]
    with pytest.warns(RuntimeWarning, match="have equal columns: 3 equals 0"):
        warn_of_columns(x, "rows")
    with pytest.warns(RuntimeWarning, match="constant columns: 0, 1, 2, 3"):
        warn_of_columns(x[:1], "rows")


def test_a_run_that_was_never_validated_finitely_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Run, "_mean_nats", lambda self: float("inf"))
    recipe = variant(TABLE, max_epochs=2)
    for resume in (False, True):
        with pytest.raises(NonFiniteLossError, match=r"None of 2 validations was finite"):
            training.train(recipe, tmp_path, resume=resume)
        record = json.loads((tmp_path / "run.json").read_text())
        assert record["reason"] == "no finite validation"
        assert record["best_validation_nats"] is None
    import zoo

    kept = zoo.load(str(tmp_path))
    rows = tiny_runs.load_arrays(recipe.dataset, "validation")
    assert np.isfinite(kept.log_prob(rows.x, rows.context)).all()


@pytest.mark.parametrize("content", [["SHA256SUMS", "model.weights.h5", "run.json"], ["a.txt"]])
def test_a_folder_of_something_else_is_left_alone(content: list[str], tmp_path: Path) -> None:
    for name in content:
        (tmp_path / name).write_text("mine")
    with pytest.raises(TrainingError, match=rf"no run, {content[0]}.*another --out, or --overwr"):
        training.train(SHORT, tmp_path, max_seconds=0.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == content
    assert all((tmp_path / name).read_text() == "mine" for name in content)


def test_what_is_overwritten_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text("stale")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".notes.tmp").write_text("mine")
    training.train(SHORT, tmp_path, max_seconds=0.0, overwrite=True)
    assert not (tmp_path / "SHA256SUMS").exists()
    assert (tmp_path / "notes.txt").read_text() == (tmp_path / ".notes.tmp").read_text() == "mine"
    with pytest.raises(TrainingError, match="holds a run already"):
        training.train(SHORT, tmp_path, max_seconds=0.0)
    state = (tmp_path / "state.npz").read_bytes()
    with alone(tmp_path), pytest.raises(TrainingError, match="Another training is writing to"):
        training.train(SHORT, tmp_path, overwrite=True)
    assert (tmp_path / "state.npz").read_bytes() == state
    result = training.train(SHORT, tmp_path, max_seconds=0.0, overwrite=True)
    assert result.step == 1


def test_own_temporary_files_alone_are_deleted(tmp_path: Path) -> None:
    training.train(SHORT, tmp_path, max_seconds=0.0)
    mine = [".notes.tmp", ".state.npz.tmp", ".state.npz.mybackup2.tmp", ".x.json.abcdefgh.tmp"]
    litter = [".state.npz.ab_c0123.tmp", ".model.weights.h5.abcdefgh.tmp"]
    for name in (*mine, *litter):
        (tmp_path / name).write_text("")
    training.train(SHORT, tmp_path, max_seconds=0.0, resume=True)
    assert all((tmp_path / name).exists() for name in mine)
    assert not any((tmp_path / name).exists() for name in litter)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_is_refused(backend: str) -> None:
    calls = (
        "import zoo.models.flows.maf",
        "import zoo.kinds.flow",
        "zoo.load('nice_mnist')",
        "zoo.create('maf', event_shape=(3,))",
    )
    program = f"""
import zoo
for call in {calls!r}:
    try:
        exec(call)
    except zoo.ZooError as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(calls)
    for line in lines:
        assert line.startswith("BackendError The zoo's models are TensorFlow's")
        assert f"KERAS_BACKEND={backend}). Before Python starts: unset KERAS_BACKEND" in line
