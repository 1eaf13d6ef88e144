"""NICE against a port to NumPy from the paper's equations, with scipy's logistic density."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose

from zoo import models


def _mlp(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    *hidden, w, b = weights
    for kernel, bias in zip(hidden[::2], hidden[1::2], strict=True):
        x = np.maximum(x @ kernel + bias, 0.0)
    return x @ w + b


def _numpy_encode(model, x: np.ndarray) -> tuple[np.ndarray, float]:
    """Data to latents: diagonal scaling and couplings in the reverse of the order of generation."""
    evens, odds = x[:, 0::2], x[:, 1::2]
    for i, network in enumerate(model.shift_networks):
        shift = _mlp([w.numpy() for w in network.weights], evens if i % 2 == 0 else odds)
        if i % 2 == 0:
            odds = odds - shift
        else:
            evens = evens - shift
    log_scale = model.config.log_scale_factor * model.scaling.weights[0].numpy()
    return np.concatenate([evens, odds], -1) * np.exp(-log_scale), -log_scale.sum()


@pytest.mark.parametrize("base", ["logistic", "normal"])
@pytest.mark.parametrize("size", [5, 6])
def test_nice_is_its_numpy_port(rng: np.random.Generator, base: str, size: int) -> None:
    model = models.create(
        "nice",
        event_shape=(size,),
        hidden_units=(7, 8),
        num_couplings=3,
        base=base,
        log_scale_factor=3.0,
        dtype="float64",
    )
    for weight in model.trainable_weights:
        weight.assign(0.5 * rng.normal(size=weight.shape))
    x = rng.normal(size=(9, size))
    z, log_det = _numpy_encode(model, x)
    density = {"logistic": scipy.stats.logistic, "normal": scipy.stats.norm}[base]
    assert_allclose(model.encode(x), z, rtol=1e-9, atol=1e-10)
    assert_allclose(model.log_prob(x), density.logpdf(z).sum(-1) + log_det, rtol=1e-10)


def test_couplings_preserve_volume(rng: np.random.Generator) -> None:
    model = models.create(
        "nice", event_shape=(6,), hidden_units=(7,), num_couplings=4, dtype="float64"
    )
    for weight in model.trainable_weights:
        if "scaling" not in weight.path:
            weight.assign(rng.normal(size=weight.shape))
    x = rng.normal(size=(5, 6))
    base = scipy.stats.logistic.logpdf(model.encode(x).numpy()).sum(-1)
    assert_allclose(model.log_prob(x), base, rtol=1e-10)


def test_adapt_starts_the_scaling_at_the_deviation_of_the_data(rng: np.random.Generator) -> None:
    model = models.create(
        "nice", event_shape=(4,), hidden_units=(5,), log_scale_factor=20.0, dtype="float64"
    )
    x = rng.normal(size=(800, 4)) * [0.1, 1.0, 5.0, 50.0]
    model.adapt(x)
    logistic = np.pi / np.sqrt(3.0)  # the deviation of the base
    assert_allclose(model.encode(x).numpy().std(0), logistic, rtol=1e-6)


def test_the_papers_pixel_space_is_reported(rng: np.random.Generator) -> None:
    """nats of pixels in [0, 1] are nats of grey levels plus D log 256."""
    model = models.create("nice", event_shape=(2, 2, 1), hidden_units=(5,))
    x = rng.integers(0, 256, (3, 2, 2, 1)).astype("uint8")
    assert_allclose(model.paper_space_log_det(x), np.full(3, -4.0 * np.log(256.0)), rtol=1e-6)
