"""Training: killed runs that go on bit for bit, one step against NumPy, and every way to stop."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_families
import tiny_runs

import zoo
from zoo import models, training
from zoo.core.recipe import Optimizer, Recipe
from zoo.data import pipeline, sources
from zoo.errors import (
    ConfigError,
    DataError,
    FormatError,
    InvalidInputError,
    MissingCheckpointError,
    NonFiniteLossError,
    TrainingError,
)
from zoo.models import build
from zoo.store.weights import save_weights
from zoo.training.run import Run, build_model
from zoo.training.start import assign_shared
from zoo.training.state import STATE_VERSION

DRIVER = Path(tiny_runs.__file__)
TIMES = ("seconds", "rows_per_second")  # all that may differ between two runs of one recipe

# Where the runs of `tiny_runs` are stopped: name, a step in this range, and by which signal.
STOPS = (
    ("nice", (20, 120), signal.SIGTERM),
    ("nice", (200, 320), signal.SIGKILL),
    ("realnvp", (20, 320), signal.SIGKILL),
    ("maf", (20, 320), signal.SIGKILL),
)


@pytest.fixture(autouse=True)
def _tiny_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "load_arrays", tiny_runs.load_arrays)


def state_of(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(meta without what a clock decides, arrays) of a run's state."""
    with np.load(folder / "state.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(bytes(arrays.pop("meta")))
    del meta["counters"]["seconds"]
    for row in meta["history"]:
        for key in TIMES:
            del row[key]
    return meta, arrays


def assert_same_run(actual: Path, expected: Path) -> None:
    """Every weight, moment, average, counter and figure is the same, bit for bit."""
    meta, arrays = state_of(actual)
    expected_meta, expected_arrays = state_of(expected)
    assert meta == expected_meta
    assert arrays.keys() == expected_arrays.keys()
    for key, array in arrays.items():
        assert array.dtype == expected_arrays[key].dtype
        assert array.tobytes() == expected_arrays[key].tobytes(), key
    best, expected_best = best_weights(actual), best_weights(expected)
    assert best.keys() == expected_best.keys()
    for key, array in best.items():
        assert array.tobytes() == expected_best[key].tobytes(), key
    rows = [read_history(folder) for folder in (actual, expected)]
    assert rows[0] == rows[1]


def best_weights(folder: Path) -> dict[str, np.ndarray]:
    arrays = {}

    def collect(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            arrays[name] = node[()]

    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(collect)
    assert arrays
    return arrays


def read_history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


# Killed runs.


def start(folder: Path) -> subprocess.Popen[str]:
    with (folder.parent / f"{folder.name}.err").open("a") as errors:
        return subprocess.Popen(
            [sys.executable, "-u", str(DRIVER), str(folder)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def stop(process: subprocess.Popen[str], folder: Path, plan: tuple[Any, ...]) -> SimpleNamespace:
    """Lets a process reach the planned step, sends the signal a little later, waits for its end."""
    name, steps, number = plan
    rng = np.random.default_rng()
    step, delay = int(rng.integers(*steps)), rng.uniform(0.0, 0.05)
    second = ""
    for line in process.stdout:
        if not line.endswith("\n"):  # cut off by the kill
            continue
        last_line = line.split()
        if last_line == [name, str(step)]:
            try:  # while the process holds the folder
                training.train(tiny_runs.RECIPES[name], folder / name)
            except TrainingError as error:
                second = str(error)
            time.sleep(delay)
            process.send_signal(number)
    return SimpleNamespace(
        name=name,
        number=number,
        planned=step,
        status=process.wait(),
        last_line=last_line,
        saved_step=state_of(folder / name)[0]["counters"]["step"],
        second=second,
    )


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The runs of `tiny_runs`, once undisturbed and once stopped at every one of `STOPS`."""
    root = tmp_path_factory.mktemp("stopped")
    stops = []
    with start(root / "undisturbed") as undisturbed:
        drained = threading.Thread(target=undisturbed.stdout.read, daemon=True)
        drained.start()
        try:
            for plan in STOPS:
                with start(root / "stopped") as process:
                    stops.append(stop(process, root / "stopped", plan))
            with start(root / "stopped") as process:
                last_line = process.stdout.readlines()[-1]
            drained.join()
        except BaseException:
            undisturbed.kill()
            raise
    assert undisturbed.returncode == 0, (root / "undisturbed.err").read_text()
    assert process.returncode == 0, (root / "stopped.err").read_text()
    return SimpleNamespace(root=root, stops=stops, last_line=last_line)


@pytest.mark.parametrize("name", tiny_runs.RECIPES)
def test_killed_and_resumed_is_the_undisturbed_run(name: str, stopped: SimpleNamespace) -> None:
    assert_same_run(stopped.root / "stopped" / name, stopped.root / "undisturbed" / name)


def test_kills_hit_running_processes(stopped: SimpleNamespace) -> None:
    assert stopped.last_line == "maf finished\n"
    total = tiny_runs.STEPS_PER_EPOCH * 60
    for stop in stopped.stops:
        assert 0 < stop.saved_step < total
        if stop.number == signal.SIGKILL:
            assert stop.status == -signal.SIGKILL
            assert stop.last_line[0] == stop.name
            assert stop.planned <= int(stop.last_line[1]) < total


def test_sigterm_saves_the_state_of_its_step_and_exits_cleanly(stopped: SimpleNamespace) -> None:
    (stop,) = [stop for stop in stopped.stops if stop.number == signal.SIGTERM]
    assert stop.status == 0
    assert stop.last_line == [stop.name, "signal", "SIGTERM"]
    assert stop.saved_step >= stop.planned


def test_two_trainings_on_one_directory_are_refused(stopped: SimpleNamespace) -> None:
    for stop in stopped.stops:
        assert "Another training is writing to" in stop.second


# One whole run in this process.

SHORT = dataclasses.replace(
    tiny_runs.RECIPES["nice"],
    max_epochs=10,
    validate_every=7,
    dataset=tiny_runs.RECIPES["nice"].dataset,
)
SHORT_STEPS = 10 * tiny_runs.STEPS_PER_EPOCH


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


def test_the_loss_decreases(finished: SimpleNamespace) -> None:
    rows = read_history(finished.folder)
    for column in ("train_nats", "validation_nats"):
        assert float(rows[-1][column]) < float(rows[0][column]) - 5.0


def test_the_result_and_run_json_say_how_it_ended(finished: SimpleNamespace) -> None:
    result = finished.result
    assert (result.reason, result.step, result.epoch) == ("finished", SHORT_STEPS, 10)
    assert finished.calls == [(step, SHORT_STEPS) for step in range(1, SHORT_STEPS + 1)]
    record = json.loads((finished.folder / "run.json").read_text())
    assert (record["name"], record["reason"]) == ("short", "finished")
    assert record["step"] == SHORT_STEPS
    assert record["best_validation_nats"] == result.best_validation_nats
    assert record["train_hours"] == round(result.seconds / 3600, 3)
    assert record["software"]["tensorflow"] == tf.__version__


def test_history_has_a_row_for_every_validation(finished: SimpleNamespace) -> None:
    with (finished.folder / "history.csv").open(newline="") as file:
        table = csv.DictReader(file)
        rows = list(table)
    assert table.fieldnames == [
        "step",
        "epoch",
        "seconds",
        "learning_rate",
        "train_nats",
        "validation_nats",
        "validation_bits_per_dim",
        "rows_per_second",
    ]
    steps = [*range(7, SHORT_STEPS, 7), SHORT_STEPS]
    assert [int(row["step"]) for row in rows] == steps
    for row, step in zip(rows, steps, strict=True):
        assert float(row["epoch"]) == pytest.approx(step / tiny_runs.STEPS_PER_EPOCH, abs=1e-4)
        bits = float(row["validation_nats"]) / (16 * math.log(2.0))
        assert float(row["validation_bits_per_dim"]) == pytest.approx(bits)
        rate = scheduled_rate(SHORT.optimizer, step, SHORT_STEPS)
        assert float(row["learning_rate"]) == pytest.approx(rate, rel=1e-5)
        speed = step * SHORT.batch_size / float(row["seconds"])
        assert float(row["rows_per_second"]) == pytest.approx(speed, rel=0.02)


def test_the_published_weights_are_those_of_the_best_validation(finished: SimpleNamespace) -> None:
    model = zoo.load(str(finished.folder))
    rows = tiny_runs.load_arrays(SHORT.dataset, "validation")
    nats = -np.mean(model.log_prob(rows.x).numpy(), dtype=np.float64)
    best = min(read_history(finished.folder), key=lambda row: float(row["validation_nats"]))
    assert nats == pytest.approx(float(best["validation_nats"]), rel=1e-5)
    assert finished.result.best_step == int(best["step"])
    assert finished.result.best_validation_nats == float(best["validation_nats"])


def test_the_published_weights_are_the_averages(finished: SimpleNamespace) -> None:
    assert finished.result.best_step == SHORT_STEPS  # so that the state holds the same averages
    weights = [v.numpy() for v in zoo.load(str(finished.folder)).trainable_variables]
    _, arrays = state_of(finished.folder)
    averages = [arrays[key] for key in sorted(arrays)][-len(weights) :]
    for weight, average in zip(weights, averages, strict=True):
        np.testing.assert_array_equal(weight, average)


def test_tensorboard_gets_the_same_figures(finished: SimpleNamespace) -> None:
    (path,) = (finished.folder / "logs").iterdir()
    logged: dict[str, dict[int, float]] = {}
    for record in tf.data.TFRecordDataset(str(path)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            logged.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    rows = read_history(finished.folder)
    for tag in ("train_nats", "validation_nats", "validation_bits_per_dim", "learning_rate"):
        expected = {int(row["step"]): float(row[tag]) for row in rows}
        assert logged[tag] == pytest.approx(expected, rel=1e-6)


def test_time_limit_saves_and_resumes_to_the_same_weights(
    finished: SimpleNamespace, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    result = training.train(SHORT, folder, max_seconds=0.0)
    assert (result.reason, result.step) == ("time limit", 1)
    assert training.train(SHORT, folder, resume=True).reason == "finished"
    assert_same_run(folder, finished.folder)


def test_a_finished_run_stays_as_it_is_when_resumed(
    finished: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, weights = state_of(finished.folder)
    result = training.train(SHORT, finished.folder, resume=True)
    assert (result.reason, result.step) == ("finished", SHORT_STEPS)
    after, same = state_of(finished.folder)
    assert after == before
    for key, array in weights.items():
        np.testing.assert_array_equal(array, same[key])


# Refusals.


def test_resume_without_a_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingCheckpointError, match=r"Nothing to resume.*Leave out --resume"):
        training.train(SHORT, tmp_path / "nothing", resume=True)


def test_a_folder_with_a_state_is_not_overwritten(finished: SimpleNamespace) -> None:
    before = (finished.folder / "state.npz").read_bytes()
    with pytest.raises(TrainingError, match="holds a run already: use --resume"):
        training.train(SHORT, finished.folder)
    assert (finished.folder / "state.npz").read_bytes() == before


def test_another_recipe_is_refused_on_resume(finished: SimpleNamespace) -> None:
    other = dataclasses.replace(SHORT, l2=0.5, optimizer=Optimizer(learning_rate=0.1))
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
    finished: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    litter = tmp_path / ".state.npz.abc.tmp"
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
    recipe = dataclasses.replace(SHORT, batch_size=tiny_runs.TRAIN_ROWS + 1)
    with pytest.raises(DataError, match=r"at least one batch of 97 rows.*got 96"):
        training.train(recipe, tmp_path)


# Stopping.


def test_early_stopping_counts_validations_without_gain(tmp_path: Path) -> None:
    """At learning rate 0 the first validation is the best; two more, and the patience is over."""
    recipe = dataclasses.replace(
        SHORT, optimizer=Optimizer(learning_rate=0.0), patience=2, validate_every=3
    )
    for resume in (False, True):  # a stopped run does not train on when it is resumed
        result = training.train(recipe, tmp_path / "run", resume=resume)
        assert (result.reason, result.step, result.best_step) == ("early stopping", 9, 3)


def test_nan_in_a_weight_stops_the_run_and_leaves_sound_files(
    finished: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = []

    def remembered(*args: Any, **kwargs: Any) -> Any:
        models.append(build(*args, **kwargs))
        return models[-1]

    def poison(step: int, *_: Any) -> None:
        if step == 23:
            monkeypatch.setattr("zoo.training.run.SAVE_SECONDS", 1000.0)
            bias = models[0].shift_networks[1].output_layer.bias
            bias.assign(np.full(bias.shape, np.nan))

    monkeypatch.setattr("zoo.training.run.build", remembered)
    monkeypatch.setattr("zoo.training.run.SAVE_SECONDS", 0.0)
    folder = tmp_path / "run"
    with pytest.raises(NonFiniteLossError, match=r"Step 23: loss nan nats.*bijector 'coupling_1'"):
        training.train(SHORT, folder, progress=poison)
    meta, arrays = state_of(folder)
    assert meta["counters"]["step"] == 22
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert np.isfinite(zoo.load(str(folder)).log_prob(np.zeros((1, 4, 4, 1), "uint8"))).all()
    training.train(SHORT, folder, resume=True)
    assert_same_run(folder, finished.folder)


def test_a_learning_rate_that_diverges_is_named(tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        tiny_runs.RECIPES["maf"], optimizer=Optimizer(learning_rate=1e25), jit_compile=False
    )
    with pytest.raises(NonFiniteLossError, match=r"Step [1-9]\d*: .*bijector 'made_0'") as error:
        training.train(recipe, tmp_path)
    assert "lower optimizer.learning_rate" in str(error.value)
    assert all(np.isfinite(array).all() for array in state_of(tmp_path)[1].values())


def test_nan_in_the_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = dataclasses.replace(
        tiny_runs.RECIPES["maf"], jit_compile=False, max_epochs=1, validate_every=100
    )
    batches = pipeline.epoch_order(tiny_runs.TRAIN_ROWS, seed=recipe.seed, epoch=0).reshape(-1, 16)

    def with_a_hole(dataset: Any, split: str) -> sources.Arrays:
        arrays = tiny_runs.load_arrays(dataset, split)
        if split == "train":
            arrays.x[batches[3, 5], 1] = np.nan
        return arrays

    monkeypatch.setattr(sources, "load_arrays", with_a_hole)
    monkeypatch.setattr(Run, "_initialize", lambda *_: None)  # whitening would see it
    with pytest.raises(NonFiniteLossError, match=r"Step 3: .*comes from the data"):
        training.train(recipe, tmp_path)


def test_a_model_without_bijectors_blames_its_networks() -> None:
    recipe = tiny_families.RECIPES["wavenet"]
    model = build(recipe.family, recipe.config)
    run = SimpleNamespace(model=model, recipe=recipe, _report=Run._report)
    message = Run._culprit(run, 3, math.inf, math.nan, *tiny_families.rows(recipe))
    assert message.startswith("Step 3: loss inf nats, gradient norm nan; ")
    assert "comes from the networks. " in message


def test_a_symmetric_flow_names_a_bijector_within() -> None:
    config = {"event_shape": (8,), "num_units": 6, "num_blocks": 1, "num_layers": 2}
    model = models.create("nsf_coupling", **config, square_positions=8)
    model.linears[1].bias.assign(tf.fill([8], np.nan))
    recipe = dataclasses.replace(tiny_runs.RECIPES["maf"], family="nsf_coupling")
    run = SimpleNamespace(model=model, recipe=recipe, _report=Run._report)
    message = Run._culprit(run, 3, math.nan, math.nan, np.ones((2, 8), "float32"), None)
    assert "comes from bijector 'linear_1'. " in message


def test_an_objective_that_fails_is_named() -> None:
    recipe = tiny_families.RECIPES["nice"]
    model = build(recipe.family, recipe.config)
    model.learn_from(tiny_families.teacher)
    run = SimpleNamespace(model=model, recipe=recipe, _report=Run._report)
    message = Run._culprit(run, 3, math.nan, math.nan, *tiny_families.rows(recipe))
    assert "comes from the objective function. " in message


@pytest.mark.parametrize(("dtype", "rounded"), [("float32", False), ("tensorfloat32", True)])
def test_products_are_rounded_where_the_recipe_says_so(
    dtype: Any, rounded: bool, tmp_path: Path
) -> None:
    """On a CPU the switch of TensorFlow changes nothing; a GPU obeys it."""
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    before, told = enabled(), []
    recipe = dataclasses.replace(tiny_runs.RECIPES["maf"], conditioner_dtype=dtype, max_epochs=1)
    training.train(recipe, tmp_path, name="maf", progress=lambda *_: told.append(enabled()))
    assert set(told) == {rounded}
    assert enabled() == before


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("maf", {"shift_pixels": 1}, "for images"),
        ("maf", {"horizontal_flips": True}, "for images"),
        ("nice", {"patch_symmetries": True}, "rows of side"),
    ],
)
def test_augmentation_of_other_events_is_refused(
    family: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    recipe = tiny_runs.RECIPES[family]
    shape = {"maf": (3,), "nice": (4, 4, 1)}[family]
    recipe = dataclasses.replace(recipe, config=recipe.config | {"event_shape": shape}, **changes)
    with pytest.raises(ConfigError, match=message):
        build_model(recipe, "tiny")


# One step against NumPy.


def scheduled_rate(optimizer: Optimizer, step: int, total_steps: int) -> float:
    """The learning rate's closed form, in float64."""
    rate = optimizer.learning_rate
    if optimizer.warmup_steps:
        rate *= min(1.0, (step + 1) / optimizer.warmup_steps)
    if optimizer.schedule == "cosine":
        low = optimizer.final_fraction
        rate *= low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * min(step / total_steps, 1.0)))
    return rate


@pytest.mark.parametrize("warmup_steps", [0, 1, 10])
@pytest.mark.parametrize(("schedule", "final_fraction"), [("constant", 0.0), ("cosine", 0.25)])
def test_schedule_is_its_closed_form(
    warmup_steps: int, schedule: str, final_fraction: float
) -> None:
    settings = Optimizer(
        learning_rate=0.3,
        warmup_steps=warmup_steps,
        schedule=schedule,
        final_fraction=final_fraction,
    )
    built = training.WarmupSchedule(
        0.3,
        warmup_steps=warmup_steps,
        total_steps=200,
        cosine=schedule == "cosine",
        final_fraction=final_fraction,
    )
    copy = training.WarmupSchedule.from_config(built.get_config())
    for step in (0, 1, 5, 9, 10, 100, 150, 199, 200, 500):
        expected = scheduled_rate(settings, step, 200)
        assert float(built(step)) == pytest.approx(expected, rel=1e-6)
        assert float(copy(step)) == float(built(step))


STEP_CASES = {
    "adam": {"optimizer": Optimizer(learning_rate=0.02, beta_1=0.8, beta_2=0.95, epsilon=1e-3)},
    "warm-up and cosine": {
        "optimizer": Optimizer(
            learning_rate=0.02, warmup_steps=3, schedule="cosine", final_fraction=0.1
        )
    },
    "clipping": {"optimizer": Optimizer(learning_rate=0.02, clip_norm=0.5, epsilon=0.1)},
    "weight decay": {"optimizer": Optimizer(learning_rate=0.02, weight_decay=0.5)},
    "l2": {"optimizer": Optimizer(learning_rate=0.02, epsilon=0.1), "l2": 0.3},
    "averages": {"optimizer": Optimizer(learning_rate=0.02), "ema_decay": 0.35},
}
TOTAL_STEPS = 8


def numpy_step(
    state: dict[str, list[np.ndarray]], gradients: list[np.ndarray], recipe: Recipe, step: int
) -> float:
    """Adam (Kingma & Ba 2015, algorithm 1 with the epsilon of their Sec. 2), in place, in float64.

    Returns the norm of the gradient with the penalty's, before clipping.
    """
    settings = recipe.optimizer
    weights = state["weights"]
    gradients = [g + 2.0 * recipe.l2 * w for g, w in zip(gradients, weights, strict=True)]
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    rate = scheduled_rate(settings, step, TOTAL_STEPS)
    correction = math.sqrt(1.0 - settings.beta_2 ** (step + 1)) / (
        1.0 - settings.beta_1 ** (step + 1)
    )
    decay = min(recipe.ema_decay, (1.0 + step) / (10.0 + step))
    for i, gradient in enumerate(gradients):
        if settings.clip_norm:
            gradient = gradient * min(1.0, settings.clip_norm / norm)
        first, second = state["first"], state["second"]
        first[i] = settings.beta_1 * first[i] + (1.0 - settings.beta_1) * gradient
        second[i] = settings.beta_2 * second[i] + (1.0 - settings.beta_2) * gradient**2
        if gradient.ndim >= 2:
            weights[i] = weights[i] * (1.0 - rate * settings.weight_decay)
        weights[i] = weights[i] - rate * correction * first[i] / (
            np.sqrt(second[i]) + settings.epsilon
        )
        state["averages"][i] = decay * state["averages"][i] + (1.0 - decay) * weights[i]
    return norm


@pytest.mark.parametrize("changes", STEP_CASES.values(), ids=STEP_CASES)
def test_steps_match_numpy(changes: dict[str, Any]) -> None:
    recipe = Recipe(
        family="maf",
        config={
            "event_shape": [3],
            "num_layers": 1,
            "hidden_units": [8],
            "normalization": "activation_norm",
        },
        dataset=tiny_runs.RECIPES["maf"].dataset,
        batch_size=32,
        max_epochs=1,
        **changes,
    )
    keras.utils.set_random_seed(1)
    model = build(recipe.family, recipe.config)
    x = tf.constant(tiny_runs.load_arrays(recipe.dataset, "train").x[:32])
    step = training.TrainingStep(model, recipe, TOTAL_STEPS)
    start = [v.numpy().astype(np.float64) for v in model.trainable_variables]
    zeros = [np.zeros_like(v) for v in start]
    state = {
        "weights": list(start),
        "first": list(zeros),
        "second": list(zeros),
        "averages": list(start),
    }
    for number in range(5):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(model.log_prob(x))
        gradients = [g.numpy() for g in tape.gradient(loss, model.trainable_variables)]
        result = step(x, None, tf.constant(number))
        norm = numpy_step(state, gradients, recipe, number)
        assert float(result["gradient_norm"]) == pytest.approx(norm, rel=1e-4)
        assert float(tf.reduce_mean(result["nats"])) == pytest.approx(float(loss), rel=1e-5)
        for variable, expected in zip(model.trainable_variables, state["weights"], strict=True):
            np.testing.assert_allclose(variable.numpy(), expected, rtol=2e-4, atol=2e-5)
    assert len(step.averages) == (len(start) if recipe.ema_decay else 0)
    for average, expected in zip(step.averages, state["averages"], strict=False):
        np.testing.assert_allclose(average.numpy(), expected, rtol=2e-4, atol=2e-5)
    if recipe.optimizer.clip_norm:
        assert norm > 2.0 * recipe.optimizer.clip_norm  # the clipping was at work


@pytest.mark.parametrize("clip_norm", [0.0, 10.0])
def test_clipping_takes_gradients_whose_squares_overflow(clip_norm: float) -> None:
    keras.utils.set_random_seed(5)  # weights with which no gradient itself overflows
    recipe = tiny_runs.RECIPES["maf"]
    settings = Optimizer(learning_rate=0.01, clip_norm=clip_norm)
    config = {"event_shape": [3], "hidden_units": [8], "normalization": "activation_norm"}
    recipe = dataclasses.replace(recipe, config=config, optimizer=settings, ema_decay=0.0, l2=0.0)
    model = build(recipe.family, recipe.config)
    x = tiny_runs.load_arrays(recipe.dataset, "train").x[:32].copy()
    model.adapt(x)
    x[7] = 1e12  # a row that no model of these data expects
    before = [v.numpy() for v in model.trainable_variables]
    step = training.TrainingStep(model, recipe, TOTAL_STEPS)
    norm = float(step(tf.constant(x), None, tf.constant(0))["gradient_norm"])
    moved = [np.abs(v.numpy() - b).max() for v, b in zip(step.variables, before, strict=True)]
    if clip_norm:
        assert 1e19 < norm < math.inf
        assert 0.005 < max(moved) < 0.02  # Adam's first step: about the rate
    else:  # Adam's second moment would be infinite, and its weight stand still for ever
        assert not math.isfinite(norm)
        assert max(moved) == 0.0


def test_averaged_weights_are_lent_and_returned() -> None:
    recipe = tiny_runs.RECIPES["maf"]
    model = build(recipe.family, recipe.config)
    step = training.TrainingStep(model, recipe, 10)
    for i, average in enumerate(step.averages):
        average.assign(tf.fill(average.shape, float(i)))
    own = [v.numpy() for v in model.trainable_variables]
    with step.averaged_weights():
        for i, variable in enumerate(model.trainable_variables):
            np.testing.assert_array_equal(variable.numpy(), np.full(variable.shape, float(i)))
    for variable, value in zip(model.trainable_variables, own, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_l2_penalty_is_the_sum_of_squares(rng: np.random.Generator) -> None:
    from zoo.objectives.likelihood import l2_penalty

    weights = [rng.normal(size=shape).astype("float32") for shape in ((3, 4), (5,), ())]
    expected = 0.7 * sum(float(np.sum(np.square(w, dtype=np.float64))) for w in weights)
    assert float(l2_penalty([tf.Variable(w) for w in weights], 0.7)) == pytest.approx(expected)
    assert float(l2_penalty([], 0.7)) == 0.0


def test_flips_mirror_whole_rows_and_differ_from_step_to_step() -> None:
    """With a model that is no flow: its loss is the data's left column, which a flip replaces."""
    recipe = dataclasses.replace(tiny_runs.RECIPES["realnvp"], l2=0.0, ema_decay=0.0)
    x = np.zeros((64, 2, 2, 1), "uint8")
    x[:, :, 1] = 100

    class Column(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.weight = self.add_weight(shape=(), initializer="zeros")

        def _loss_nats(self, x: Any, context: Any, seed: Any, *, training: bool) -> Any:
            return -self.weight + tf.reduce_sum(tf.cast(x[:, :, 0, 0], tf.float32), 1)

    step = training.TrainingStep(Column(), recipe, 10)
    draws = [step(tf.constant(x), None, tf.constant(i))["nats"].numpy() for i in (0, 1, 0)]
    for draw in draws:
        assert set(np.round(draw)) == {0.0, 200.0}
        assert 16 <= np.sum(draw > 100.0) <= 48
    assert (draws[0] > 100.0).tolist() == (draws[2] > 100.0).tolist()
    assert (draws[0] > 100.0).tolist() != (draws[1] > 100.0).tolist()


# Keras' own fit.


@pytest.mark.parametrize("name", ["nice", "maf"])
def test_fit_on_a_dataset_lowers_the_loss(name: str, tmp_path: Path) -> None:
    recipe = tiny_runs.RECIPES[name]
    keras.utils.set_random_seed(2)
    model = build(recipe.family, recipe.config)
    arrays = tiny_runs.load_arrays(recipe.dataset, "train")
    model.adapt(arrays.x, arrays.context)
    elements = arrays.x if arrays.context is None else (arrays.x, arrays.context)
    dataset = tf.data.Dataset.from_tensor_slices(elements).shuffle(96, seed=0).batch(16)
    before = -np.mean(model.log_prob(arrays.x, arrays.context), dtype=np.float64)
    model.compile(optimizer=keras.optimizers.Adam(5e-3))
    history = model.fit(dataset, epochs=15, shuffle=False, verbose=0)
    after = -np.mean(model.log_prob(arrays.x, arrays.context), dtype=np.float64)
    assert after < before - 0.5
    assert history.history["loss"][-1] < history.history["loss"][0] - 0.5
    evaluated = model.evaluate(dataset, verbose=0, return_dict=True)
    assert evaluated["loss"] == pytest.approx(after, rel=1e-5)
    bits = after / (model.config.event_size * math.log(2.0))
    assert evaluated["bits_per_dim"] == pytest.approx(bits, rel=1e-5)

    # Saved and loaded, it goes on where it was: the optimizer's moments came along.
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 15 * 6
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables) > 2
    for mine, theirs in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    ordered = tf.data.Dataset.from_tensor_slices(elements).batch(16)
    losses = [
        m.fit(ordered, epochs=1, shuffle=False, verbose=0).history["loss"][0]
        for m in (model, loaded)
    ]
    # Keras does not save where its generators of noise are: dequantisation and dropout differ.
    assert losses[1] == pytest.approx(losses[0], rel=0.02 if model.data.dtype == "uint8" else 1e-5)


def test_compile_refuses_a_loss() -> None:
    model = build("maf", tiny_runs.RECIPES["maf"].config)
    with pytest.raises(InvalidInputError, match=r"maximum likelihood.*takes no loss; got 'mse'"):
        model.compile(optimizer="adam", loss="mse")


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        (lambda x: {"image": x}, r"dictionary with \['image'\]"),
        (lambda x: (x, np.zeros(len(x), "int32")), "unconditional, and the dataset yields pairs"),
        (lambda x: x[:, :2], r"Expected x of shape \[batch, 4, 4, 1\]"),
        (lambda x: x / 255.0, "takes grey levels 0..255 as integers"),
    ],
    ids=["dictionary", "pairs", "shape", "floats"],
)
def test_fit_refuses_other_elements(elements: Any, message: str) -> None:
    recipe = tiny_runs.RECIPES["nice"]
    model = build(recipe.family, recipe.config)
    model.compile(optimizer="adam", run_eagerly=True)
    x = tiny_runs.load_arrays(recipe.dataset, "validation").x
    dataset = tf.data.Dataset.from_tensor_slices(elements(x)).batch(8)
    with pytest.raises(InvalidInputError, match=message):
        model.fit(dataset, shuffle=False, verbose=0)


def test_weights_to_start_from_get_the_lengths_of_the_runs_own_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_families.RECIPES["wavenet"]
    recipe = dataclasses.replace(recipe, config={**recipe.config, "num_durations": 4})
    source = build(recipe.family, recipe.config)
    source.typical_durations.assign([3, 3, 3, 3, 3, 3])
    save_weights(source, tmp_path / "source.weights.h5")
    x = np.ones((8, 32), np.int16)
    x[:, 20:] = 0  # the third of four classes
    rows = sources.Arrays(x, np.array([0, 1] * 4, np.int32))
    monkeypatch.setattr(sources, "load_arrays", lambda *_: rows)
    weights = tmp_path / "source.weights.h5"
    run = Run(recipe, tmp_path / "run", "tuned", resume=False, initial_weights=weights)
    np.testing.assert_array_equal(run.model.typical_durations, [2, 2, 3, 3, 3, 3])


def test_a_start_may_have_an_output_layer_of_another_size() -> None:
    config = {**tiny_families.RECIPES["wavenet"].config, "num_durations": 3, "linear_input": True}
    source, model = (
        models.create("wavenet", **config, output=output)
        for output in ("mu_law", "logistic_mixture")
    )
    source.typical_durations.assign([0, 1, 2, 2, 1, 0])
    fresh = [w.numpy() for w in model.output_layer.weights]
    assign_shared(model, source)
    own = len(source.trainable_weights) - 2
    assert [w.path for w in model.trainable_weights[own:]] == [
        "output/kernel",
        "output/bias",
        "prediction/kernel",
    ]
    for target, value in zip(
        model.trainable_weights[:own], source.trainable_weights[:own], strict=True
    ):
        np.testing.assert_array_equal(target, value)
    for before, weight in zip(fresh, model.output_layer.weights, strict=True):
        np.testing.assert_array_equal(before, weight)
    np.testing.assert_array_equal(model.typical_durations, source.typical_durations)
    wider = models.create("wavenet", **config | {"output": "mu_law", "skip_channels": 5})
    with pytest.raises(TrainingError, match=r"it lacks \d+ of its \d+ weights, stack.skip_kernel "):
        assign_shared(wider, source)


def test_a_start_of_nothing_but_another_output_is_refused() -> None:
    source, model = (keras.Sequential(name=name) for name in ("source", "model"))
    for some, units in ((source, 2), (model, 3)):
        some.add(keras.layers.Dense(units, name="output"))
        some.build((None, 4))
    with pytest.raises(TrainingError, match=r"lacks 2 of its 2 weights, output/kernel \[4, 2\]"):
        assign_shared(model, source)


@pytest.mark.parametrize("family", ["nsf", "nsf_coupling"])
def test_a_deeper_model_starts_where_a_shallower_one_ended(family: str) -> None:
    config = {"event_shape": (4,), "num_units": 6, "num_blocks": 1}
    source = models.create(family, **config, num_layers=2)
    random = np.random.default_rng(0)
    for weight in source.trainable_weights:
        weight.assign(random.normal(scale=0.3, size=weight.shape))
    model = models.create(family, **config, num_layers=3)
    assign_shared(model, source)
    x = random.normal(size=(16, 4)).astype(np.float32)
    for frozen in (False, True):
        other = models.create(family, **config, num_layers=3)
        if frozen:
            other.freeze("^(linear_0|linear_1)/")
        assign_shared(other, source)
        np.testing.assert_array_equal(other.linears[1].factors, source.linears[1].factors)
    for weight in model.networks[2].trainable_weights:  # all it adds
        weight.assign(tf.zeros_like(weight))
    np.testing.assert_allclose(model.log_prob(x), source.log_prob(x), rtol=1e-4, atol=1e-4)
    with pytest.raises(
        TrainingError, match=r"it lacks 10 of its 32 weights, linear_3/factors \[4, 4\]"
    ):
        assign_shared(source, model)
