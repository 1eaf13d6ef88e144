"""Inverse autoregressive flow: a scalar map whose parameters are functions of the latents before.

Kingma et al. 2016, arXiv:1606.04934, Eq. 10-14; forward = latent -> data:

    x_i = sigmoid(s_i) z_i + (1 - sigmoid(s_i)) m_i,   (m_i, s_i) functions of z_<i
    log|det dx/dz| = sum log sigmoid(s)

It is `tfb.Invert` of an autoregressive flow with mu = -m exp(-s), alpha = softplus(-s): forward is
one pass of the network, and the inverse takes up to D of them, or the time in which a MADE's own
solver computes each of its hidden units about once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from zoo.bijectors.autoregressive import AutoregressiveFlow
from zoo.bijectors.base import OnePassBijector
from zoo.bijectors.scalar import Gated, Inverted, ScalarMap

__all__ = ["InverseAutoregressive"]


class InverseAutoregressive(OnePassBijector):
    """x = sigmoid(s) z + (1 - sigmoid(s)) m on vectors [..., D], or another scalar map.

    conditioner: z [..., D] -> parameters of the map, autoregressive in the order 0..D-1; by default
        they are the pair (m, s).
    """

    def __init__(
        self,
        conditioner: Callable[[Any], Any],
        scalar_map: ScalarMap = Gated(),  # noqa: B008 (a value without state)
        *,
        name: str = "inverse_autoregressive",
    ) -> None:
        super().__init__(event_ndims=1, parameters=dict(locals()), name=name)
        self._conditioner = conditioner
        self._scalar_map = scalar_map
        self._inverted = AutoregressiveFlow(conditioner, Inverted(scalar_map), name=name)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = m + sigmoid(s) (z - m), log-det sum log sigmoid(s): one network pass."""
        x, log_det = self._scalar_map.forward(z, self._conditioner(z))
        return x, tf.reduce_sum(log_det, -1)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """The fixed point z = (x - (1 - sigmoid(s)) m) / sigmoid(s)."""
        return self._inverted.forward_and_log_det(x)
