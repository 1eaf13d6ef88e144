"""A step of every family in TensorFlow and in the runner: losses, resumption, weights and back."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
import tensorflow as tf
from tiny_steps import NO_STEP, REFERENCE_STEPS, RUNNER, SAME_STEP, TINY

from zoo import models, training
from zoo.data import pipeline, sources
from zoo.errors import TrainingError
from zoo.objectives.gradient import nats_of
from zoo.ops.noise import binarized
from zoo.store.weights import WEIGHTS_FILE, load_weights
from zoo.training import portable
from zoo.training.build import build_model, build_objective
from zoo.training.portable import importing
from zoo.training.state import load_state, save_state

TIMES = ("seconds", "rows_per_second")  # all that may differ between two runs of one step


def progress_of(out: Path) -> dict[str, Any]:
    """progress.json without what clocks and folder names decide."""
    progress = json.loads((out / importing.PROGRESS_FILE).read_text())
    progress.pop("reason")
    progress["counters"].pop("seconds")
    for row in progress["history"]:
        for key in TIMES:
            row.pop(key)
    for key in ("state", "weights"):
        progress[key] = progress[key] and [part["sha256"] for part in progress[key]["parts"]]
    return progress


@pytest.fixture(scope="module")
def ran(
    exported: Callable[[str], Path], runner: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], SimpleNamespace]:
    """`ran(family)`: folders of 20 steps in one go and of 10 + 10, and their exit codes."""
    root, runs = tmp_path_factory.mktemp("ran"), {}

    def folders(family: str) -> SimpleNamespace:
        if family not in runs:
            folder, codes = exported(family), []
            whole, halves = root / f"{family}-whole", root / f"{family}-halves"
            for out, steps in ((whole, 20), (halves, 10), (halves, 20)):
                codes.append(runner.main([str(folder), "--out", str(out), "--steps", str(steps)]))
            runs[family] = SimpleNamespace(folder=folder, whole=whole, halves=halves, codes=codes)
        return runs[family]

    return folders


def test_every_family_has_a_tiny_recipe() -> None:
    # A student's step holds its published teacher: the slow tests export it at its own size.
    assert set(TINY) | SAME_STEP == set(models.FAMILIES) - NO_STEP - {"parallel_wavenet"}


@pytest.mark.parametrize("family", TINY)
def test_losses_are_those_of_tensorflow(
    family: str, exported: Callable[[str], Path], runner: ModuleType, capsys: Any
) -> None:
    assert runner.main([str(exported(family)), "--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    losses = [line.split() for line in lines if line.startswith("step ")]
    assert len(losses) == REFERENCE_STEPS
    for words in losses:
        stored, here = float(words[3].rstrip(",")), float(words[5])
        assert here == pytest.approx(stored, rel=1e-5)
    assert (
        len({words[3] for words in losses}) == REFERENCE_STEPS
    )  # every step has a loss of its own


# Steps of each kind: dropout, batch norm and a label, the plain one, a VAE's.
RESUMED = [
    f if f in ("nice", "maf", "made", "iaf_vae") else pytest.param(f, marks=pytest.mark.slow)
    for f in TINY
]


@pytest.mark.parametrize("family", RESUMED)
def test_resumed_is_the_undisturbed_run_bit_for_bit(
    family: str, ran: Callable[[str], SimpleNamespace]
) -> None:
    runs = ran(family)
    assert runs.codes == [0, 0, 0]
    whole, halves = progress_of(runs.whole), progress_of(runs.halves)
    assert whole == halves
    assert whole["counters"]["step"] == 20
    assert [row["step"] for row in whole["history"]] == [5, 10, 15, 20]


@pytest.mark.parametrize("family", RESUMED)
def test_weights_come_back_with_the_log_prob_that_the_runner_saw(
    family: str, ran: Callable[[str], SimpleNamespace], tmp_path: Path
) -> None:
    result = portable.import_step(ran(family).whole, tmp_path, name=family)
    model = build_model(TINY[family], family)
    load_weights(model, tmp_path / WEIGHTS_FILE)
    rows = sources.load_arrays(TINY[family].dataset, "validation")
    x = tf.constant(rows.x)
    if TINY[family].training.binarises:
        x = binarized(x, tf.constant([0, 0]))
    context = None if rows.context is None else tf.constant(rows.context)
    seed = tf.constant([0, 0])
    nats = nats_of(build_objective(TINY[family], model), model, x, context, seed).numpy()
    assert np.std(nats) > 0.0
    assert result.best_validation_nats == pytest.approx(nats.mean(dtype=np.float64), rel=1e-5)


def test_the_row_order_is_that_of_the_pipeline(runner: ModuleType) -> None:
    for rows, seed, epoch in ((96, 3, 0), (1000, 0, 7)):
        expected = pipeline.epoch_order(rows, seed=seed, epoch=epoch)
        np.testing.assert_array_equal(runner.epoch_order(rows, seed=seed, epoch=epoch), expected)


def test_a_loop_on_the_device_gives_the_steps_one_by_one(
    ran: Callable[[str], SimpleNamespace], runner: ModuleType, tmp_path: Path
) -> None:
    runs = ran("maf")
    arguments = [str(runs.folder), "--out", str(tmp_path), "--steps", "20", "--chunk", "3"]
    assert runner.main(arguments) == 0
    looped, stepped = progress_of(tmp_path), progress_of(runs.whole)
    assert looped["counters"]["step"] == 20
    for one, other in zip(looped["history"], stepped["history"], strict=True):
        assert one == pytest.approx(other, rel=1e-5)


# What comes back is a run of `zoo train`.


def test_an_imported_run_is_that_of_zoo_train_and_goes_on(
    ran: Callable[[str], SimpleNamespace], tmp_path: Path
) -> None:
    recipe = TINY["maf"]
    assert recipe.training.jit_compile
    there, here = tmp_path / "there", tmp_path / "here"
    result = portable.import_step(ran("maf").whole, there, name="maf")
    assert (result.step, result.best_step, result.reason) == (20, 20, "step limit")

    def stop_at(step: int) -> Callable[..., None]:
        def progress(done: int, *_: Any) -> None:
            if done == step:
                os.kill(os.getpid(), signal.SIGTERM)

        return progress

    training.train(recipe, here, name="maf", progress=stop_at(20))
    rows = [(folder / "history.csv").read_text().splitlines() for folder in (there, here)]
    assert rows[0][0] == rows[1][0]
    # Measured: 1.1e-4. Adam turns rounding into steps wherever the gradient is zero but for it.
    for one, other in zip(*(map(history_values, lines[1:]) for lines in rows), strict=True):
        assert one == pytest.approx(other, rel=1e-3)
    # Both go on, in TensorFlow, to the same losses.
    results = [
        training.train(recipe, folder, name="maf", resume=True, progress=stop_at(25))
        for folder in (there, here)
    ]
    assert results[0].step == results[1].step == 25
    best = [one.best_validation_nats for one in results]
    assert best[0] == pytest.approx(best[1], rel=1e-3)
    record = json.loads((there / "run.json").read_text())
    assert record["hardware"] == f"{os.cpu_count()} CPU cores"


def history_values(line: str) -> list[float]:
    """A row of history.csv without its times."""
    values = [float(value) for value in line.split(",")]
    return [values[i] for i in (0, 1, 3, 4, 5, 6)]


def test_run_json_says_where_it_was_trained(
    ran: Callable[[str], SimpleNamespace], tmp_path: Path, runner: ModuleType, monkeypatch: Any
) -> None:
    folder = str(ran("made").folder)
    monkeypatch.setattr(runner, "hardware", lambda: "NVIDIA H200")
    assert runner.main([folder, "--out", str(tmp_path / "run"), "--steps", "5"]) == 0
    portable.import_step(tmp_path / "run", tmp_path / "back", name="made")
    record = json.loads((tmp_path / "back" / "run.json").read_text())
    assert record["hardware"] == "NVIDIA H200"
    assert record["software"]["jax"] == jax.__version__
    assert record["step"] == record["best_step"] == 5


def test_an_exported_run_goes_on_where_it_was(
    ran: Callable[[str], SimpleNamespace], runner: ModuleType, tmp_path: Path
) -> None:
    """Out at step 20, back, out again: the second host begins at step 20."""
    portable.import_step(ran("made").whole, tmp_path / "back", name="made")
    folder = portable.export_step(
        TINY["made"],
        tmp_path / "again",
        name="made",
        run_folder=tmp_path / "back",
        resume=True,
        platforms=["cpu"],
    )
    out = tmp_path / "run"
    assert runner.main([str(folder), "--out", str(out), "--steps", "25"]) == 0
    progress = progress_of(out)
    assert [row["step"] for row in progress["history"]] == [5, 10, 15, 20, 25]
    portable.import_step(out, tmp_path / "back", name="made")  # ahead of what lies there
    _, history = state_of(tmp_path / "back")
    assert [row["step"] for row in history] == [5, 10, 15, 20, 25]


def test_weights_that_were_best_before_the_export_stay(
    ran: Callable[[str], SimpleNamespace], runner: ModuleType, tmp_path: Path
) -> None:
    """Out at step 20, and no validation of the second host is better."""
    back, out, recipe = tmp_path / "back", tmp_path / "run", TINY["made"]
    portable.import_step(ran("made").whole, back, name="made")
    step = training.TrainingStep(build_model(recipe, "made"), recipe, 360)
    variables = step.state_variables()
    counters, history = load_state(back / "state.npz", variables, recipe=recipe)
    counters["best_validation_nats"] = -1e9
    save_state(back / "state.npz", variables, recipe=recipe, counters=counters, history=history)
    weights = (back / "model.weights.h5").read_bytes()
    options = {"name": "made", "run_folder": back, "resume": True, "platforms": ["cpu"]}
    folder = portable.export_step(recipe, tmp_path / "again", **options)
    assert runner.main([str(folder), "--out", str(out), "--steps", "25"]) == 0
    assert progress_of(out)["weights"] is None
    with pytest.raises(TrainingError, match=r"of step \d+, are where it was exported from"):
        portable.import_step(out, tmp_path / "elsewhere", name="made")
    result = portable.import_step(out, back, name="made")
    assert (result.step, result.best_step) == (25, counters["best_step"])
    assert (back / "model.weights.h5").read_bytes() == weights


def state_of(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    recipe = TINY["made"]
    step = training.TrainingStep(build_model(recipe, "made"), recipe, 360)
    return load_state(folder / "state.npz", step.state_variables(), recipe=recipe)


# Stopped runs.


def test_out_of_time_saves_the_state(
    exported: Callable[[str], Path], runner: ModuleType, tmp_path: Path, capsys: Any
) -> None:
    arguments = [str(exported("made")), "--out", str(tmp_path), "--max-seconds"]
    assert runner.main([*arguments, "0"]) == 0
    assert "time limit at step 0" in capsys.readouterr().out
    with pytest.raises(AssertionError):  # the first state is saved, and no weights of a validation
        assert progress_of(tmp_path)["weights"]
    assert portable.import_step(tmp_path, tmp_path / "back", name="made").step == 0


def test_killed_and_started_again_is_the_undisturbed_run(
    ran: Callable[[str], SimpleNamespace], tmp_path: Path
) -> None:
    runs, out = ran("made"), tmp_path / "killed"
    command = [sys.executable, str(RUNNER), str(runs.folder), "--out", str(out)]
    command += ["--steps", "20", "--save-seconds", "0"]
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_PLATFORMS": "cpu",
    }
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120.0
    while not (out / importing.PROGRESS_FILE).exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(random.uniform(0.0, 0.05))
    process.kill()
    assert process.wait() in (-signal.SIGKILL, 0)
    assert 0 < progress_of(out)["counters"]["step"] <= 20
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert progress_of(out) == progress_of(runs.whole)
