"""Neural spline flows, weight for weight against TFP's own splines and NumPy's linear maps."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal
from numpy_nsf import CONFIG, conditioned, linear, randomise

from zoo import models
from zoo.errors import ConfigError


@pytest.mark.parametrize("changes", [{}, {"context_size": 3}, {"affine": True}], ids=str)
@pytest.mark.parametrize("family", ["nsf", "nsf_coupling"])
def test_density_is_that_of_tfps_splines(
    rng: np.random.Generator, family: str, changes: dict
) -> None:
    model = models.create(family, event_shape=(5,), **CONFIG, **changes)
    randomise(model, rng)
    x = 2.0 * rng.normal(size=(8, 5))  # some beyond the splines' bound
    labels = np.arange(8, dtype="int32") % 3 if model.config.context_size else None
    z, log_det = x, 0.0
    for i in range(2):
        z, term = linear(model.linears[i], z)
        log_det = log_det + term
        z, term = conditioned(model, i, z, labels)
        log_det = log_det + term
    z, term = linear(model.linears[2], z)
    expected = scipy.stats.norm.logpdf(z).sum(-1) + log_det + term
    assert_allclose(model.log_prob(x, labels), expected, rtol=1e-9)
    assert_allclose(model.decode(model.encode(x, labels), labels), x, atol=1e-8)


@pytest.mark.parametrize("family", ["nsf", "nsf_coupling"])
def test_fresh_flows_are_permutations(rng: np.random.Generator, family: str) -> None:
    model = models.create(family, event_shape=(6,), **{**CONFIG, "num_units": 32})
    x = rng.normal(size=(200, 6))
    assert_allclose(model.log_prob(x), scipy.stats.norm.logpdf(x).sum(-1), rtol=1e-9)
    assert_allclose(np.sort(model.encode(x), -1), np.sort(x, -1), atol=1e-9)


def test_permutations_differ_from_layer_to_layer_and_repeat() -> None:
    first, second = (models.create("nsf", event_shape=(20,), **CONFIG) for _ in range(2))
    orders = [layer.permutation for layer in first.linears]
    assert len(set(orders)) == len(orders)
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert [layer.permutation for layer in second.linears] == orders


def test_dropout_is_active_in_training_alone(rng: np.random.Generator) -> None:
    model = models.create("nsf", event_shape=(4,), dropout=0.5, **{**CONFIG, "dtype": "float32"})
    randomise(model, rng)
    x = rng.normal(size=(8, 4)).astype("float32")
    assert_array_equal(model(x), model(x))
    assert not np.allclose(model(x, training=True), model(x, training=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 0}, "sizes of at least 1.*num_layers"),
        ({"num_blocks": 0}, "sizes of at least 1"),
        ({"num_bins": 1}, "num_bins must be at least 2 and below 1000; got 1"),
        ({"num_bins": 1000}, "below 1000; got 1000"),
        ({"tail_bound": 0.0}, "tail_bound must be positive"),
        ({"tail_bound": float("inf")}, "tail_bound must be a finite"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
        ({"num_units": 2.5}, "num_units must be an integer"),
    ],
)
@pytest.mark.parametrize("family", ["nsf", "nsf_coupling"])
def test_sizes_that_cannot_be_built_are_refused(family: str, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models.create(family, event_shape=(5,), **changes)


def test_couplings_need_two_dimensions() -> None:
    with pytest.raises(ConfigError, match=r"at least 2 dimensions.*\(1,\)"):
        models.create("nsf_coupling", event_shape=(1,))


@pytest.mark.parametrize("family", ["nsf", "nsf_coupling"])
def test_networks_in_bfloat16_leave_the_density_in_float32(family: str) -> None:
    sizes = {"event_shape": (5,), "num_layers": 2, "num_units": 16, "num_blocks": 1}
    exact = models.create(family, **sizes)
    rounded = models.build(family, exact.config, conditioner_dtype="mixed_bfloat16", name="rounded")
    rounded.set_weights(exact.get_weights())
    x = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
    nats = rounded.log_prob(x)
    assert nats.dtype == tf.float32
    assert_allclose(nats, exact.log_prob(x), atol=0.1)
    z = rounded.encode(x)
    assert z.dtype == tf.float32
    assert_allclose(rounded.decode(z), x, atol=0.05)
