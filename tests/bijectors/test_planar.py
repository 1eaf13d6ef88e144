"""Planar flows against the paper's formulas in NumPy; extreme parameters; one flow for each row."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from numpy.testing import assert_allclose

from zoo.bijectors.planar import Planar, constrained

SIZE = 5
DIRECTION = np.array([0.6, -0.3, 0.5, 0.1, -0.53])
DIRECTION /= np.linalg.norm(DIRECTION)
OTHER = np.array([0.4, 1.3, -0.7, 0.2, 0.9])
EXTREMES = {
    "u along -w": (DIRECTION, -30.0 * DIRECTION, 0.1),
    "u far along -w": (2.0 * DIRECTION, -100.0 * DIRECTION, 0.1),
    "u far along w": (3.0 * DIRECTION, 20.0 * DIRECTION, 0.2),
    "large w": (100.0 * DIRECTION, -DIRECTION, 0.0),
    "small w": (1e-4 * DIRECTION, OTHER, 0.5),
    "tiny w": (1e-12 * DIRECTION, OTHER, 0.5),
    "w = 0": (0.0 * DIRECTION, OTHER, 0.5),
    "small w, large u along -w": (1e-4 * DIRECTION, -3e4 * DIRECTION, 0.5),
    "all zero": (0.0 * DIRECTION, 0.0 * OTHER, 0.0),
}


def _numpy_planar(z, w, u, b):
    """Eq. 10, 12 and Appendix A.1: (x, log-det) of one row."""
    m = -1.0 + np.log1p(np.exp(w @ u))
    u_hat = u + (m - w @ u) * w / (w @ w)
    a = w @ z + b
    psi = (1.0 - np.tanh(a) ** 2) * w
    return z + u_hat * np.tanh(a), np.log(abs(1.0 + u_hat @ psi))


def test_planar_is_the_papers(rng: np.random.Generator) -> None:
    z, w, u = rng.normal(size=(3, 8, SIZE))
    b = rng.normal(size=8)
    x, log_det = Planar(*map(tf.constant, (w, u, b))).forward_and_log_det(tf.constant(z))
    for i in range(8):
        expected = _numpy_planar(z[i], w[i], u[i], b[i])
        assert_allclose(x[i], expected[0], rtol=1e-12)
        assert_allclose(log_det[i], expected[1], rtol=1e-10, atol=1e-14)


def test_the_constraint_is_the_papers_and_not_its_near_misses(rng: np.random.Generator) -> None:
    """m is -1 + log(1 + e^x), and the correction is divided by |w|^2: w.u_hat = m(w.u)."""
    w, u = (tf.constant(a) for a in 2.0 * rng.normal(size=(2, 50, SIZE)))
    u_hat, slope_at_0 = constrained(w, u)
    product = np.sum(w.numpy() * u.numpy(), -1)
    assert_allclose(np.sum(w * u_hat, -1), -1.0 + np.logaddexp(0.0, product), rtol=1e-9)
    assert_allclose(slope_at_0, np.logaddexp(0.0, product), rtol=1e-12)
    # u moves along w alone.
    change = (u_hat - u).numpy()
    along = np.sum(change * w, -1, keepdims=True) * w / np.sum(w * w, -1, keepdims=True)
    assert_allclose(change, along, rtol=1e-9, atol=1e-12)


@functools.cache
def _round_trip(jit_compile: bool) -> Any:
    """One function for all parameters of a dtype: x, log-dets, back, there again, gradients."""

    @tf.function(autograph=False, jit_compile=jit_compile)
    def round_trip(z, w, u, b):
        with tf.GradientTape() as tape:
            tape.watch([z, w, u, b])
            flow = Planar(w, u, b)
            x, log_det = flow.forward_and_log_det(z)
            again, inverse_log_det = flow.inverse_and_log_det(x)
            total = tf.reduce_sum(again) + tf.reduce_sum(log_det - 0.5 * inverse_log_det)
        x_again = flow.forward_and_log_det(again)[0]
        return x, log_det, again, inverse_log_det, x_again, tape.gradient(total, [z, w, u, b])

    return round_trip


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_extreme_parameters(name: str, dtype: str, tolerance: float, jit_compile: bool) -> None:
    parameters = [tf.constant(a, dtype) for a in EXTREMES[name]]
    rows = np.random.default_rng(0).normal(size=(256, SIZE))
    rows[0] = 0.0
    z = tf.constant(rows, dtype)

    round_trip = _round_trip(jit_compile)
    x, log_det, again, inverse_log_det, x_again, gradients = round_trip(z, *parameters)
    for tensor in (x, log_det, again, inverse_log_det, *gradients):
        assert np.isfinite(tensor).all()
    scale = max(1.0, float(np.abs(x).max()))  # a large u_hat moves rows far, and rounds there
    assert_allclose(x_again, x, rtol=0.0, atol=tolerance * scale)
    # A flow that nearly folds space loses digits of z where its slope is near 0, and nowhere else.
    steep = np.exp(log_det) > 0.01
    assert steep.mean() > 0.6
    assert_allclose(again[steep], z[steep], rtol=0.0, atol=tolerance * scale)


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_log_dets_are_those_of_the_jacobian(name: str) -> None:
    flow = Planar(*(tf.constant(a, tf.float64) for a in EXTREMES[name]))
    z = tf.constant(np.random.default_rng(1).normal(size=(6, SIZE)))
    with tf.GradientTape() as tape:
        tape.watch(z)
        x, log_det = flow.forward_and_log_det(z)
    sign, expected = np.linalg.slogdet(tape.batch_jacobian(x, z))
    assert (sign > 0.0).all()
    assert_allclose(log_det, expected, rtol=1e-6, atol=1e-9)


def test_one_flow_for_each_row_is_that_flow_alone(rng: np.random.Generator) -> None:
    """z [K, batch, D] with parameters [batch, D], both ways."""
    z = tf.constant(rng.normal(size=(7, 3, SIZE)))
    w, u = (tf.constant(a) for a in rng.normal(size=(2, 3, SIZE)))
    b = tf.constant(rng.normal(size=3))
    together = Planar(w, u, b)
    x, log_det = together.forward_and_log_det(z)
    again, inverse_log_det = together.inverse_and_log_det(x)
    assert_allclose(again, z, rtol=1e-9, atol=1e-12)
    for i in range(3):
        alone = Planar(w[i], u[i], b[i])
        assert_allclose(alone.forward(z[:, i]), x[:, i], rtol=1e-12)
        log_dets = alone.inverse_and_log_det(x[:, i])[1]
        assert_allclose(log_dets, inverse_log_det[:, i], rtol=1e-9, atol=1e-12)
    assert tuple(log_det.shape) == (7, 3)


def test_the_gradient_of_the_inverse_is_its_slope(rng: np.random.Generator) -> None:
    x = tf.constant(rng.normal(size=(4, SIZE)))
    values = [rng.normal(size=SIZE), rng.normal(size=SIZE), 0.3]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = [tf.constant(a) for a in (flat[:SIZE], flat[SIZE:-1], flat[-1])]
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            z, log_det = Planar(*parameters).inverse_and_log_det(x)
            total = tf.reduce_sum(tf.square(z)) - tf.reduce_sum(log_det)
        gradient = tape.gradient(total, parameters)
        return float(total), np.concatenate([np.ravel(g) for g in gradient])

    flat = np.concatenate([np.ravel(v) for v in values])
    numeric = scipy.optimize.approx_fprime(flat, lambda p: loss(p)[0], 1e-6)
    assert_allclose(loss(flat)[1], numeric, rtol=1e-4, atol=1e-4)
