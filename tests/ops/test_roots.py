"""The scalar root against SciPy's bracketing solver, and its gradient against the slope."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from numpy.testing import assert_allclose

from zoo.ops.roots import solve_tanh, tanh_slope

SLOPES = (2.3e-16, 1e-12, 1e-6, 0.01, 0.3, 0.999, 1.0, 1.5, 7.0, 300.0, 1e6)
TARGETS = (0.0, 1e-18, 1e-9, 1e-3, 0.1, 0.59, 1.0, 3.0, 40.0, 1e3, 1e7)


def _brentq(s: float, d: float) -> float:
    def excess(v: float) -> float:
        if abs(v) < 1e-2:  # v - tanh v cancels there; its series does not
            return d * np.tanh(v) + v**3 / 3 - 2 * v**5 / 15 + 17 * v**7 / 315 - s
        return v + (d - 1.0) * np.tanh(v) - s

    return scipy.optimize.brentq(excess, 0.0, s + 1.0, xtol=1e-300, rtol=9e-16, maxiter=2000)


def _within_rounding(actual, expected, s, d) -> bool:
    """An error of a rounding in s or v is one over the slope in the root."""
    tanh = np.tanh(expected)
    rounding = np.finfo(float).eps * (expected + np.abs(d - 1.0) * tanh + s)
    return bool(
        (np.abs(actual - expected) * (tanh**2 + d * (1.0 - tanh**2)) <= 4.0 * rounding).all()
    )


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_the_root_is_scipys(jit_compile: bool) -> None:
    s, d = np.meshgrid(TARGETS, SLOPES)
    expected = np.vectorize(_brentq)(s, d)
    compiled = tf.function(solve_tanh, jit_compile=jit_compile, autograph=False)
    assert _within_rounding(compiled(tf.constant(s), tf.constant(d)).numpy(), expected, s, d)
    mirrored = compiled(tf.constant(-s), tf.constant(d)).numpy()
    assert _within_rounding(-mirrored, expected, s, d)


def test_the_gradient_is_the_implicit_functions() -> None:
    s = tf.constant([-2.0, -0.3, 0.4, 5.0], tf.float64)
    d = tf.constant([0.2, 3.0, 0.01, 20.0], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([s, d])
        v = solve_tanh(s, d)
    ds, dd = tape.gradient(v, [s, d])
    step = 1e-6
    numeric = [
        (solve_tanh(s + step, d) - solve_tanh(s - step, d)) / (2.0 * step),
        (solve_tanh(s, d + step) - solve_tanh(s, d - step)) / (2.0 * step),
    ]
    assert_allclose(ds, numeric[0], rtol=1e-6)
    assert_allclose(dd, numeric[1], rtol=1e-6)


def test_the_slope_keeps_its_digits() -> None:
    """1 + (d - 1) (1 - tanh^2) in plain form is 0 for d below the rounding of 1."""
    d = tf.constant(1e-12, tf.float32)
    assert_allclose(tanh_slope(tf.constant(0.0), d), 1e-12, rtol=1e-6)
    v = tf.constant([0.1, 1.0, 30.0], tf.float64)
    plain = 1.0 + (0.3 - 1.0) / np.cosh(v) ** 2
    assert_allclose(tanh_slope(v, tf.constant(0.3, tf.float64)), plain, rtol=1e-13)
