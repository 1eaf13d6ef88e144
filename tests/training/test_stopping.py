"""How runs stop early, and how what is not finite is named."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny_families
import tiny_runs
from whole_runs import (
    SHORT,
    assert_same_run,
    state_of,
)

import zoo
from zoo import models, training
from zoo.core.recipe import Binarise, Flips, Optimizer, PatchSymmetries, Shifts, variant
from zoo.core.training import Augmentation
from zoo.data import pipeline, sources
from zoo.errors import (
    ConfigError,
    NonFiniteLossError,
)
from zoo.models import build
from zoo.training.culprit import report
from zoo.training.run import Run, build_model


def test_early_stopping_counts_validations_without_gain(tmp_path: Path) -> None:
    """At learning rate 0 the first validation is the best; two more, and the patience is over."""
    recipe = variant(SHORT, optimizer=Optimizer(learning_rate=0.0), patience=2, validate_every=3)
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

    monkeypatch.setattr("zoo.training.build.build", remembered)
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
    recipe = variant(
        tiny_runs.RECIPES["maf"], optimizer=Optimizer(learning_rate=1e25), jit_compile=False
    )
    with pytest.raises(NonFiniteLossError, match=r"Step [1-9]\d*: .*bijector 'made_0'") as error:
        training.train(recipe, tmp_path)
    assert "lower optimizer.learning_rate" in str(error.value)
    assert all(np.isfinite(array).all() for array in state_of(tmp_path)[1].values())


def test_nan_in_the_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = variant(tiny_runs.RECIPES["maf"], jit_compile=False, max_epochs=1, validate_every=100)
    batches = pipeline.epoch_order(
        tiny_runs.TRAIN_ROWS, seed=recipe.training.seed, epoch=0
    ).reshape(-1, 16)

    def with_a_hole(dataset: Any, split: str) -> sources.Arrays:
        arrays = tiny_runs.load_arrays(dataset, split)
        if split == "train":
            arrays.x[batches[3, 5], 1] = np.nan
        return arrays

    monkeypatch.setattr(sources, "load_arrays", with_a_hole)
    monkeypatch.setattr(Run, "_initialize", lambda *_, **__: None)  # whitening would see it
    monkeypatch.setattr("zoo.training.run.check_finite", lambda *_, **__: None)  # and so would this
    with pytest.raises(NonFiniteLossError, match=r"Step 3: .*comes from the data"):
        training.train(recipe, tmp_path)


def report_of(
    model: Any, x: Any, context: Any, *, objective: Any = None, nats: float = math.nan
) -> str:
    objective = objective or model.default_objective()
    return report(model, objective, x, context, seed=0, step=3, nats=nats, norm=math.nan)


def test_a_model_without_bijectors_blames_its_networks() -> None:
    recipe = tiny_families.RECIPES["wavenet"]
    model = build(recipe.family, recipe.config)
    message = report_of(model, *tiny_families.rows(recipe), nats=math.inf)
    assert message.startswith("Step 3: loss inf nats, gradient norm nan; ")
    assert "comes from the networks. " in message


def test_a_symmetric_flow_names_a_bijector_within() -> None:
    config = {"event_shape": (8,), "num_units": 6, "num_blocks": 1, "num_layers": 2}
    model = models.create("nsf_patches", **config)
    model.linears[1].bias.assign(tf.fill([8], np.nan))
    message = report_of(model, np.ones((2, 8), "float32"), None)
    assert "comes from bijector 'linear_1'. " in message


def test_an_objective_that_fails_is_named() -> None:
    recipe = tiny_families.RECIPES["nice"]
    model = build(recipe.family, recipe.config)
    message = report_of(model, *tiny_families.rows(recipe), objective=tiny_families.teacher)
    assert "comes from the objective function. " in message


@pytest.mark.parametrize(("dtype", "rounded"), [("float32", False), ("tensorfloat32", True)])
def test_products_are_rounded_where_the_recipe_says_so(
    dtype: Any, rounded: bool, tmp_path: Path
) -> None:
    """On a CPU the switch of TensorFlow changes nothing; a GPU obeys it."""
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    before, told = enabled(), []
    recipe = variant(
        tiny_runs.RECIPES["maf"], conditioner_dtype=dtype, jit_compile=False, max_epochs=1
    )
    training.train(recipe, tmp_path, name="maf", progress=lambda *_: told.append(enabled()))
    assert set(told) == {rounded}
    assert enabled() == before


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("maf", Shifts(pixels=1), "for images"),
        ("maf", Flips(), "for images"),
        ("nice", PatchSymmetries(), "rows of side"),
        ("nice", Binarise(), "models of binary images; tiny, of the family nice"),
    ],
)
def test_augmentation_of_other_events_is_refused(
    family: str, change: Augmentation, message: str
) -> None:
    recipe = tiny_runs.RECIPES[family]
    shape = {"maf": (3,), "nice": (4, 4, 1)}[family]
    recipe = variant(recipe, config=recipe.config | {"event_shape": shape}, augment=(change,))
    with pytest.raises(ConfigError, match=message):
        build_model(recipe, "tiny")
