"""Laws: numbers stay finite at the edges of the domain, and samples stay inside it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from cases import MODELS, shared_model
from numpy.testing import assert_array_equal


def _edge_rows(case) -> np.ndarray:
    if len(case.event_shape) == 3:
        rows = np.zeros((4, *case.event_shape), "uint8")
        rows[1] = 255
        rows[2, ..., ::2, :, :] = 255
        rows[3] = 127
        return rows
    ones = np.ones(case.event_shape, "float32")
    return np.stack([0.0 * ones, 30.0 * ones, -30.0 * ones, 1e-30 * ones])


@pytest.mark.parametrize("name", MODELS)
def test_scores_and_gradients_are_finite_at_the_edges(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case)
    x, labels = _edge_rows(case), case.labels(4)
    assert np.isfinite(model.log_prob(x, labels)).all()
    with tf.GradientTape() as tape:
        score = tf.reduce_sum(model.score(tf.constant(x), labels, tf.constant([0, 0])))
    for gradient in tape.gradient(score, model.trainable_variables):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", MODELS)
def test_encode_is_finite_and_decode_returns_at_the_edges(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case)
    x, labels = _edge_rows(case), case.labels(4)
    z = model.encode(x, labels)
    assert np.isfinite(z).all()
    if model.data.dtype == "uint8":
        assert_array_equal(model.decode(z, labels), x)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("temperature", [0.0, 1.0, 3.0])
def test_samples_are_finite_and_score(name: str, temperature: float) -> None:
    case = MODELS[name]
    model = shared_model(case)
    labels = case.labels(32)
    samples = model.sample(32, seed=3, temperature=temperature, context=labels)
    assert np.isfinite(samples.numpy().astype("float64")).all()
    assert np.isfinite(model.log_prob(samples, labels)).all()
