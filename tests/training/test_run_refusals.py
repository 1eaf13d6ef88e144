"""What a run refuses, and states that cannot be read."""

from __future__ import annotations

import io
import json
import os
import signal
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_runs
from whole_runs import (
    SHORT,
    assert_same_run,
    state_of,
)

from zoo import training
from zoo.core.recipe import Optimizer, variant
from zoo.errors import (
    DataError,
    FormatError,
    MissingCheckpointError,
    TrainingError,
)
from zoo.training.run import Run
from zoo.training.signals import StopRequests
from zoo.training.state import STATE_VERSION, load_state


def test_resume_without_a_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingCheckpointError, match=r"Nothing to resume.*Leave out --resume"):
        training.train(SHORT, tmp_path / "nothing", resume=True)


def test_a_folder_with_a_state_is_not_overwritten(finished: SimpleNamespace) -> None:
    before = (finished.folder / "state.npz").read_bytes()
    with pytest.raises(TrainingError, match="holds a run already: use --resume"):
        training.train(SHORT, finished.folder)
    assert (finished.folder / "state.npz").read_bytes() == before


def test_another_recipe_is_refused_on_resume(finished: SimpleNamespace) -> None:
    other = variant(SHORT, l2=0.5, optimizer=Optimizer(learning_rate=0.1))
    before = (finished.folder / "state.npz").read_bytes()
    with pytest.raises(TrainingError, match=r"recipe with other optimizer, l2;"):
        training.train(other, finished.folder, resume=True)
    assert (finished.folder / "state.npz").read_bytes() == before


def damaged(state: bytes, how: str) -> bytes:
    if how == "truncated":
        return state[: len(state) // 2]
    if how == "flipped byte":
        middle = len(state) // 2
        return state[:middle] + bytes([state[middle] ^ 0xFF]) + state[middle + 1 :]
    return b""


@pytest.mark.parametrize("how", ["truncated", "flipped byte", "empty"])
def test_a_damaged_state_is_refused(how: str, finished: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "state.npz").write_bytes(damaged((finished.folder / "state.npz").read_bytes(), how))
    with pytest.raises(FormatError, match=r"state\.npz cannot be read"):
        training.train(SHORT, tmp_path, resume=True)


def test_a_damaged_state_gives_way_to_the_one_before(
    finished: SimpleNamespace, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    training.train(SHORT, folder, max_seconds=0.0)  # saved at step 0 and at step 1
    before = state_of(folder)[0]["counters"]["step"]
    good = (folder / "state.previous.npz").read_bytes()
    for how in ("truncated", "empty"):
        state = (folder / "state.npz").read_bytes()
        (folder / "state.npz").write_bytes(damaged(state, how))
        with pytest.warns(RuntimeWarning, match=r"going on from the state before it, of step 0\."):
            run = Run(SHORT, folder, "short", resume=True, initial_weights="")
        assert (before, run.counters["step"]) == (1, 0)
        # The good state takes the damaged one's place, and is not the next to be pushed out.
        assert (folder / "state.npz").read_bytes() == good
        (folder / "state.npz").unlink()
        (folder / "state.npz").write_bytes(state)
    (folder / "state.npz").write_bytes(b"")
    with pytest.warns(RuntimeWarning, match="going on from the state before it"):
        training.train(SHORT, folder, resume=True)
    assert_same_run(folder, finished.folder)


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    litter = tmp_path / ".state.npz.ab_c0123.tmp"
    litter.write_bytes(b"half of a state")
    training.train(SHORT, tmp_path, max_seconds=0.0)
    assert not litter.exists()


def test_a_newer_state_is_refused(finished: SimpleNamespace, tmp_path: Path) -> None:
    with np.load(finished.folder / "state.npz") as file:
        arrays = {key: file[key] for key in file.files}
    meta = {**json.loads(bytes(arrays["meta"])), "version": STATE_VERSION + 1}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(tmp_path / "state.npz", **arrays)
    with pytest.raises(FormatError, match="state version 2; this zoo reads 1"):
        training.train(SHORT, tmp_path, resume=True)


def test_fewer_rows_than_a_batch_are_refused(tmp_path: Path) -> None:
    recipe = variant(SHORT, batch_size=tiny_runs.TRAIN_ROWS + 1)
    with pytest.raises(DataError, match=r"at least one batch of 97 rows.*got 96"):
        training.train(recipe, tmp_path)


def forged(path: Path, meta: dict[str, Any] | None = None, **arrays: np.ndarray) -> None:
    """The state with another record, or other arrays."""
    with np.load(path) as file:
        found = {key: file[key] for key in file.files}
    old = json.loads(bytes(found["meta"]))
    record = json.dumps({**old, **(meta or {})})
    found["meta"] = np.frombuffer(record.encode(), np.uint8)
    np.savez(path, **{**found, **arrays})


FORGED = {
    "no step": {"counters": {"best_validation_nats": "inf"}},
    "a step that is no number": {"counters": {"step": "7", "best_validation_nats": "inf"}},
    "a step below zero": {"counters": {"step": -1, "best_validation_nats": "inf"}},
    "a best that is no number": {"counters": {"step": 1, "best_validation_nats": "good"}},
    "no counters": {"counters": None},
    "a history that is none": {"history": "long"},
    "a history of something else": {"history": [{"command": "rm"}]},
    "no recipe": {"recipe": {}},
    "a recipe that is none": {"recipe": 7},
    "a deep record": {"recipe": json.loads("[" * 60 + "]" * 60)},
}


@pytest.mark.parametrize("meta", FORGED.values(), ids=FORGED)
def test_a_forged_record_is_refused(
    meta: dict[str, Any], finished: SimpleNamespace, tmp_path: Path
) -> None:
    state = tmp_path / "state.npz"
    state.write_bytes((finished.folder / "state.npz").read_bytes())
    forged(state, meta)
    with pytest.raises(FormatError, match=r"state\.npz cannot be read: "):
        load_state(state, [], recipe=SHORT)


def test_arrays_are_compared_before_they_have_memory(
    finished: SimpleNamespace, tmp_path: Path
) -> None:
    """A header may declare any shape."""
    state = tmp_path / "state.npz"
    state.write_bytes((finished.folder / "state.npz").read_bytes())
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
    )
    with zipfile.ZipFile(state, "a") as archive:
        archive.writestr("variable_9999.npy", header.getvalue())
    with pytest.raises(FormatError, match="arrays that are not this recipe's variables"):
        load_state(state, [], recipe=SHORT)


def test_a_state_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state.npz")
    with pytest.raises(FormatError, match="is a pipe"):
        load_state(tmp_path / "state.npz", [], recipe=SHORT)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_signals_ask_to_stop(name: str) -> None:
    before = signal.getsignal(signal.SIGHUP)
    with StopRequests() as stop:
        signal.raise_signal(signal.Signals[name])
        assert stop.reason == f"signal {name}"
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_hangup_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `nohup` starts a program."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequests() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.reason
    finally:
        signal.signal(signal.SIGHUP, before)
