"""Inverse autoregressive flow: the gated update.

Kingma et al. 2016, arXiv:1606.04934, Eq. 10-14; forward = latent -> data:

    x_i = sigmoid(s_i) z_i + (1 - sigmoid(s_i)) m_i,   (m_i, s_i) functions of z_<i
    log|det dx/dz| = sum log sigmoid(s)

It is `tfb.Invert` of an autoregressive flow with mu = -m exp(-s), alpha = softplus(-s): forward is
one pass of the network, and the inverse takes up to D of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from zoo.bijectors.autoregressive import AutoregressiveFlow
from zoo.bijectors.base import OnePassBijector

__all__ = ["InverseAutoregressive"]


class InverseAutoregressive(OnePassBijector):
    """x = sigmoid(s) z + (1 - sigmoid(s)) m on vectors [..., D].

    mean_and_gate_fn: z [..., D] -> (m, s), each [..., D], autoregressive in the order 0..D-1. The
        paper biases s by 1 to 2, so that a fresh flow is near the identity (Appendix).
    """

    def __init__(
        self,
        mean_and_gate_fn: Callable[[Any], tuple[Any, Any]],
        *,
        name: str = "inverse_autoregressive",
    ) -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=1, parameters=parameters, name=name)
        self._conditioner = mean_and_gate_fn

        def shift_and_log_scale(z: Any) -> tuple[Any, Any]:
            mean, gate = mean_and_gate_fn(z)
            return -mean * tf.exp(-gate), tf.nn.softplus(-gate)

        self._inverted = AutoregressiveFlow(shift_and_log_scale, name=name)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = m + sigmoid(s) (z - m), log-det sum log sigmoid(s): one network pass."""
        mean, gate = self._conditioner(z)
        x = mean + tf.sigmoid(gate) * (z - mean)
        return x, tf.reduce_sum(tf.math.log_sigmoid(gate), -1)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """The fixed point z = (x - (1 - sigmoid(s)) m) / sigmoid(s): at most D + 1 passes."""
        return self._inverted.forward_and_log_det(x)
