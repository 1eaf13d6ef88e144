"""Laws: one number a row, and a row's numbers depend on that row alone."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from cases import BIJECTORS, MODELS, having, shared_model
from numpy.testing import assert_allclose, assert_array_equal

from zoo.bijectors.base import forward_and_log_det, inverse_and_log_det
from zoo.core.capabilities import Bijective, Encodes, Samples, Scores


@pytest.mark.parametrize("name", BIJECTORS)
def test_bijector_rows_are_independent(name: str) -> None:
    case = BIJECTORS[name]
    bijector, z = case.bijector(), case.latents(4)

    def both_ways(z: tf.Tensor) -> tuple[tf.Tensor, ...]:
        x, forward_log_det = forward_and_log_det(bijector, z, len(case.latent_shape))
        return x, forward_log_det, *inverse_and_log_det(bijector, x, len(case.event_shape))

    together = both_ways(z)
    for i in range(4):
        for all_rows, row in zip(together, both_ways(z[i : i + 1]), strict=True):
            assert_allclose(row[0], all_rows[i], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", having(Scores))
def test_model_rows_are_independent(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case, "float64")
    x, labels = case.rows(5), case.labels(5)
    scores = model.log_prob(x, labels)
    assert tuple(scores.shape) == (5,)
    order = np.array([3, 0, 4])
    some = None if labels is None else labels[order]
    assert_allclose(model.log_prob(x[order], some), scores.numpy()[order], rtol=1e-10)
    if not isinstance(model, Encodes):
        return
    latents = model.encode(x, labels)
    decoded = model.decode(latents, labels)
    assert_allclose(model.encode(x[order], some), latents.numpy()[order], rtol=1e-9, atol=1e-10)
    assert_allclose(
        model.decode(latents.numpy()[order], some), decoded.numpy()[order], rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("name", having(Scores, Samples))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_models_speak_their_dtypes(name: str, dtype: str) -> None:
    case = MODELS[name]
    model = shared_model(case, dtype)
    data_dtype = case.data.dtype if case.data.is_integer else dtype
    x, labels = case.rows(), case.labels()
    assert model.data.dtype == data_dtype
    assert model.log_prob(x, labels).dtype == dtype
    if isinstance(model, Encodes):
        assert model.encode(x, labels).dtype == model.latent.dtype
    samples = model.sample(3, seed=1, context=labels)
    assert samples.dtype == data_dtype
    assert tuple(samples.shape) == (3, *case.event_shape)
    measured = "typical_durations"  # numbers of classes: small, whatever the model's dtype
    floats = [v for v in model.variables if "int" not in v.dtype and v.name != measured]
    assert all(v.dtype == dtype for v in floats)


@pytest.mark.parametrize("name", having(Samples))
def test_samples_repeat_under_a_seed_and_vary_without(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case)
    labels = case.labels(16)
    first = model.sample(16, seed=7, context=labels).numpy()
    assert_array_equal(model.sample(16, seed=7, context=labels), first)
    assert (model.sample(16, seed=8, context=labels).numpy() != first).any()
    assert (model.sample(16, seed=(1, 7), context=labels).numpy() != first).any()
    unseeded = [model.sample(16, context=labels).numpy() for _ in range(2)]
    assert (unseeded[0] != unseeded[1]).any()
    if not isinstance(model, Bijective):
        return
    cold = model.sample(3, seed=7, temperature=0.0, context=case.labels()).numpy()
    zeros = np.zeros((3, case.event_size), "float32")
    assert_array_equal(cold, model.decode(zeros, case.labels()))
