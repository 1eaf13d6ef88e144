"""Runs of a study: stopped and gone on with, failed, repeated never, side by side."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny_runs
from commands import refused, run_ok

from zoo import registry, training
from zoo.core.study import Arm, Beats, Floor, Study
from zoo.data import sources
from zoo.errors import ConfigError, DataError, NonFiniteLossError
from zoo.registry.entry import Entry
from zoo.studies import results, runs, schedule
from zoo.training.records import TrainingResult

STUDY = Study(
    name="tiny",
    title="Two rates",
    claim="One is better.",
    protocol="Two epochs.",
    arms=(
        Arm(name="slow", entry="tiny"),
        Arm(name="Fast one", entry="tiny", changes=("optimizer.learning_rate=0.01",)),
    ),
    metrics=("bits_per_dim",),
    seeds=(0, 1),
    floors=(Floor(name="eight", where="zoo.evaluation.floors:independent"),),
    expectations=(Beats(arm="Fast one", other="slow", metric="bits_per_dim", seeds=2),),
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        tiny_runs.RECIPES["nice"],
        training=dataclasses.replace(tiny_runs.RECIPES["nice"].training, max_epochs=2),
    )
    entry = Entry(
        name="tiny",
        family="nice",
        title="",
        paper="",
        arxiv="",
        recipe=recipe,
        description="",
        limitations="",
        metrics=("bits_per_dim",),
    )
    monkeypatch.setitem(registry.ENTRIES, "tiny", entry)
    monkeypatch.setitem(registry.STUDIES, "tiny", STUDY)
    monkeypatch.setattr(sources, "load_arrays", tiny_runs.load_arrays)
    monkeypatch.chdir(tmp_path)


def test_a_run_is_stopped_gone_on_with_and_judged(tmp_path: Path) -> None:
    out, arm = tmp_path / "out", STUDY.arms[0]
    stopped = runs.run(STUDY, arm, 1, out, max_seconds=0.0)
    assert stopped["status"] == "stopped"
    assert not runs.recorded(out, arm, 1)
    assert ("slow", 1) in results.pending(STUDY, out)
    record = runs.run(STUDY, arm, 1, out)
    assert (record["status"], record["step"]) == ("done", 12)
    assert json.loads((out / "slow/1/recipe.json").read_text())["training"]["seed"] == 1
    assert record["metrics"]["bits_per_dim"]["value"] > 0.0
    assert record["count"] == tiny_runs.TRAIN_ROWS  # the test rows of these sources
    assert runs.run(STUDY, arm, 1, out) == record  # nothing is done twice
    assert ("slow", 1) not in results.pending(STUDY, out)
    found = results.collect(STUDY, out)
    assert [r["status"] for r in found["runs"]] == ["missing", "done", "missing", "missing"]
    assert not results.is_complete(found)
    assert [floor["seed"] for floor in found["floors"]] == [0, 1]
    changed = dataclasses.replace(arm, changes=("max_epochs=3",))
    with pytest.raises(ConfigError, match="another --out"):
        runs.recorded(out, changed, 1)


def test_how_a_run_fails_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object, **__: object) -> TrainingResult:
        raise NonFiniteLossError("step 3 is not finite")

    monkeypatch.setattr(training, "train", diverge)
    record = runs.run(STUDY, STUDY.arms[1], 0, tmp_path)
    assert (record["status"], "step 3" in record["error"]) == ("failed", True)
    assert runs.recorded(tmp_path, STUDY.arms[1], 0) == record
    assert (tmp_path / "records/fast_one-0.json").is_file()

    def no_data(*_: object, **__: object) -> TrainingResult:
        raise DataError("no rows here")

    monkeypatch.setattr(training, "train", no_data)
    with pytest.raises(DataError):  # the machine's fault: the run is still to come
        runs.run(STUDY, STUDY.arms[1], 1, tmp_path)
    assert not runs.recorded(tmp_path, STUDY.arms[1], 1)


def _record_all(out: Path) -> None:
    """Every run, as if it had been done."""
    for value, (arm, seed) in enumerate((a, s) for a in STUDY.arms for s in STUDY.seeds):
        record = {
            "arm": arm.name,
            "seed": seed,
            "status": "done",
            "recipe": runs.digest(runs.recipe_of(arm, seed)),
            "metrics": {"bits_per_dim": {"value": 5.0 + value}},
        }
        runs.write_json_atomic(runs.record_path(out, arm, seed), record)


def test_the_command_line_runs_what_is_left(tmp_path: Path, monkeypatch) -> None:
    from zoo.store import locate

    monkeypatch.setattr(locate, "PACKAGE", tmp_path / "checkout" / "zoo")
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "pyproject.toml").touch()
    out = tmp_path / "runs/studies/tiny"
    _record_all(out)
    runs.record_path(out, STUDY.arms[0], 0).unlink()
    text = run_ok("study", "tiny", "--table")
    assert "| slow | 6 | 1, 1 missing |" in text
    assert not list(tmp_path.rglob("results.json"))
    text = run_ok("study", "tiny")  # one is left, which runs here
    assert "slow, seed 0: done" in text
    assert "| Fast one | 7.50 ± 0.71 | 2 |" in text
    found = json.loads((tmp_path / "checkout/benchmarks/studies/tiny.json").read_text())
    assert found == json.loads((out / "results.json").read_text())
    assert [run["status"] for run in found["runs"]] == ["done"] * 4


def test_the_command_line_refuses() -> None:
    assert "--list" in refused(2, "study")
    assert "no study named" in refused(2, "study", "nothing").lower()
    assert "has no arm 'middle'" in refused(2, "study", "tiny", "--arm", "middle")
    assert "no seed 7; it has 0, 1" in refused(2, "study", "tiny", "--seed", 7)
    assert "posteriors_mnist" in run_ok("study", "--list")


def test_processes_run_side_by_side_and_are_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that waits until another one has begun; then a signal, which is passed on."""
    script = (
        "import pathlib, signal, sys, time; me, other = map(pathlib.Path, sys.argv[1:]);"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); me.touch();"
        "[time.sleep(0.02) for _ in range(1500) if not other.exists()]; sys.exit(int(me.name))"
    )

    def start(arguments: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen:
        assert int(environment["TF_NUM_INTRAOP_THREADS"]) >= 1
        return subprocess.Popen([sys.executable, "-c", script, *arguments])

    monkeypatch.setattr(schedule, "_started", start)
    monkeypatch.setattr(schedule, "_POLL_SECONDS", 0.02)
    codes: dict[tuple[str, int], int] = {}

    def scheduled(others: dict[int, str], processes: int) -> str:
        return schedule.in_processes(
            [("arm", seed) for seed in others],
            lambda child: [str(tmp_path / str(child[1])), str(tmp_path / others[child[1]])],
            processes=processes,
            log=lambda child: tmp_path / "log",
            ended=codes.__setitem__,
        )

    assert scheduled({0: "1", 1: "0", 2: "0"}, 2) == ""
    assert codes == {("arm", 0): 0, ("arm", 1): 1, ("arm", 2): 2}

    def interrupt() -> None:
        while not (tmp_path / "3").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert scheduled({3: "never", 4: "never"}, 1) == "signal SIGINT"
    assert codes[("arm", 3)] == 7
    assert ("arm", 4) not in codes  # not begun any more
