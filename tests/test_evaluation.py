"""Evaluation: figures against NumPy and SciPy, the papers' spaces by hand, and bad arguments."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tiny_runs

from zoo import evaluation, models, registry
from zoo.core import metric as table
from zoo.core.capabilities import capabilities_of
from zoo.data import sources
from zoo.errors import ConfigError, DataError, InvalidInputError, UnknownModelError
from zoo.evaluation import evaluating, needs, statistics
from zoo.evaluation.task import Measured, Task
from zoo.ops.noise import hashed_uniform
from zoo.store.files import write_json_atomic
from zoo.store.folder import save_checkpoint

NUM_ROWS = 37


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch) -> sources.Arrays:
    """The features that every split of every dataset has here."""
    rows = tiny_runs.load_arrays(tiny_runs.RECIPES["maf"].dataset, "train").take(NUM_ROWS)
    monkeypatch.setattr(sources, "load_arrays", lambda *_: rows)
    return rows


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> sources.Arrays:
    """The same for images; the extreme grey levels are among them."""
    rows = tiny_runs.load_arrays(tiny_runs.RECIPES["nice"].dataset, "train").take(NUM_ROWS)
    rows.x[0], rows.x[1] = 0, 255
    monkeypatch.setattr(sources, "load_arrays", lambda *_: rows)
    return rows


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`register(recipe)` makes it the entry "tiny"; all metrics are asked for."""

    def add(name: str, **changes: Any) -> None:
        entry = registry.Entry(
            name="tiny",
            family=tiny_runs.RECIPES[name].family,
            title="",
            paper="",
            arxiv="",
            recipe=tiny_runs.RECIPES[name],
            description="",
            limitations="",
            metrics=("bits_per_dim", "log_prob_paper", "log_prob"),
        )
        monkeypatch.setitem(registry.ENTRIES, "tiny", dataclasses.replace(entry, **changes))

    return add


def two_standard_errors(values: np.ndarray) -> float:
    centred = values - values.sum() / len(values)
    return 2.0 * math.sqrt((centred**2).sum() / (len(values) - 1) / len(values))


def dequantised(x: np.ndarray, seed: int) -> np.ndarray:
    """x + u in float64; the noise itself has tests of its own."""
    noise = hashed_uniform(tf.constant(x.astype("int32")), tf.constant([0, seed]))
    return x.astype(np.float64) + noise.numpy()


# A fresh NICE is the identity: its density is the base's in the space after preprocessing.

BASES = {
    "unit": ("logistic", scipy.stats.logistic),
    "symmetric": ("logistic", scipy.stats.logistic),
    "logit": ("normal", scipy.stats.norm),  # a logistic one would make all images equally likely
}
IMAGE_SPACES = {
    "unit": (lambda y: y / 256.0, lambda y: np.full_like(y, 1.0 / 256.0)),
    "symmetric": (lambda y: y / 128.0 - 1.0, lambda y: np.full_like(y, 1.0 / 128.0)),
    "logit": (
        lambda y: np.log(0.05 + 0.9 * y / 256.0) - np.log(0.95 - 0.9 * y / 256.0),
        lambda y: (0.9 / 256.0) / ((0.05 + 0.9 * y / 256.0) * (0.95 - 0.9 * y / 256.0)),
    ),
}
SPACE_NAMES = {
    "unit": "nats, pixels in [0, 1]",
    "symmetric": "nats, pixels in [-1, 1]",
    "logit": "nats, logit space (alpha = 0.05)",
}


@pytest.mark.parametrize("transform", IMAGE_SPACES)
def test_image_figures_are_those_of_the_known_density(
    transform: str, images: sources.Arrays, register: Any
) -> None:
    register("nice")
    preprocessing = {"num_levels": 256, "transform": transform, "alpha": 0.05}
    base, density = BASES[transform]
    model = models.create("nice", event_shape=(4, 4, 1), preprocessing=preprocessing, base=base)
    result = evaluation.evaluate("tiny", model=model, batch_size=10, seed=3)

    to_space, slope = IMAGE_SPACES[transform]
    y = dequantised(images.x, seed=3).reshape(NUM_ROWS, -1)
    paper = density.logpdf(to_space(y)).sum(1)
    nats = paper + np.log(slope(y)).sum(1)
    expected = {
        "log_prob_paper": paper,
        "log_prob": nats,
        "bits_per_dim": -nats / (16 * math.log(2.0)),
    }
    assert result["count"] == NUM_ROWS
    assert result["metrics"].keys() == expected.keys()
    for metric, values in expected.items():
        found = result["metrics"][metric]
        assert found["value"] == pytest.approx(values.mean(), rel=2e-5), metric
        error = two_standard_errors(values)
        assert found["two_standard_errors"] == pytest.approx(error, rel=2e-3), metric
    assert result["metrics"]["log_prob_paper"]["space"] == SPACE_NAMES[transform]
    assert result["protocol"] == "uniform dequantisation, one draw a row, seed 3"


@pytest.mark.parametrize("whitening", ["none", "standardise", "zca"])
def test_feature_figures_are_those_of_the_known_density(
    whitening: str, arrays: sources.Arrays, register: Any
) -> None:
    register("maf")
    model = models.create(
        "nice", event_shape=(3,), base="normal", preprocessing={"whitening": whitening}
    )
    model.adapt_whitening(arrays.x)
    result = evaluation.evaluate("tiny", model=model, batch_size=1000)["metrics"]

    x = arrays.x.astype(np.float64)
    matrix = {
        "none": np.eye(3),
        "standardise": np.diag(1.0 / x.std(0)),
        "zca": scipy.linalg.inv(scipy.linalg.sqrtm(np.cov(x.T, bias=True) + 1e-6 * np.eye(3))),
    }[whitening]
    v = (x - (0.0 if whitening == "none" else x.mean(0))) @ matrix
    whitened = scipy.stats.norm.logpdf(v).sum(1)
    nats = whitened + np.log(np.abs(np.linalg.det(matrix)))
    assert result["log_prob"]["value"] == pytest.approx(nats.mean(), rel=1e-4)
    assert result["bits_per_dim"]["value"] == pytest.approx(
        -nats.mean() / (3 * math.log(2.0)), rel=1e-4
    )
    paper = result["log_prob_paper"]
    assert paper["value"] == pytest.approx(whitened.mean(), rel=1e-4)
    assert paper["two_standard_errors"] == pytest.approx(two_standard_errors(whitened), rel=1e-3)
    assert (
        paper["space"]
        == {
            "none": "nats, raw features",
            "standardise": "nats, standardised features",
            "zca": "nats, whitened features",
        }[whitening]
    )


def test_labels_reach_a_conditional_model(arrays: sources.Arrays, register: Any) -> None:
    register("maf", metrics=("log_prob",))
    recipe = tiny_runs.RECIPES["maf"]
    model = models.build(recipe.family, recipe.config)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    result = evaluation.evaluate("tiny", model=model, batch_size=8)
    assert set(result["metrics"]) == {"log_prob"}
    assert result["protocol"] == "exact density of the stored features"
    one_by_one = [
        float(model.log_prob(arrays.x[i : i + 1], arrays.context[i : i + 1])[0])
        for i in range(NUM_ROWS)
    ]
    assert result["metrics"]["log_prob"]["value"] == pytest.approx(np.mean(one_by_one), rel=1e-4)
    other = float(np.mean(model.log_prob(arrays.x, 1 - arrays.context)))
    assert abs(other - np.mean(one_by_one)) > 0.1  # so that lost labels would be noticed


def test_mean_with_error_against_numpy(rng: np.random.Generator) -> None:
    values = rng.normal(3.0, 2.0, 1001)
    found = statistics.mean_with_error(values)
    assert found["value"] == pytest.approx(values.mean(), abs=1e-6)
    expected = 2.0 * scipy.stats.sem(values)
    assert found["two_standard_errors"] == pytest.approx(expected, abs=1e-6)
    assert statistics.mean_with_error(values[:1])["two_standard_errors"] == 0.0


# The rest of the record.


@pytest.fixture
def tiny_nice(images: sources.Arrays, register: Any) -> Any:
    register("nice", paper_metric="log_prob_paper", paper_value=12.5, paper_source="table 1")
    recipe = tiny_runs.RECIPES["nice"]
    return models.build(recipe.family, recipe.config)


def test_the_record_is_complete_and_written(tiny_nice: Any, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    result = evaluation.evaluate(
        "tiny",
        "validation",
        model=tiny_nice,
        limit=25,
        batch_size=10,
        out=tmp_path / "metrics.json",
        progress=lambda *call: calls.append(call),
    )
    assert calls == [(10, 25), (20, 25), (25, 25)]
    assert json.loads((tmp_path / "metrics.json").read_text()) == result
    assert result["software"]["tensorflow"] == tf.__version__
    assert result["wall_seconds"] >= 0.0
    expected = {
        "name": "tiny",
        "version": 0,  # not the published weights
        "dataset": "images:1.0.0",
        "split": "validation",
        "count": 25,
        "paper": {"metric": "log_prob_paper", "value": 12.5, "source": "table 1"},
    }
    assert {key: result[key] for key in expected} == expected
    assert "train_hours" not in result


def test_limit_takes_the_first_rows(tiny_nice: Any, images: sources.Arrays) -> None:
    result = evaluation.evaluate("tiny", model=tiny_nice, limit=5)
    expected = np.mean(tiny_nice.log_prob(images.x[:5]).numpy(), dtype=np.float64)
    assert result["count"] == 5
    assert result["metrics"]["log_prob"]["value"] == pytest.approx(expected, rel=1e-6)
    assert evaluation.evaluate("tiny", model=tiny_nice, limit=1000)["count"] == NUM_ROWS


def test_certified_rows_are_few_where_a_direction_is_slow(
    arrays: sources.Arrays, register: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("maf")
    model = models.build("maf", tiny_runs.RECIPES["maf"].config)
    monkeypatch.setattr(evaluating, "SLOW_ROWS", 5)
    result = evaluation.evaluate("tiny", model=model, certify=True)
    assert result["slow_direction"] == "sampling"
    assert result["certificate"]["rows"] == 5
    assert result["certificate"]["float32"]["invertibility"] < 1e-3
    assert "certificate" not in evaluation.evaluate("tiny", model=model)


def test_the_batch_size_does_not_matter_and_the_seed_does(tiny_nice: Any) -> None:
    figures = [
        evaluation.evaluate("tiny", model=tiny_nice, **options)["metrics"]["log_prob"]["value"]
        for options in ({}, {"batch_size": 7}, {"seed": 1})
    ]
    assert figures[1] == pytest.approx(figures[0], rel=1e-6)
    assert abs(figures[2] - figures[0]) > 1e-4


def test_published_weights_bring_version_and_training_hours(
    tiny_nice: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json_atomic(tmp_path / "run.json", {"train_hours": 1.25})
    monkeypatch.setattr(evaluating.loading, "load", lambda name: {"tiny": tiny_nice}[name])
    monkeypatch.setattr(evaluating.loading, "local_folder", lambda name: tmp_path)
    monkeypatch.setattr("zoo.store.pins.pins", lambda: {"tiny": {"version": 3, "files": {}}})
    result = evaluation.evaluate("tiny", limit=2)
    assert (result["version"], result["train_hours"]) == (3, 1.25)


# Bad arguments.


@pytest.mark.parametrize("options", [{"limit": -1}, {"batch_size": -5}])
def test_sizes_that_are_none_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError, match="limit and batch_size of 0 or more"):
        evaluation.evaluate("nice_mnist", **options)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UnknownModelError, match="Did you mean 'nice_mnist'"):
        evaluation.evaluate("nice_mnits")


def test_an_unknown_split_is_refused() -> None:
    recipe = tiny_runs.RECIPES["nice"]
    model = models.build(recipe.family, recipe.config)
    with pytest.raises(DataError, match="train, validation, test; got 'holdout'"):
        evaluation.evaluate("nice_mnist", "holdout", model=model)


# The table of metrics, and folders in place of names.


@pytest.mark.parametrize("name", list(registry.ENTRIES))
def test_every_entry_asks_for_metrics_that_its_model_and_recipe_have(name: str) -> None:
    entry = registry.get(name)
    have = capabilities_of(models.model_class(entry.family)) | needs.things_of(entry.recipe)
    assert table.unmet(entry.metrics, have) == {}
    assert table.customary(have)


def test_every_function_of_the_table_is_there() -> None:
    for found in table.METRICS.values():
        module, _, function = found.where.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_a_metric_that_the_model_cannot_have_is_refused(tiny_nice: Any, register: Any) -> None:
    for name, message in (
        ("negative_elbo", "negative_elbo needs Infers; tiny lacks Infers"),
        ("forward_kl", "needs Bijective, Scores, target; tiny lacks target"),
        ("bits", "No metric named 'bits'; there are bits_per_dim, log_prob, "),
    ):
        register("nice", metrics=(name,))
        with pytest.raises(ConfigError, match=message):
            evaluation.evaluate("tiny", model=tiny_nice)


def test_each_function_runs_once_and_words_and_digits_are_merged(
    tiny_nice: Any, images: sources.Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def spoken(task: Task, names: list[str]) -> Measured:
        calls.append(names)
        figures = {"value": 1.0 / 3.0, "two_standard_errors": 2.0 / 3.0, "clips": 3}
        return Measured(dict.fromkeys(names, figures), "clips are listened to")

    monkeypatch.setattr("zoo.evaluation.audio.spoken_metrics", spoken)
    names = ("recognised", "log_prob", "silence_excess_db")
    found = evaluating.measure(Task(model=tiny_nice, rows=images, seed=2), names)
    assert calls == [["recognised", "silence_excess_db"]]
    assert tuple(found.metrics) == names
    assert found.protocol == (
        "clips are listened to; uniform dequantisation, one draw a row, seed 2"
    )
    error = {name: found.metrics[name]["two_standard_errors"] for name in names}
    assert (error["recognised"], error["silence_excess_db"]) == (0.6667, 0.667)
    assert found.metrics["recognised"]["clips"] == 3


def test_a_folder_is_judged_by_its_own_recipe_before_anything_is_pinned(
    tiny_nice: Any, images: sources.Arrays, tmp_path: Path
) -> None:
    folder = save_checkpoint(
        tmp_path / "mine", tiny_nice, family="nice", recipe=tiny_runs.RECIPES["nice"]
    )
    mine = evaluation.evaluate(folder, limit=9)
    named = evaluation.evaluate("tiny", model=tiny_nice, limit=9)
    assert (mine["name"], mine["version"], mine["paper"]) == ("mine", 0, None)
    assert tuple(mine["metrics"]) == ("bits_per_dim", "log_prob")  # customary
    assert mine["metrics"].items() <= named["metrics"].items()
    assert mine["train_hours"] is None
    # A run of a registered model is judged as that is.
    write_json_atomic(folder / "run.json", {"name": "tiny", "train_hours": 0.5})
    run = evaluation.evaluate(str(folder), limit=9)
    assert (run["name"], run["train_hours"]) == ("mine", 0.5)
    for key in ("metrics", "paper", "protocol", "dataset"):
        assert run[key] == named[key], key
