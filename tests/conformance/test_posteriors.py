"""Laws of models that infer: bounds in order, and what latents give back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from cases import MODELS, having, shared_model

from zoo.core.capabilities import Infers

DRAWS = 64


@pytest.mark.parametrize("name", having(Infers))
def test_the_elbo_is_below_the_importance_weighted_bound_in_the_mean(name: str) -> None:
    case = MODELS[name]
    model, x, c = shared_model(case), tf.constant(case.rows(4)), case.labels(4)
    elbos = np.stack([model.elbo(x, c, seed=seed).numpy() for seed in range(DRAWS)])
    tighter = np.stack([model.log_prob(x, c, seed=seed).numpy() for seed in range(DRAWS // 4)])
    error = np.sqrt(elbos.var(0) / len(elbos) + tighter.var(0) / len(tighter))
    assert (elbos.mean(0) < tighter.mean(0) + 4.0 * error).all()
    assert elbos.mean() < tighter.mean()  # random posteriors are not the true ones


@pytest.mark.parametrize("name", having(Infers))
def test_one_importance_sample_is_the_weight_of_a_draw_of_the_posterior(name: str) -> None:
    """E over the posterior's own draws of log p(x, z) - log q(z | x) is that of the ELBO."""
    case = MODELS[name]
    model, x, c = shared_model(case), case.rows(2), case.labels(2)
    single = [model.log_prob(x, c, seed=s, num_importance_samples=1).numpy() for s in range(DRAWS)]
    elbos = [model.elbo(x, c, seed=s).numpy() for s in range(DRAWS)]
    spread = np.std(single, 0) + np.std(elbos, 0)
    difference = np.abs(np.mean(single, 0) - np.mean(elbos, 0))
    assert (difference < 5.0 * spread / math.sqrt(DRAWS) + 1e-9).all()
    posterior = model.posterior(x, c)
    assert tuple(posterior.batch_shape) == (2,)
    assert tuple(posterior.event_shape) == model.latent.shape


@pytest.mark.parametrize("name", having(Infers))
def test_a_reconstruction_is_in_the_range_of_the_data(name: str) -> None:
    case = MODELS[name]
    model, x, c = shared_model(case), case.rows(4), case.labels(4)
    mean = model.reconstruct(x, c).numpy()
    assert mean.shape == x.shape
    assert mean.dtype == np.float32
    assert np.isfinite(mean).all()
    if case.data.levels:
        assert mean.min() >= 0.0
        assert mean.max() <= case.data.levels - 1
    assert model.encode(x, c).shape == (4, *model.latent.shape)
