"""Neural spline flows, weight for weight against TFP's own splines and NumPy's linear maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.testing import assert_allclose, assert_array_equal

from zoo import models
from zoo.errors import ConfigError
from zoo.models.flows.nsf import STEP_SLOPE

BINS, BOUND = 4, 2.0
CONFIG = {
    "num_layers": 2,
    "num_units": 9,
    "num_blocks": 1,
    "num_bins": BINS,
    "tail_bound": BOUND,
    "dtype": "float64",
}


def _randomise(model, rng: np.random.Generator) -> None:
    for weight in model.trainable_weights:
        weight.assign(0.5 * rng.normal(size=weight.shape))


def _spline(raw: np.ndarray) -> tfp.bijectors.RationalQuadraticSpline:
    """TFP's spline of raw numbers [..., 3 K - 1], by the paper's code (Sec. 3.1): K bins in 2 B."""
    widths, heights, slopes = np.split(raw, [BINS, 2 * BINS], -1)
    sizes = [
        2 * BOUND * (1e-3 + (1 - 1e-3 * BINS) * scipy.special.softmax(x, -1))
        for x in (widths, heights)
    ]
    offset = np.log(np.exp(1 - 1e-3) - 1)  # raw zeros are slope 1
    return tfp.bijectors.RationalQuadraticSpline(
        bin_widths=tf.constant(sizes[0]),
        bin_heights=tf.constant(sizes[1]),
        knot_slopes=tf.constant(1e-3 + np.logaddexp(0.0, slopes + offset)),
        range_min=tf.constant(-BOUND, tf.float64),
    )


def _linear(layer, x: np.ndarray) -> tuple[np.ndarray, float]:
    """L U P x + b, and log|det|."""
    factors, bias = layer.factors.numpy(), layer.bias.numpy()
    lower = np.tril(factors, -1) + np.eye(len(factors))
    upper = np.triu(factors, 1) + np.diag(np.exp(np.diag(factors)))
    matrix = lower @ upper @ np.eye(len(factors))[list(layer.permutation)]
    return x @ matrix.T + bias, np.linalg.slogdet(matrix)[1]


def _splined(x: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spline = _spline(raw)
    z = spline.forward(tf.constant(x)).numpy()
    return z, spline.forward_log_det_jacobian(tf.constant(x), event_ndims=1).numpy()


def _mapped(model, x: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The splines, after an affine map where the model has one, within its limits."""
    config = model.config
    if not config.affine:
        return _splined(x, raw)
    shift, log_scale = raw[..., 0], raw[..., 1]
    if config.shift_limit:
        shift = config.shift_limit * np.tanh(shift / config.shift_limit)
    negative = config.negative_log_scale_limit or config.log_scale_limit
    limit = np.where(log_scale < 0.0, negative, config.log_scale_limit)
    log_scale = limit * np.tanh(log_scale / limit)
    z, log_det = _splined((x - shift) * np.exp(-log_scale), raw[..., 2:])
    return z, log_det - log_scale.sum(-1)


def _conditioned(model, index: int, x: np.ndarray, labels: np.ndarray | None) -> tuple:
    """A step's splines: the conditioner is the model's own network, tested for itself."""
    context = None if labels is None else np.eye(model.config.context_size)[labels]
    network = model.networks[index]
    if model.family == "nsf":
        return _mapped(model, x, network(x, context=context).numpy())
    half = (x.shape[1] + 1) // 2
    parts = [x[:, :half], x[:, half:]]
    kept, moved = parts if index % 2 == 0 else parts[::-1]
    inputs = kept if context is None else np.concatenate([kept, context], 1)
    raw = network(inputs).numpy().reshape(len(x), moved.shape[1], -1)
    z, log_det = _mapped(model, moved, raw)
    joined = [kept, z] if index % 2 == 0 else [z, kept]
    return np.concatenate(joined, 1), log_det


def _bounded(x: np.ndarray, bound: float, most: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Beyond the bound the logarithm, beyond 1 / `most` of its slope a line, and the log-det."""
    excess = np.maximum(np.abs(x) - bound, 0.0)
    beyond = np.log(np.minimum(1.0 + excess, most))
    line = np.maximum(1.0 + excess - most, 0.0) / most
    return np.sign(x) * (np.minimum(np.abs(x), bound) + beyond + line), -beyond.sum(-1)


LIMITS = {"log_scale_limit": 3.0, "negative_log_scale_limit": 0.5, "shift_limit": 0.5}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"context_size": 3},
        {"affine": True},
        {"affine": True, **LIMITS},
        {"latent_bound": 1.0},
        {"step_bound": 0.25},
    ],
    ids=str,
)
@pytest.mark.parametrize("family", ["nsf", "nsf_coupling"])
def test_density_is_that_of_tfps_splines(
    rng: np.random.Generator, family: str, changes: dict
) -> None:
    config = {**CONFIG, **changes}
    context_size = changes.get("context_size", 0)
    model = models.create(family, event_shape=(5,), **config)
    _randomise(model, rng)
    x = 2.0 * rng.normal(size=(8, 5))  # some beyond the splines' bound
    labels = np.arange(8, dtype="int32") % 3 if context_size else None
    z, log_det = x, 0.0
    for i in range(2):
        z, term = _linear(model.linears[i], z)
        log_det = log_det + term
        z, term = _conditioned(model, i, z, labels)
        log_det = log_det + term
        z, term = _bounded(z, changes.get("step_bound", np.inf), STEP_SLOPE)
        log_det = log_det + term
    z, term = _linear(model.linears[2], z)
    z, bounding = _bounded(z, changes.get("latent_bound", np.inf))
    expected = scipy.stats.norm.logpdf(z).sum(-1) + log_det + term + bounding
    assert_allclose(model.log_prob(x, labels), expected, rtol=1e-9)
    # A latent beyond the bound is rounded there, and its exponential magnifies that.
    tolerance = 1e-6 if "latent_bound" in changes else 1e-8
    assert_allclose(model.decode(model.encode(x, labels), labels), x, atol=tolerance)


def _thrown(rng: np.random.Generator, family: str, **bounds: float) -> tuple[Any, Any, np.ndarray]:
    """A flow whose networks say large numbers, one of its weights with bounds, and rows."""
    config = {**CONFIG, "num_layers": 6, "affine": True, "dtype": "float32"}
    unbounded = models.create(family, event_shape=(6,), **config)
    for weight in unbounded.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    for layer in unbounded.linears:
        layer.factors.assign(tf.zeros_like(layer.factors))
    bounded = models.create(family, event_shape=(6,), **bounds, **config)
    bounded.set_weights(unbounded.get_weights())
    return unbounded, bounded, rng.normal(size=(200, 6)).astype("float32")


@pytest.mark.parametrize("family", ["nsf", "nsf_coupling"])
def test_a_latent_bound_keeps_thrown_rows_near(rng: np.random.Generator, family: str) -> None:
    """Networks that say large numbers carry rows away, ever further by every step."""
    unbounded, bounded, x = _thrown(rng, family, latent_bound=3.0)
    far, near = (np.min(model.log_prob(x)) for model in (unbounded, bounded))
    assert -np.inf < far < -1e5
    assert near > -5e3
    assert np.abs(unbounded.encode(x)).max() > 1e3 > 50 > np.abs(bounded.encode(x)).max()


@pytest.mark.parametrize("family", ["nsf", "nsf_coupling"])
def test_a_step_bound_keeps_thrown_rows_near_and_samples_finite(
    rng: np.random.Generator, family: str
) -> None:
    """Steps that carry rows away hand on less of it, and latents far out have finite data."""
    unbounded, bounded, x = _thrown(rng, family, step_bound=3.0)
    far, near = (np.abs(model.encode(x)).max() for model in (unbounded, bounded))
    assert far > 30.0 * near > 0.0
    samples = bounded.decode(100.0 * rng.normal(size=(200, 6)).astype("float32"))
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("family", ["nsf", "nsf_coupling"])
def test_fresh_flows_are_close_to_a_permutation(rng: np.random.Generator, family: str) -> None:
    model = models.create(family, event_shape=(6,), **{**CONFIG, "num_units": 32})
    x = rng.normal(size=(200, 6))
    difference = model.log_prob(x).numpy() - scipy.stats.norm.logpdf(x).sum(-1)
    assert 0.0 < np.abs(difference).mean() < 1.0


def test_permutations_differ_from_layer_to_layer_and_repeat() -> None:
    first, second = (models.create("nsf", event_shape=(20,), **CONFIG) for _ in range(2))
    orders = [layer.permutation for layer in first.linears]
    assert len(set(orders)) == len(orders)
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert [layer.permutation for layer in second.linears] == orders


def test_dropout_is_active_in_training_alone(rng: np.random.Generator) -> None:
    model = models.create("nsf", event_shape=(4,), dropout=0.5, **{**CONFIG, "dtype": "float32"})
    _randomise(model, rng)
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
        ({"tail_bound": float("inf")}, "positive and finite; got inf"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
        ({"log_scale_limit": 0.0}, r"log_scale_limit must be in \(0, 10\]; got 0.0"),
        ({"negative_log_scale_limit": -1.0}, "negative_log_scale_limit must be 0 or a limit"),
        ({"shift_limit": float("inf")}, "shift_limit must be 0 or a limit; got inf"),
        ({"latent_bound": -1.0}, "latent_bound must be 0 or a limit; got -1.0"),
        ({"step_bound": float("nan")}, "step_bound must be 0 or a limit; got nan"),
        ({"slope_softness": 0.0}, "slope_softness must be positive and finite; got 0.0"),
        ({"square_positions": 3}, r"0 or one of \(2, 4, 8\); got 3"),
        ({"square_positions": 8}, r"rows of side\*\*2 - 1 real pixels.*\(5,\)"),
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
