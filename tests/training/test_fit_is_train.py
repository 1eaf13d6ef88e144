"""Keras' `fit` and a recipe's run take the same steps: noise, gradient and guard are shared."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_runs

from zoo import training
from zoo.core.recipe import Optimizer, variant
from zoo.models import build

STEPS = 4


def recipe_of(name: str) -> Any:
    recipe = tiny_runs.RECIPES[name]
    config = {**recipe.config, **({"dropout": 0.0} if "dropout" in recipe.config else {})}
    return variant(
        recipe,
        config=config,
        # Far above rounding, which Adam's first steps would else magnify.
        optimizer=Optimizer(learning_rate=3e-3, epsilon=1e-2),
        augment=(),
        ema_decay=0.0,
        l2=0.0,
        seed=0,
    )


@pytest.mark.parametrize("name", tiny_runs.RECIPES)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    recipe = recipe_of(name)
    arrays = tiny_runs.load_arrays(recipe.data, "train")
    size = recipe.training.batch_size
    models = [build(recipe.family, recipe.config) for _ in range(2)]
    for target, source in zip(models[1].weights, models[0].weights, strict=True):
        target.assign(source)
    start = [w.numpy() for w in models[0].trainable_weights]
    step = training.TrainingStep(models[0], recipe, STEPS)
    trained = []
    for number in range(STEPS):
        part = slice(number * size, (number + 1) * size)
        context = None if arrays.context is None else tf.constant(arrays.context[part])
        found = step(tf.constant(arrays.x[part]), context, tf.constant(number))
        trained.append(float(tf.reduce_mean(found["nats"])))
    columns = [arrays.x] if arrays.context is None else [arrays.x, arrays.context]
    models[1].compile(keras.optimizers.Adam(3e-3, epsilon=1e-2))
    fitted = models[1].fit(
        *(column[: STEPS * size] for column in columns),
        batch_size=size,
        shuffle=False,
        verbose=0,
        adapt=False,  # a run does so before its first step
    )
    assert fitted.history["loss"][0] == pytest.approx(np.mean(trained), rel=1e-4)
    assert any(
        np.abs(weight.numpy() - value).max() > 1e-3
        for weight, value in zip(models[0].trainable_weights, start, strict=True)
    )
    for left, right in zip(models[0].trainable_weights, models[1].trainable_weights, strict=True):
        np.testing.assert_allclose(left.numpy(), right.numpy(), rtol=2e-3, atol=2e-5)


def test_a_step_that_is_not_finite_changes_no_weight_in_either() -> None:
    recipe = recipe_of("maf")
    arrays = tiny_runs.load_arrays(recipe.data, "train")
    size = recipe.training.batch_size
    x, context = arrays.x[:size].copy(), arrays.context[:size]
    x[3] = 1e30  # finite, and its latent is not
    models = [build(recipe.family, recipe.config) for _ in range(2)]
    before = [[v.numpy() for v in model.trainable_weights] for model in models]
    step = training.TrainingStep(models[0], recipe, STEPS)
    found = step(tf.constant(x), tf.constant(context), tf.constant(0))
    assert not np.isfinite(float(tf.reduce_mean(found["nats"])))
    models[1].compile(keras.optimizers.Adam(3e-3))
    models[1].fit(x, context, batch_size=size, verbose=0, adapt=False)
    for model, kept in zip(models, before, strict=True):
        for variable, value in zip(model.trainable_weights, kept, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value)
