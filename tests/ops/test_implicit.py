"""Roots as functions: derivatives of the first three orders, against known ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from numpy.testing import assert_allclose

from zoo.bijectors import mixture
from zoo.bijectors.planar import Planar
from zoo.bijectors.sylvester import Sylvester, orthogonal
from zoo.ops.implicit import implicit_root
from zoo.ops.roots import solve_tanh


def _derivatives(function: Callable[[Any], Any], x: Any, order: int) -> Any:
    """The order-th derivative of a function of one element each."""
    if order == 0:
        return function(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = _derivatives(function, x, order - 1)
    return tape.gradient(y, x)


def _cube_root(y: Any) -> Any:
    return implicit_root(
        lambda y: tf.pow(y, 1.0 / 3.0),
        lambda x, y: x**3 - y,
        lambda upstream, x, _: upstream / (3.0 * x**2),
        y,
    )


@pytest.mark.parametrize("jit_compile", [None, False, True], ids=["eager", "graph", "xla"])
@pytest.mark.parametrize(("order", "factor"), [(0, 1.0), (1, 1 / 3), (2, -2 / 9), (3, 10 / 27)])
def test_a_cube_root_has_the_derivatives_of_the_power(
    jit_compile: bool | None, order: int, factor: float
) -> None:
    def derivative(y: Any) -> Any:
        return _derivatives(_cube_root, y, order)

    if jit_compile is not None:
        derivative = tf.function(derivative, jit_compile=jit_compile, autograph=False)
    y = tf.constant([0.2, 1.0, 8.0], tf.float64)
    assert_allclose(derivative(y), factor * y.numpy() ** (1 / 3 - order), rtol=1e-12)


def test_tanh_roots_have_second_derivatives() -> None:
    """v + (d - 1) tanh v = s:  v'' = -f''(v) / f'(v)**3 in s."""
    d = tf.constant([0.2, 3.0, 0.01], tf.float64)
    s = tf.constant([-2.0, 0.3, 0.4], tf.float64)
    v = solve_tanh(s, d).numpy()
    slope = 1.0 + (d.numpy() - 1.0) / np.cosh(v) ** 2
    curvature = -2.0 * (d.numpy() - 1.0) * np.tanh(v) / np.cosh(v) ** 2
    second = _derivatives(lambda s: solve_tanh(s, d), s, 2)
    assert_allclose(second, -curvature / slope**3, rtol=1e-9)


def test_quantiles_have_second_derivatives() -> None:
    """z of log p:  with r = Phi / phi,  z' = r,  z'' = r (1 + r z)."""
    log_p = tf.constant([-0.7, -3.0, -15.0, -40.0], tf.float64)
    z = mixture._quantile(log_p).numpy()
    ratio = np.exp(scipy.special.log_ndtr(z) + 0.5 * z**2 + 0.5 * np.log(2.0 * np.pi))
    assert_allclose(_derivatives(mixture._quantile, log_p, 1), ratio, rtol=1e-9)
    assert_allclose(_derivatives(mixture._quantile, log_p, 2), ratio * (1.0 + ratio * z), rtol=1e-6)


def _planar(rng: np.random.Generator) -> Any:
    w, u = (tf.constant(rng.normal(size=3)) for _ in range(2))
    return Planar(w, u, tf.constant(0.3, tf.float64))


def _sylvester(rng: np.random.Generator) -> Any:
    columns = np.linalg.qr(rng.normal(size=(3, 2)))[0]
    r1, r2 = (tf.constant(rng.normal(size=(2, 2))) for _ in range(2))
    frame = orthogonal(tf.constant(columns))
    return Sylvester(frame, r1, r2, tf.constant(rng.normal(size=2)))


@pytest.mark.parametrize("flow", [_planar, _sylvester], ids=["planar", "sylvester"])
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_hessians_of_densities_are_those_of_differences(
    flow: Callable[..., Any], jit_compile: bool, rng: np.random.Generator
) -> None:
    bijector = flow(rng)
    x = tf.constant(rng.normal(size=(4, 3)))

    def log_prob(x: Any) -> Any:
        z, log_det = bijector.inverse_and_log_det(x)
        return log_det - 0.5 * tf.reduce_sum(tf.square(z), -1)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def score(x: Any) -> Any:
        return tf.gradients(log_prob(x), x)[0]

    @tf.function(jit_compile=jit_compile, autograph=False)
    def hessian(x: Any) -> Any:
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = log_prob(x)
            rows = tf.unstack(inner.gradient(y, x), axis=-1)
        return tf.stack([outer.gradient(row, x) for row in rows], -2)

    step = 1e-5
    numeric = [(score(x + step * e) - score(x - step * e)) / (2.0 * step) for e in np.eye(3)]
    assert_allclose(hessian(x), np.stack(numeric, -1), rtol=1e-6, atol=1e-8)
