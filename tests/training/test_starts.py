"""Weights that a run starts from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_families

from zoo import models
from zoo.data import sources
from zoo.errors import (
    TrainingError,
)
from zoo.models import build
from zoo.store.weights import save_weights
from zoo.training.run import Run
from zoo.training.start import assign_shared


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
