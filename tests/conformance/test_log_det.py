"""Laws: log-dets are those of the autodiff Jacobian, opposite in sign, one number a row."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from cases import ALL_BIJECTORS, BIJECTORS, MODELS, having, jacobians, shared_model
from numpy.testing import assert_allclose

from zoo.bijectors.base import forward_and_log_det, inverse_and_log_det
from zoo.core.capabilities import Bijective
from zoo.ops.noise import hashed_uniform


@pytest.mark.parametrize("name", ALL_BIJECTORS)
def test_log_dets_match_the_autodiff_jacobian(name: str) -> None:
    case = ALL_BIJECTORS[name]
    # A conditional chain holds one context a row, and the Jacobian repeats rows.
    context = getattr(case, "labels", lambda rows: None)(1)
    num_rows = 3 if context is None else 1
    bijector, z = case.bijector(), case.latents(num_rows)
    if num_rows == 1:
        model = shared_model(case, "float64")
        bijector = model.bijector(np.repeat(context, case.event_size, axis=0))
        single = model.bijector(context)
    else:
        single = bijector
    _, expected = np.linalg.slogdet(jacobians(bijector.forward, z))
    event_ndims = len(case.latent_shape)
    forward_log_det = single.forward_log_det_jacobian(tf.identity(z), event_ndims=event_ndims)
    assert_allclose(forward_log_det, expected, rtol=1e-8, atol=1e-8)
    x = single.forward(z)
    inverse_log_det = single.inverse_log_det_jacobian(
        tf.identity(x), event_ndims=len(case.event_shape)
    )
    assert_allclose(inverse_log_det, -forward_log_det, rtol=1e-8, atol=1e-8)
    _, expected = np.linalg.slogdet(jacobians(bijector.inverse, tf.identity(x)))
    assert_allclose(inverse_log_det, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", BIJECTORS)
@pytest.mark.parametrize("batch_shape", [(), (4,), (2, 3)], ids=str)
def test_log_dets_have_the_batch_shape(name: str, batch_shape: tuple[int, ...]) -> None:
    case = BIJECTORS[name]
    bijector = case.bijector()
    z = tf.reshape(
        case.latents(int(np.prod(batch_shape, dtype=int))), [*batch_shape, *case.latent_shape]
    )
    x, forward_log_det = forward_and_log_det(bijector, z, len(case.latent_shape))
    recovered, inverse_log_det = inverse_and_log_det(bijector, x, len(case.event_shape))
    assert tuple(x.shape) == (*batch_shape, *case.event_shape)
    assert recovered.shape == z.shape
    assert tuple(forward_log_det.shape) == tuple(inverse_log_det.shape) == batch_shape


@pytest.mark.parametrize("name", BIJECTORS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bijectors_keep_the_dtype(name: str, dtype: str) -> None:
    case = BIJECTORS[name]
    bijector = case.bijector(dtype)
    x, forward_log_det = forward_and_log_det(
        bijector, case.latents(dtype=dtype), len(case.latent_shape)
    )
    z, inverse_log_det = inverse_and_log_det(bijector, x, len(case.event_shape))
    assert {t.dtype for t in (x, forward_log_det, z, inverse_log_det)} == {tf.as_dtype(dtype)}


@pytest.mark.parametrize("name", BIJECTORS)
def test_static_shapes_are_what_comes_out(name: str) -> None:
    case = BIJECTORS[name]
    bijector = case.bijector()
    assert tuple(bijector.forward_event_shape(case.latent_shape)) == case.event_shape
    assert tuple(bijector.inverse_event_shape(case.event_shape)) == case.latent_shape
    assert tuple(bijector.forward_event_shape_tensor(case.latent_shape).numpy()) == case.event_shape
    assert tuple(bijector.inverse_event_shape_tensor(case.event_shape).numpy()) == case.latent_shape


@pytest.mark.parametrize("name", having(Bijective))
def test_log_prob_is_the_base_density_times_the_jacobian(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case, "float64")
    x = case.rows(1)
    labels = case.labels(1)
    repeated_labels = None if labels is None else np.repeat(labels, case.event_size, axis=0)
    y = tf.cast(x, tf.float64)
    if model.data.is_integer:
        y += tf.cast(hashed_uniform(tf.cast(x, tf.int32), tf.constant([0, 0])), tf.float64)
    if model.data.medium == "audio":
        y -= 0.5
    z = model.bijector(labels).inverse(y).numpy()
    base = (
        scipy.stats.logistic
        if getattr(model.config, "base", "normal") == "logistic"
        else scipy.stats.norm
    )
    _, log_det = np.linalg.slogdet(jacobians(model.bijector(repeated_labels).inverse, y))
    expected = base.logpdf(z).sum(-1) + log_det
    assert_allclose(model.log_prob(x, labels), expected, rtol=1e-8)
    assert_allclose(model.distribution(labels).log_prob(y), expected, rtol=1e-8)
    bits = -expected / (case.event_size * np.log(2.0))
    assert_allclose(model.bits_per_dim(x, labels), bits, rtol=1e-8)


@pytest.mark.parametrize("name", having(Bijective))
def test_one_event_is_a_batch_of_one(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case, "float64")
    label = None if case.labels() is None else case.labels(2)[1]  # one for all
    y = model.dequantised(tf.constant(case.rows(1)), tf.constant([0, 0]))
    distribution = model.distribution(label)
    log_prob = distribution.log_prob(y[0])
    assert log_prob.shape == ()
    assert_allclose(log_prob, distribution.log_prob(y)[0], rtol=1e-9)
    assert distribution.sample(seed=1).shape == case.event_shape
    assert distribution.sample(3, seed=1).shape == (3, *case.event_shape)


@pytest.mark.parametrize("name", having(Bijective))
def test_log_det_to_the_paper_space_is_that_of_the_first_preprocessing_step(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case, "float64")
    x = case.rows(1)
    y = model.dequantised(tf.constant(x), tf.constant([0, 0]))
    expected = np.zeros(1)
    if members := model._preprocessing()[:1]:
        _, expected = np.linalg.slogdet(jacobians(members[0].inverse, y))
    assert_allclose(model.paper_space_log_det(x), expected, rtol=1e-9, atol=1e-9)
