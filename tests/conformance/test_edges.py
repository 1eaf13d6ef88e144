"""Laws: numbers stay finite at the edges of the domain, and samples stay inside it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from cases import MODELS, dense, having, shared_model
from numpy.testing import assert_array_equal

from zoo.core.capabilities import Encodes, Samples, Scores


def _edge_rows(case) -> np.ndarray:
    if case.data.is_integer:
        audio, top = case.data.medium == "audio", case.data.levels - 1
        low, high = (-(2**15), 2**15 - 1) if audio else (0, top)
        rows = np.full((4, case.data.size), low, case.data.dtype)
        rows[1] = high
        rows[2, ::2] = high
        rows[3] = (low + high) // 2
        return rows.reshape([4, *case.event_shape])
    if case.data.columns:
        return np.stack([_edges(column) for column in case.data.columns], axis=1)
    ones = np.ones(case.event_shape, "float32")
    return np.stack([0.0 * ones, 30.0 * ones, -30.0 * ones, 1e-30 * ones])


def _edges(column) -> np.ndarray:
    """Four values at the edges of a column's support."""
    if column.is_categorical:
        return np.array([0, len(column.categories) - 1, 0, 1], "float32")
    if column.is_whole:
        return np.array([0, 2**22, 1, 1000], "float32")
    if column.kind == "circular":
        return np.array([0.0, np.nextafter(np.float32(column.period), 0.0), 1e-30, 1.0], "float32")
    if column.kind == "bounded":
        low, high = np.float32(column.minimum), np.float32(column.maximum)
        inner = [np.nextafter(low, high), np.nextafter(high, low)]
        return np.array([*inner, 0.5 * (low + high), low + 1e-6 * (high - low)], "float32")
    if column.kind == "positive":
        return np.array([1e-30, 1e30, 1.0, 3e38], "float32")
    return np.array([0.0, 1e30, -1e30, 1e-30], "float32")


@pytest.mark.parametrize("name", having(Scores))
def test_scores_and_gradients_are_finite_at_the_edges(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case)
    x, labels = _edge_rows(case), case.labels(4)
    assert np.isfinite(model.log_prob(x, labels)).all()
    context = model.checked_context(labels, rows=4)
    with tf.GradientTape() as tape:
        score = tf.reduce_sum(model.score(tf.constant(x), context, tf.constant([0, 0])))
    for gradient in dense(tape.gradient(score, model.trainable_variables)):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", having(Encodes))
def test_encode_is_finite_and_decode_returns_at_the_edges(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case)
    x, labels = _edge_rows(case), case.labels(4)
    z = model.encode(x, labels)
    assert np.isfinite(z).all()
    if model.lossless == "data" and model.data.levels:
        assert_array_equal(model.decode(z, labels), x)


@pytest.mark.parametrize("name", having(Samples, Scores))
@pytest.mark.parametrize("temperature", [0.0, 1.0, 3.0])
def test_samples_are_in_the_data_space_and_score(name: str, temperature: float) -> None:
    case = MODELS[name]
    model = shared_model(case)
    labels = case.labels(16)  # as in test_rows.py: some models compile a batch size
    samples = model.sample(16, seed=3, temperature=temperature, context=labels)
    assert samples.dtype == model.data.dtype
    assert tuple(samples.shape) == (16, *model.data.shape)
    if model.data.levels:
        assert samples.numpy().max() < model.data.levels
    assert np.isfinite(samples.numpy().astype("float64")).all()
    assert np.isfinite(model.log_prob(samples, labels)).all()
