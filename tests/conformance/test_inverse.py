"""Laws: the inverse undoes forward, both ways; encode and decode undo each other."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from cases import ALL_BIJECTORS, MODELS, shared_model
from numpy.testing import assert_allclose, assert_array_equal

from zoo.bijectors.base import forward_and_log_det, inverse_and_log_det


@pytest.mark.parametrize("name", ALL_BIJECTORS)
def test_inverse_undoes_forward_and_forward_undoes_inverse(name: str) -> None:
    case = ALL_BIJECTORS[name]
    bijector, z = case.bijector(), case.latents()
    x = bijector.forward(z)
    # TFP remembers which tensor came from which; a copy makes it compute.
    recovered = bijector.inverse(tf.identity(x))
    assert recovered is not z
    assert_allclose(recovered, z, rtol=1e-8, atol=1e-8)
    again = bijector.forward(tf.identity(recovered))
    assert again is not x
    assert_allclose(again, x, rtol=1e-8, atol=1e-8)
    assert tuple(x.shape[1:]) == case.event_shape
    assert x.dtype == z.dtype == recovered.dtype == tf.float64


@pytest.mark.parametrize("name", ALL_BIJECTORS)
def test_the_walk_agrees_with_tfp(name: str) -> None:
    case = ALL_BIJECTORS[name]
    bijector, z = case.bijector(), case.latents()
    event_ndims, data_ndims = len(case.latent_shape), len(case.event_shape)
    x, forward_log_det = forward_and_log_det(bijector, z, event_ndims)
    assert_allclose(x, bijector.forward(tf.identity(z)), rtol=1e-10, atol=1e-12)
    assert_allclose(
        forward_log_det,
        bijector.forward_log_det_jacobian(tf.identity(z), event_ndims=event_ndims),
        rtol=1e-10,
        atol=1e-10,
    )
    recovered, inverse_log_det = inverse_and_log_det(bijector, x, data_ndims)
    assert_allclose(recovered, z, rtol=1e-8, atol=1e-8)
    assert_allclose(inverse_log_det, -forward_log_det, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_decode_undoes_encode(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case, "float64")
    x, labels = case.rows(8), case.labels(8)
    z = model.encode(x, labels)
    assert tuple(z.shape) == (8, case.event_size)
    decoded = model.decode(tf.identity(z), labels)
    assert decoded.dtype == model.data.dtype
    if model.data.dtype == "uint8":
        assert_array_equal(decoded, x)
    else:
        assert_allclose(decoded, x, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_decode_undoes_encode_in_single_precision(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case)
    x, labels = case.rows(8), case.labels(8)
    decoded = np.asarray(model.decode(model.encode(x, labels), labels))
    if model.data.dtype == "uint8":
        assert_array_equal(decoded, x)
    else:
        assert_allclose(decoded, x, rtol=1e-3, atol=1e-3)
