"""Radial flows against the paper's formulas in NumPy; extreme parameters; one flow a row."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from zoo.bijectors.radial import Radial

SIZE = 4
CENTER = np.array([0.3, -0.2, 0.9, 0.1])
EXTREMES = {  # raw_alpha, raw_beta; beta = -alpha + softplus(raw_beta)
    "beta at its bound": (0.0, -30.0),
    "beta at its bound in every digit": (0.0, -200.0),
    "alpha near 0": (-30.0, 0.0),
    "both near 0": (-200.0, -200.0),
    "large beta": (0.0, 50.0),
    "large alpha": (50.0, 0.0),
    "beta = 0": (1.0, 1.0),
}


def test_radial_is_the_papers(rng: np.random.Generator) -> None:
    z, center = rng.normal(size=(2, 8, SIZE))
    raw_alpha, raw_beta = rng.normal(size=(2, 8))
    flow = Radial(*map(tf.constant, (center, raw_alpha, raw_beta)))
    x, log_det = flow.forward_and_log_det(tf.constant(z))
    alpha = np.logaddexp(0.0, raw_alpha)
    beta = -alpha + np.logaddexp(0.0, raw_beta)
    r = np.linalg.norm(z - center, axis=-1)
    h, slope = 1.0 / (alpha + r), -1.0 / (alpha + r) ** 2
    assert_allclose(x, z + (beta * h)[:, None] * (z - center), rtol=1e-12)
    expected = (SIZE - 1) * np.log(1.0 + beta * h) + np.log(1.0 + beta * h + beta * slope * r)
    assert_allclose(log_det, expected, rtol=1e-10, atol=1e-13)


@functools.cache
def _round_trip(jit_compile: bool) -> Any:
    """One function for all parameters of a dtype: x, log-dets, back, there again, gradients."""

    @tf.function(autograph=False, jit_compile=jit_compile)
    def round_trip(z, *parameters):
        with tf.GradientTape() as tape:
            tape.watch([z, *parameters])
            flow = Radial(*parameters)
            x, log_det = flow.forward_and_log_det(z)
            again, inverse_log_det = flow.inverse_and_log_det(x)
            total = tf.reduce_sum(again) + tf.reduce_sum(log_det - 0.5 * inverse_log_det)
        x_again = flow.forward_and_log_det(again)[0]
        gradients = tape.gradient(total, [z, *parameters])
        return x, log_det, again, inverse_log_det, x_again, gradients

    return round_trip


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_extreme_parameters(name: str, dtype: str, tolerance: float, jit_compile: bool) -> None:
    rows = np.random.default_rng(0).normal(size=(256, SIZE))
    rows[0] = CENTER  # the distance has no gradient there
    rows[1] = CENTER + 1e-3
    rows[2] = 1e4
    z = tf.constant(rows, dtype)
    parameters = [tf.constant(a, dtype) for a in (CENTER, *EXTREMES[name])]

    round_trip = _round_trip(jit_compile)
    x, log_det, again, inverse_log_det, x_again, gradients = round_trip(z, *parameters)
    for tensor in (x, log_det, again, inverse_log_det, *gradients):
        assert np.isfinite(tensor).all()
    size = 1.0 + np.abs(rows).max(1, keepdims=True)
    assert (np.abs(again - z) <= tolerance * size).all()
    assert (np.abs(x_again - x) <= tolerance * (size + np.abs(x))).all()


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_log_dets_are_those_of_the_jacobian(name: str) -> None:
    flow = Radial(*(tf.constant(a, tf.float64) for a in (CENTER, *EXTREMES[name])))
    z = tf.constant(np.random.default_rng(1).normal(size=(6, SIZE)))
    with tf.GradientTape() as tape:
        tape.watch(z)
        x, log_det = flow.forward_and_log_det(z)
    sign, expected = np.linalg.slogdet(tape.batch_jacobian(x, z))
    assert (sign > 0.0).all()
    assert_allclose(log_det, expected, rtol=1e-7, atol=1e-7)


def test_one_flow_for_each_row_is_that_flow_alone(rng: np.random.Generator) -> None:
    z = tf.constant(rng.normal(size=(7, 3, SIZE)))
    center = tf.constant(rng.normal(size=(3, SIZE)))
    raw_alpha, raw_beta = (tf.constant(a) for a in rng.normal(size=(2, 3)))
    together = Radial(center, raw_alpha, raw_beta)
    x, log_det = together.forward_and_log_det(z)
    again, inverse_log_det = together.inverse_and_log_det(x)
    assert_allclose(again, z, rtol=1e-9, atol=1e-12)
    for i in range(3):
        alone = Radial(center[i], raw_alpha[i], raw_beta[i])
        assert_allclose(alone.forward(z[:, i]), x[:, i], rtol=1e-12)
        assert_allclose(alone.inverse_and_log_det(x[:, i])[1], inverse_log_det[:, i], rtol=1e-9)
    assert tuple(log_det.shape) == (7, 3)
