"""Planar, radial and Sylvester models: what their layers are, and what they can fit."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from numpy.testing import assert_allclose

from zoo import models
from zoo.errors import ConfigError

SIZE = 3


def _weights(model) -> dict[str, np.ndarray]:
    return {w.path.rsplit("/", 1)[1]: w.numpy() for w in model.weights}


def _randomised(family: str, rng: np.random.Generator, **config):
    model = models.create(family, event_shape=(SIZE,), num_layers=3, dtype="float64", **config)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(size=weight.shape))
    return model


def _planar(z: np.ndarray, weights, i: int) -> np.ndarray:
    w, u, b = weights["w"][i], weights["u"][i], weights["b"][i]
    u_hat = u + (np.logaddexp(0.0, w @ u) - 1.0 - w @ u) * w / (w @ w)
    return z + u_hat * np.tanh(z @ w + b)[:, None]


def _radial(z: np.ndarray, weights, i: int) -> np.ndarray:
    offset = z - weights["center"][i]
    alpha = np.logaddexp(0.0, weights["raw_alpha"][i])
    beta = -alpha + np.logaddexp(0.0, weights["raw_beta"][i])
    return z + beta * offset / (alpha + np.linalg.norm(offset, axis=1, keepdims=True))


def _sylvester(z: np.ndarray, weights, i: int) -> np.ndarray:
    left, _, right = np.linalg.svd(weights["q"][i], full_matrices=False)
    q = left @ right
    r1, r2 = (
        np.triu(m, 1) + np.diag(np.tanh(np.diag(m))) for m in (weights["r1"][i], weights["r2"][i])
    )
    return z + np.tanh(z @ q @ r2.T + weights["b"][i]) @ r1.T @ q.T


@pytest.mark.parametrize(
    ("family", "layer"), [("planar", _planar), ("radial", _radial), ("sylvester", _sylvester)]
)
def test_layers_are_the_papers_one_after_the_other(
    family: str, layer, rng: np.random.Generator
) -> None:
    model = _randomised(family, rng)
    weights, z = _weights(model), rng.normal(size=(5, SIZE))
    x = z * np.exp(weights["raw_log_scale"]) + weights["shift"]
    for i in range(3):
        x = layer(x, weights, i)
    assert_allclose(model.decode(z), x, rtol=1e-9, atol=1e-9)
    # The density, with the Jacobian by autodiff of the map that was just compared.
    points = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(points)
        image = model._decode(points, None)
    _, log_det = np.linalg.slogdet(tape.batch_jacobian(image, points))
    expected = scipy.stats.norm.logpdf(z).sum(1) - log_det
    assert_allclose(model.log_prob(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("frame", ["householder", "triangular"])
def test_other_frames_make_other_flows(frame: str, rng: np.random.Generator) -> None:
    model = _randomised("sylvester", rng, frame=frame, num_vectors=4)
    weights = _weights(model)
    assert weights["r1"].shape == (3, SIZE, SIZE)
    assert ("q" in weights) == (frame == "householder")
    if frame == "householder":
        assert weights["q"].shape == (3, 4, SIZE)
    x = rng.normal(size=(4, SIZE))
    assert_allclose(model.decode(model.encode(x)), x, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("family", ["planar", "radial", "sylvester"])
def test_fit_by_likelihood_finds_a_shifted_and_stretched_normal(family: str) -> None:
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2000, 2))
    z[:, 1] = 0.4 * z[:, 0] + np.sqrt(0.84) * z[:, 1]
    rows = (np.array([2.0, -1.0]) + z * [2.0, 0.5]).astype("float32")
    preprocessing = {"whitening": "standardise"}
    model = models.create(family, event_shape=(2,), num_layers=2, preprocessing=preprocessing)
    model.adapt(rows)
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(rows, batch_size=100, epochs=5, verbose=0).history["loss"]
    entropy = float(scipy.stats.norm(scale=[2.0, 0.5]).entropy().sum()) + 0.5 * np.log(0.84)
    assert losses[-1] < losses[0]
    assert losses[-1] == pytest.approx(entropy, abs=0.15)


@pytest.mark.parametrize("family", ["planar", "radial", "sylvester"])
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_layers": 0}, "num_layers >= 1"),
        ({"base_scale": 0.0}, "finite base_scale"),
        ({"base_scale": math.nan}, "finite"),
        ({"base_scale": math.inf}, "finite"),
    ],
)
def test_sizes_that_cannot_be_built_are_refused(family: str, config: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models.create(family, event_shape=(2,), **config)


@pytest.mark.parametrize("config", [{"num_vectors": 0}, {"num_vectors": 3}])
def test_an_orthogonal_frame_has_at_most_as_many_columns_as_dimensions(config: dict) -> None:
    with pytest.raises(ConfigError, match="num_vectors must be at least 1, and at most"):
        models.create("sylvester", event_shape=(2,), **config)
    models.create("sylvester", event_shape=(2,), frame="householder", num_vectors=3)
