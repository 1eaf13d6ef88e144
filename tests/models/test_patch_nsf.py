"""Neural spline flows of patches: their bounds, and their symmetry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from numpy.testing import assert_allclose
from numpy_nsf import CONFIG, conditioned, linear, randomise

from zoo import models
from zoo.bijectors import SquareEquivariant, inverse_and_log_det
from zoo.errors import ConfigError
from zoo.models.flows.patch_nsf import STEP_SLOPE
from zoo.ops.symmetries import all_symmetries

FAR = 1e6  # a bound that no value reaches


def bounded(x: np.ndarray, bound: float, most: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Beyond the bound the logarithm, beyond 1 / `most` of its slope a line, and the log-det."""
    excess = np.maximum(np.abs(x) - bound, 0.0)
    beyond = np.log(np.minimum(1.0 + excess, most))
    line = np.maximum(1.0 + excess - most, 0.0) / most
    return np.sign(x) * (np.minimum(np.abs(x), bound) + beyond + line), -beyond.sum(-1)


@pytest.mark.parametrize(
    "bounds",
    [{"latent_bound": 1.0, "step_bound": FAR}, {"latent_bound": FAR, "step_bound": 0.25}],
    ids=str,
)
def test_in_position_the_flow_is_the_coupling_flow_within_bounds(
    rng: np.random.Generator, bounds: dict
) -> None:
    model = models.create("nsf_patches", event_shape=(8,), **CONFIG, **bounds)
    randomise(model, rng)
    x = 2.0 * rng.normal(size=(8, 8))  # some beyond the splines' bound
    z, log_det = x, 0.0
    for i in range(2):
        for move in (
            lambda y, i=i: linear(model.linears[i], y),
            lambda y, i=i: conditioned(model, i, y, None),
            lambda y: bounded(y, bounds["step_bound"], STEP_SLOPE),
        ):
            z, term = move(z)
            log_det = log_det + term
    z, term = linear(model.linears[2], z)
    z, bounding = bounded(z, bounds["latent_bound"])
    flow = model.bijector().bijectors[0].flow_in_position
    found, found_log_det = inverse_and_log_det(flow, tf.constant(x), 1)
    assert_allclose(found, z, rtol=1e-9, atol=1e-9)
    assert_allclose(found_log_det, log_det + term + bounding, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("number", [2, 4, 8])
def test_turned_patches_have_one_density(rng: np.random.Generator, number: int) -> None:
    model = models.create("nsf_patches", event_shape=(8,), **CONFIG, square_positions=number)
    randomise(model, rng)
    x = 0.5 * rng.normal(size=(8, 8))
    scores = np.stack([model.log_prob(turned).numpy() for turned in all_symmetries(tf.constant(x))])
    alike = np.isclose(scores, scores[0], rtol=1e-7).all(1)
    assert alike.sum() == number
    (equivariant,) = model.bijector().bijectors
    flow = SquareEquivariant(equivariant.flow_in_position, model.config.slope_softness, number)
    z, log_det = inverse_and_log_det(flow, tf.constant(x), 1)
    assert_allclose(scores[0], scipy.stats.norm.logpdf(z).sum(-1) + log_det, rtol=1e-9)


def thrown(rng: np.random.Generator, **bounds: float) -> tuple[Any, Any, np.ndarray]:
    """A flow whose networks say large numbers, one of its weights within bounds, and rows."""
    config = {**CONFIG, "num_layers": 6, "affine": True, "dtype": "float32", "event_shape": (8,)}
    free = {"latent_bound": FAR, "step_bound": FAR}
    unbounded = models.create("nsf_patches", **config, **free)
    for weight in unbounded.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    for layer in unbounded.linears:
        layer.factors.assign(tf.zeros_like(layer.factors))
    within = models.create("nsf_patches", **config, **{**free, **bounds})
    within.set_weights(unbounded.get_weights())
    return unbounded, within, rng.normal(size=(200, 8)).astype("float32")


def test_a_latent_bound_keeps_thrown_rows_near(rng: np.random.Generator) -> None:
    """Networks that say large numbers carry rows away, ever further by every step."""
    unbounded, within, x = thrown(rng, latent_bound=3.0)
    far, near = (np.min(model.log_prob(x)) for model in (unbounded, within))
    assert -np.inf < far < -1e5
    assert near > -5e3
    assert np.abs(unbounded.encode(x)).max() > 1e3 > 50 > np.abs(within.encode(x)).max()


def test_a_step_bound_keeps_thrown_rows_near_and_samples_finite(rng: np.random.Generator) -> None:
    """Steps that carry rows away hand on less of it, and latents far out have finite data."""
    unbounded, within, x = thrown(rng, step_bound=3.0)
    far, near = (np.abs(model.encode(x)).max() for model in (unbounded, within))
    assert far > 30.0 * near > 0.0
    samples = within.decode(100.0 * rng.normal(size=(200, 8)).astype("float32"))
    assert np.isfinite(samples).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slope_softness": 0.0}, "slope_softness must be positive and finite; got 0.0"),
        ({"latent_bound": -1.0}, "latent_bound must be positive and finite; got -1.0"),
        ({"step_bound": float("nan")}, "step_bound must be a finite"),
        ({"step_bound": float("inf")}, "step_bound must be a finite"),
        ({"square_positions": 3}, r"one of \(2, 4, 8\); got 3"),
        ({"event_shape": (5,)}, r"rows of side\*\*2 - 1 real pixels.*\(5,\)"),
        ({"event_shape": (2, 4)}, r"rows of side\*\*2 - 1 real pixels.*\(2, 4\)"),
        ({"num_units": 0}, "sizes of at least 1"),
    ],
)
def test_sizes_that_cannot_be_built_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models.create("nsf_patches", **{"event_shape": (8,), **changes})
