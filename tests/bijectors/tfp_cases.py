"""Comparisons with bijectors of TFP: what their tests share."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.testing import assert_allclose

tfb = tfp.bijectors

SIZE = 6


def _normal(rng: np.random.Generator, *shape: int) -> tf.Tensor:
    return tf.constant(rng.normal(size=shape))


def _assert_same(
    ours: tfb.Bijector, theirs: tfb.Bijector, z: tf.Tensor, event_ndims: int = 1
) -> None:
    """Values and log-dets of both directions, each on its own copy of the tensors."""
    x = theirs.forward(z)
    assert_allclose(ours.forward(tf.identity(z)), x, rtol=1e-10, atol=1e-10)
    assert_allclose(ours.inverse(tf.identity(x)), z, rtol=1e-9, atol=1e-9)
    forward = theirs.forward_log_det_jacobian(tf.identity(z), event_ndims=event_ndims)
    inverse = theirs.inverse_log_det_jacobian(tf.identity(x), event_ndims=event_ndims)
    copies = (tf.identity(z), tf.identity(x))
    assert_allclose(
        ours.forward_log_det_jacobian(copies[0], event_ndims=event_ndims),
        forward,
        rtol=1e-9,
        atol=1e-12,
    )
    assert_allclose(
        ours.inverse_log_det_jacobian(copies[1], event_ndims=event_ndims),
        inverse,
        rtol=1e-9,
        atol=1e-12,
    )


def _dense(rng: np.random.Generator, num_in: int, num_out: int):
    w = tf.constant(rng.normal(size=(num_in, 2 * num_out)))

    def conditioner(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shift, log_scale = tf.split(tf.tanh(tf.tensordot(x, w, 1)), 2, -1)
        return shift, log_scale

    return conditioner
