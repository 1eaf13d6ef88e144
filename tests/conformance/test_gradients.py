"""Law: every trainable weight gets a gradient, and it is the gradient of the loss."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from cases import MODELS, dense, having
from numpy.testing import assert_allclose

from zoo.core.capabilities import Scores


def _mean_nats(model, x, labels, *, training: bool) -> tf.Tensor:
    context = model.checked_context(labels, rows=None)
    return -tf.reduce_mean(model.score(x, context, tf.constant([1, 2]), training=training))


@pytest.mark.parametrize("name", having(Scores))
def test_every_trainable_weight_gets_a_gradient(name: str) -> None:
    case = MODELS[name]
    model = case.build("float64")
    x, labels = tf.constant(case.rows(16)), case.labels(16)
    with tf.GradientTape() as tape:
        loss = _mean_nats(model, x, labels, training=True)
    gradients = dense(tape.gradient(loss, model.trainable_variables))
    idle = [
        variable.path
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if gradient is None or not np.any(gradient)
    ]
    if "gradient" in case.cannot:
        kernels = [
            v.path for v in model.trainable_variables if "kernel" in v.path or "hidden" in v.path
        ]
        assert idle
        assert set(idle) <= set(kernels), case.cannot["gradient"]
    else:
        assert idle == []
    assert all(g is None or np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("name", having(Scores))
def test_gradients_are_the_slope_of_the_loss(name: str) -> None:
    """Along one random direction in weight space, against a central difference in float64."""
    case = MODELS[name]
    model = case.build("float64")
    x, labels = tf.constant(case.rows(8)), case.labels(8)
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        loss = _mean_nats(model, x, labels, training=False)
    gradients = dense(tape.gradient(loss, variables, unconnected_gradients="zero"))
    rng = np.random.default_rng(0)
    start = [v.numpy() for v in variables]
    direction = [rng.normal(size=v.shape) for v in variables]
    slope = sum(float(np.sum(g.numpy() * d)) for g, d in zip(gradients, direction, strict=True))
    step, losses = 1e-6, []
    for sign in (1.0, -1.0):
        for variable, value, d in zip(variables, start, direction, strict=True):
            variable.assign(value + sign * step * d)
        losses.append(float(_mean_nats(model, x, labels, training=False)))
    difference = (losses[0] - losses[1]) / (2.0 * step)
    if "slope" in case.cannot:
        assert abs(difference - slope) > 1e-3 * abs(slope), case.cannot["slope"]
        return
    assert_allclose(difference, slope, rtol=1e-5, atol=1e-7)
