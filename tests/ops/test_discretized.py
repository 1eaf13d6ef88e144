"""Discretised distributions against SciPy's, and their mass over all 65,536 values."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from zoo.ops import discretized

ALL = np.arange(-(2**15), 2**15).astype(np.int16)
EDGES = (np.arange(-(2**15), 2**15 + 1) - 0.5) / 2.0**15


def _masses(distribution) -> np.ndarray:
    edges = EDGES.copy()
    edges[0], edges[-1] = -np.inf, np.inf
    return np.diff(distribution.cdf(edges))


@pytest.mark.parametrize(
    ("mean", "log_scale"), [(0.0, -9.0), (0.3, -4.0), (-1.5, -1.0), (0.9, 1.0)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gaussian_masses_are_those_of_scipy(mean, log_scale, dtype) -> None:
    log_prob = discretized.gaussian_log_prob(
        ALL, tf.fill([2**16], tf.constant(mean, dtype)), tf.constant(log_scale, dtype)
    ).numpy()
    assert np.isfinite(log_prob).all()
    assert np.exp(log_prob.astype(np.float64)).sum() == pytest.approx(1.0, abs=2e-4)
    expected = _masses(scipy.stats.norm(mean, np.exp(log_scale)))
    seen = expected > 1e-12
    tolerance = 2e-3 if dtype == "float32" else 1e-4
    np.testing.assert_allclose(log_prob[seen], np.log(expected[seen]), atol=tolerance, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logistic_mixture_masses_are_those_of_scipy(dtype) -> None:
    logits, means = np.array([0.5, -1.0, 0.0]), np.array([-0.4, 0.0, 1.1])
    log_scales = np.array([-3.0, -9.0, -2.0])
    rows = [tf.constant(np.tile(v, [2**16, 1]), dtype) for v in (logits, means, log_scales)]
    log_prob = discretized.logistic_mixture_log_prob(ALL, *rows).numpy()
    weights = np.exp(logits) / np.exp(logits).sum()
    expected = sum(
        w * _masses(scipy.stats.logistic(m, np.exp(s)))
        for w, m, s in zip(weights, means, log_scales, strict=True)
    )
    assert np.exp(log_prob.astype(np.float64)).sum() == pytest.approx(1.0, abs=2e-4)
    tolerance = 2e-3 if dtype == "float32" else 1e-4
    np.testing.assert_allclose(log_prob, np.log(expected), atol=tolerance)


def test_far_tails_stay_finite_with_a_gradient_towards_the_data() -> None:
    x = np.array([32767, -32768, 30000, -30000], np.int16)
    mean, log_scale = tf.Variable(tf.zeros(4)), tf.Variable(tf.fill([4], -8.0))
    with tf.GradientTape() as tape:
        log_prob = discretized.gaussian_log_prob(x, mean, log_scale)
    slope_mean, slope_scale = tape.gradient(log_prob, [mean, log_scale])
    assert np.isfinite(log_prob).all()
    assert (np.sign(slope_mean) == np.sign(x)).all()
    assert (slope_scale.numpy() > 0).all()


@pytest.mark.parametrize("log_scale", [-9.0, -6.0, -2.0])
def test_gradients_are_finite_differences(log_scale) -> None:
    x = np.array([-900, -3, 0, 12, 900], np.int16)

    def value(shift, stretch):
        mean = tf.fill([5], tf.constant(0.001 + shift, tf.float64))
        return discretized.gaussian_log_prob(x, mean, tf.constant(log_scale + stretch, tf.float64))

    arguments = [tf.Variable(0.0, dtype=tf.float64), tf.Variable(0.0, dtype=tf.float64)]
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(value(*arguments))
    slopes = tape.gradient(total, arguments)
    step = 1e-6
    for index, slope in enumerate(slopes):
        ends = [
            tf.reduce_sum(value(*[s * step * (i == index) for i in range(2)])) for s in (1.0, -1.0)
        ]
        assert float(slope) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=2e-3)


def test_quantize_rounds_to_the_value_whose_bin_holds_the_number() -> None:
    a = tf.constant([0.49, -0.51, 2.0**15 - 1.6, 1e9, -1e9]) / 2.0**15
    assert discretized.quantize(a).numpy().tolist() == [0, -1, 32766, 32767, -32768]
