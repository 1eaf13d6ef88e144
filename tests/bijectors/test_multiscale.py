from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.testing import assert_allclose, assert_array_equal

from zoo.bijectors.base import OnePassBijector, forward_and_log_det, inverse_and_log_det
from zoo.bijectors.elementwise import BatchNorm, DiagonalAffine
from zoo.bijectors.multiscale import FactorOut, Unsqueeze

tfb = tfp.bijectors


def test_squeezing_puts_each_square_into_channels() -> None:
    """[2h, 2w, c] -> [h, 2, w, 2, c] -> [h, w, 2, 2, c] -> [h, w, 4c], in NumPy."""
    x = np.arange(2 * 4 * 6 * 3, dtype="float32").reshape(2, 4, 6, 3)
    expected = x.reshape(2, 2, 2, 3, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(2, 2, 3, 12)
    assert_array_equal(Unsqueeze().inverse(tf.constant(x)), expected)
    assert_array_equal(Unsqueeze().forward(tf.constant(expected)), x)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=str)
def test_squeezing_takes_any_batch(batch: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=(*batch, 2, 2, 1))
    z = Unsqueeze().inverse(tf.constant(x))
    assert_array_equal(z, x.reshape(*batch, 1, 1, 4))


def test_halves_of_squeezed_channels_are_rows_not_colours_of_the_checkerboard() -> None:
    x = np.array([[0.0, 1.0], [2.0, 3.0]]).reshape(1, 2, 2, 1)
    z = Unsqueeze().inverse(tf.constant(x)).numpy().ravel()
    assert_array_equal(z[:2], [0.0, 1.0])
    assert_array_equal(z[2:], [2.0, 3.0])


def test_factoring_out_transforms_the_kept_channels_alone(rng: np.random.Generator) -> None:
    inner = tfb.Chain(
        [DiagonalAffine(tf.constant([1.0]), tf.constant([0.5]), event_shape=(2, 2, 1))]
    )
    z = tf.constant(rng.normal(size=(3, 2, 2, 3)), tf.float32)
    x, log_det = FactorOut(inner, num_kept=1).forward_and_log_det(z)
    assert_array_equal(x[..., 1:], z[..., 1:])
    assert_allclose(x[..., :1], z[..., :1] * np.exp(0.5) + 1.0, rtol=1e-6)
    assert_allclose(log_det, np.full(3, 4 * 0.5))


def test_batch_norm_is_equation_19_to_22(rng: np.random.Generator) -> None:
    x = rng.normal(2.0, 3.0, size=(8, 4))
    mean, variance = x.mean(0), x.var(0)
    log_gamma, beta = rng.normal(size=4), rng.normal(size=4)
    bijector = BatchNorm(
        lambda rows: tuple(tf.constant(t) for t in (mean, variance)),
        log_gamma=tf.constant(log_gamma),
        beta=tf.constant(beta),
        epsilon=1e-5,
        event_shape=(4,),
    )
    z, log_det = bijector.inverse_and_log_det(tf.constant(x))
    assert_allclose(z, (x - mean) / np.sqrt(variance + 1e-5) * np.exp(log_gamma) + beta, rtol=1e-10)
    assert_allclose(
        log_det, np.full(8, (log_gamma - 0.5 * np.log(variance + 1e-5)).sum()), rtol=1e-10
    )
    assert_allclose(z.numpy().mean(0), beta, rtol=1e-6)
    assert_allclose(z.numpy().std(0), np.exp(log_gamma), rtol=1e-4)


def test_walks_pass_through_nested_chains_and_tfps_own_bijectors(rng: np.random.Generator) -> None:
    affine = DiagonalAffine(
        tf.constant(rng.normal(size=4)), tf.constant(rng.normal(size=4)), event_shape=(4,)
    )
    chain = tfb.Chain([tfb.Chain([affine, tfb.Exp()]), tfb.Reshape([4], event_shape_in=[2, 2])])
    z = tf.constant(rng.normal(size=(3, 2, 2)))
    x, log_det = forward_and_log_det(chain, z, 2)
    assert_allclose(x, chain.forward(tf.identity(z)), rtol=1e-12)
    assert_allclose(
        log_det, chain.forward_log_det_jacobian(tf.identity(z), event_ndims=2), rtol=1e-12
    )
    recovered, inverse_log_det = inverse_and_log_det(chain, x, 1)
    assert_allclose(recovered, z, rtol=1e-9)
    assert_allclose(inverse_log_det, -log_det, rtol=1e-9)


def test_the_interface_itself_has_no_maths() -> None:
    bijector = OnePassBijector(event_ndims=1, parameters={}, name="nothing")
    with pytest.raises(NotImplementedError):
        bijector.forward_and_log_det(tf.zeros([1, 2]))
    with pytest.raises(NotImplementedError):
        bijector.inverse_and_log_det(tf.zeros([1, 2]))
