"""Laws: one number a row, and a row's numbers depend on that row alone."""

from __future__ import annotations

import numpy as np
import pytest
from cases import ALL_BIJECTORS, MODELS, shared_model
from numpy.testing import assert_allclose, assert_array_equal


@pytest.mark.parametrize("name", [n for n in ALL_BIJECTORS if not n.startswith("model-")])
def test_bijector_rows_are_independent(name: str) -> None:
    case = ALL_BIJECTORS[name]
    bijector, z = case.bijector(), case.latents(4)
    together = (
        *bijector.forward_and_log_det(z),
        *bijector.inverse_and_log_det(bijector.forward(z)),
    )
    for i in range(4):
        x = bijector.forward(z[i : i + 1])
        alone = (*bijector.forward_and_log_det(z[i : i + 1]), *bijector.inverse_and_log_det(x))
        for all_rows, row in zip(together, alone, strict=True):
            assert_allclose(row[0], all_rows[i], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_model_rows_are_independent(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case, "float64")
    x, labels = case.rows(5), case.labels(5)
    scores, latents = model.log_prob(x, labels), model.encode(x, labels)
    decoded = model.decode(latents, labels)
    assert tuple(scores.shape) == (5,)
    order = np.array([3, 0, 4])
    some = None if labels is None else labels[order]
    assert_allclose(model.log_prob(x[order], some), scores.numpy()[order], rtol=1e-10)
    assert_allclose(model.encode(x[order], some), latents.numpy()[order], rtol=1e-9, atol=1e-10)
    assert_allclose(
        model.decode(latents.numpy()[order], some), decoded.numpy()[order], rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_models_speak_their_dtypes(name: str, dtype: str) -> None:
    case = MODELS[name]
    model = shared_model(case, dtype)
    data_dtype = "uint8" if len(case.event_shape) == 3 else dtype
    x, labels = case.rows(), case.labels()
    assert model.data_dtype == data_dtype
    assert model.log_prob(x, labels).dtype == dtype
    assert model.encode(x, labels).dtype == dtype
    samples = model.sample(3, seed=1, context=labels)
    assert samples.dtype == data_dtype
    assert tuple(samples.shape) == (3, *case.event_shape)
    assert all(v.dtype in (dtype, "int64") for v in model.variables)


@pytest.mark.parametrize("name", MODELS)
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
    cold = model.sample(3, seed=7, temperature=0.0, context=case.labels()).numpy()
    zeros = np.zeros((3, case.event_size), "float32")
    assert_array_equal(cold, model.decode(zeros, case.labels()))
