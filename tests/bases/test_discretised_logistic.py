"""The discretised logistic against SciPy's distribution function, its draws, its start."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from zoo.bases.discretised_logistic import DiscretisedLogistic, log_mass, quantile


@pytest.mark.parametrize(("location", "rate"), [(0.5, np.log(2.0)), (-3.2, 4.0), (100.0, 0.01)])
def test_masses_are_differences_of_the_distribution_function(location: float, rate: float) -> None:
    k = np.arange(-40.0, 60.0)
    logistic = scipy.stats.logistic(loc=location, scale=1.0 / rate)
    # By the tail that keeps its precision: the survival function above the location.
    mass = np.where(
        k < location,
        logistic.cdf(k + 1) - logistic.cdf(k),
        logistic.sf(k) - logistic.sf(k + 1),
    )
    found = log_mass(*(tf.constant(v, tf.float64) for v in (k, location, rate)))
    assert_allclose(np.exp(found), mass, rtol=1e-9)


def test_masses_far_out_are_finite_with_their_gradient() -> None:
    """Where the authors' own form, with p**(x - m), overflows."""
    k = tf.constant([-1e6, -1e3, 0.0, 1e3, 1e6])
    rate = tf.Variable([1e-4, 1.0, 30.0, 1.0, 1e-4])
    with tf.GradientTape() as tape:
        nats = log_mass(k, 0.5, rate)
    assert np.isfinite(nats).all()
    assert np.isfinite(tape.gradient(nats, rate)).all()
    assert_allclose(nats[1], -999.5 + np.log1p(-np.exp(-1.0)), rtol=1e-6)


def _base(num_components: int, seed: int = 0) -> DiscretisedLogistic:
    base = DiscretisedLogistic(2, num_components=num_components, span=9, dtype="float64")
    base.build()
    rng = np.random.default_rng(seed)
    for weight in base.weights:
        weight.assign(np.asarray(weight) + rng.normal(size=weight.shape))
    return base


@pytest.mark.parametrize("num_components", [1, 3])
def test_masses_add_up_to_one(num_components: int) -> None:
    base = _base(num_components)
    assert len(base.weights) == (2 if num_components == 1 else 3)
    k = np.arange(-200.0, 200.0)
    grid = np.stack(np.meshgrid(k, k), axis=-1).reshape(-1, 2)
    assert_allclose(np.exp(base.log_prob(tf.constant(grid))).sum(), 1.0, atol=1e-9)


@pytest.mark.parametrize("num_components", [1, 3])
def test_draws_have_the_masses(num_components: int) -> None:
    base, count = _base(num_components, seed=1), 20_000
    z = base.sample(count, tf.constant([3, 4])).numpy()
    assert z.dtype == np.int32
    for dimension in range(2):
        k = np.arange(-300, 300)
        rows = np.zeros((len(k), 2))
        rows[:, dimension] = k
        mass = np.exp(base.log_prob(tf.constant(rows)))
        mass = np.append(mass / mass.sum(), 0.0)
        common = mass * count >= 10
        observed = np.array([(z[:, dimension] == value).sum() for value in k[common[:-1]]])
        expected = count * mass[common]
        observed = np.append(observed, count - observed.sum())
        expected = np.append(expected, count - expected.sum())
        assert scipy.stats.chisquare(observed, expected).pvalue > 1e-3


def test_a_draw_does_not_depend_on_their_number() -> None:
    base, seed = _base(3), tf.constant([1, 2])
    many = base.sample(7, seed)
    assert_array_equal(base.sample(1, seed), many[:1])
    assert len(np.unique(many, axis=0)) > 1
    assert np.any(base.sample(7, tf.constant([1, 3])) != many)


def test_temperature_scales_the_base() -> None:
    base, seed = _base(1), tf.constant([1, 2])
    location = np.asarray(base.location)[:, 0]
    assert_array_equal(base.sample(5, seed, 0.0), np.tile(np.floor(location), (5, 1)))
    spread = [np.std(base.sample(500, seed, t).numpy()[:, 0]) for t in (8.0, 16.0, 32.0)]
    assert spread[1] / spread[0] == pytest.approx(2.0, rel=0.02)  # the same uniforms
    assert spread[2] / spread[1] == pytest.approx(2.0, rel=0.02)
    u = tf.constant([1e-12, 0.5, 1.0 - 1e-12], tf.float64)
    assert np.isfinite(quantile(u, 0.5, tf.constant(1e-4, tf.float64))).all()


def test_the_start_at_rows() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.choice([0, 16], 400), rng.integers(0, 17, 400)], axis=1)
    single, mixture = (
        DiscretisedLogistic(2, num_components=count, span=17, dtype="float64") for count in (1, 4)
    )
    nats = []
    for base in (single, mixture):
        base.build()
        before = np.mean(base.log_prob(tf.constant(rows, tf.float64)))
        base.adapt(rows)
        nats.append(np.mean(base.log_prob(tf.constant(rows, tf.float64))))
        assert nats[-1] > before
    assert nats[1] > nats[0]
    assert_array_equal(np.asarray(single.location)[:, 0], np.median(rows, axis=0) + 0.5)
