"""The gated update against the paper's recursion, and against TFP's inverted MAF."""

from __future__ import annotations

import numpy as np
import scipy.special
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.testing import assert_allclose

from zoo.bijectors.inverse_autoregressive import InverseAutoregressive

tfb = tfp.bijectors

SIZE = 5


def _conditioner(rng: np.random.Generator):
    weights = [np.triu(rng.normal(size=(SIZE, SIZE)), 1) for _ in range(2)]

    def mean_and_gate(z):
        return tuple(tf.tensordot(tf.tanh(z), tf.constant(w), 1) + 0.4 for w in weights)

    return mean_and_gate, weights


def test_the_gated_update_is_the_papers(rng: np.random.Generator) -> None:
    """Eq. 13-14, coordinate by coordinate."""
    conditioner, weights = _conditioner(rng)
    z = rng.normal(size=(4, SIZE))
    x, log_det = InverseAutoregressive(conditioner).forward_and_log_det(tf.constant(z))
    expected, gates = np.zeros_like(z), np.zeros_like(z)
    for i in range(SIZE):
        past = np.tanh(z[:, :i])
        m, s = (past @ w[:i, i] + 0.4 for w in weights)
        gates[:, i] = scipy.special.expit(s)
        expected[:, i] = gates[:, i] * z[:, i] + (1.0 - gates[:, i]) * m
    assert_allclose(x, expected, rtol=1e-12)
    assert_allclose(log_det, np.log(gates).sum(-1), rtol=1e-12)


def test_it_is_an_inverted_masked_autoregressive_flow(rng: np.random.Generator) -> None:
    """By TFP's own, whose forward runs one coordinate after the other."""
    conditioner, _ = _conditioner(rng)

    def shift_and_log_scale(z, **unused):
        mean, gate = conditioner(z)
        return -mean * tf.exp(-gate), tf.nn.softplus(-gate)

    theirs = tfb.Invert(tfb.MaskedAutoregressiveFlow(shift_and_log_scale))
    ours = InverseAutoregressive(conditioner)
    z = tf.constant(rng.normal(size=(4, SIZE)))
    x = theirs.forward(z)
    assert_allclose(ours.forward(tf.identity(z)), x, rtol=1e-10)
    assert_allclose(ours.inverse(tf.identity(x)), z, rtol=1e-9, atol=1e-11)
    copies = tf.identity(z), tf.identity(x)
    assert_allclose(
        ours.forward_log_det_jacobian(copies[0], event_ndims=1),
        theirs.forward_log_det_jacobian(tf.identity(z), event_ndims=1),
        rtol=1e-10,
    )
    assert_allclose(
        ours.inverse_log_det_jacobian(copies[1], event_ndims=1),
        theirs.inverse_log_det_jacobian(tf.identity(x), event_ndims=1),
        rtol=1e-9,
    )


def test_closed_gates_keep_forward_finite() -> None:
    """exp(-s) of the autoregressive form overflows where the gated form does not."""
    flow = InverseAutoregressive(lambda z: (tf.ones_like(z), tf.fill(tf.shape(z), -100.0)))
    x, log_det = flow.forward_and_log_det(tf.constant([[3.0, -2.0]]))
    assert_allclose(x, [[1.0, 1.0]])
    assert_allclose(log_det, [-200.0])
