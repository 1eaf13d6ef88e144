"""One whole run: its record, its history, its weights."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tiny_runs
from whole_runs import (
    SHORT,
    SHORT_STEPS,
    assert_same_run,
    read_history,
    scheduled_rate,
    state_of,
)

import zoo
from zoo import training
from zoo.errors import IntegrityError
from zoo.loading import _load_given
from zoo.store.hashes import read_sha256sums


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
    assert record["train_hours"] == round(result.seconds / 3600, 5)
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
        rate = scheduled_rate(SHORT.training.optimizer, step, SHORT_STEPS)
        assert float(row["learning_rate"]) == pytest.approx(rate, rel=1e-5)
        speed = step * SHORT.training.batch_size / float(row["seconds"])
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


def test_a_run_ends_with_the_hashes_of_what_it_leaves(
    finished: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = {"config.json", "recipe.json", "model.weights.h5", "history.csv", "run.json"}
    assert read_sha256sums(finished.folder).keys() == kept
    weights = finished.folder / "model.weights.h5"
    model = zoo.load(finished.folder)
    _load_given(model, weights)
    assert "Nothing proves" not in caplog.text
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder)
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    with pytest.raises(IntegrityError, match=r"config\.json is not the file that SHA256SUMS lists"):
        zoo.load(folder)
    (folder / "SHA256SUMS").unlink()
    zoo.load(folder)
    assert "Nothing proves that" in caplog.text
    assert "it has no SHA256SUMS, which a run gets at its end" in caplog.text
    _load_given(model, folder / "model.weights.h5")
    assert "no SHA256SUMS beside it lists it" in caplog.text


def test_a_run_that_goes_on_is_hashed_anew(tmp_path: Path) -> None:
    result = training.train(SHORT, tmp_path, max_seconds=0.0)
    assert not (tmp_path / "SHA256SUMS").exists()  # nothing to load yet
    (tmp_path / "SHA256SUMS").write_text("of before")
    assert training.train(SHORT, tmp_path, resume=True, max_seconds=0.0).step == result.step + 1
    assert not (tmp_path / "SHA256SUMS").exists()


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


def test_a_finished_run_stays_as_it_is_when_resumed(finished: SimpleNamespace) -> None:
    before, weights = state_of(finished.folder)
    result = training.train(SHORT, finished.folder, resume=True)
    assert (result.reason, result.step) == ("finished", SHORT_STEPS)
    after, same = state_of(finished.folder)
    assert after == before
    for key, array in weights.items():
        np.testing.assert_array_equal(array, same[key])
