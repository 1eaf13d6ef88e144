"""Planar flows.

Rezende & Mohamed 2015, arXiv:1505.05770, Eq. 10-13 and Appendix A.1; forward = latent -> data:

    x = z + u_hat tanh(w.z + b)
    u_hat = u + (m(w.u) - w.u) w / |w|^2,   m(a) = -1 + softplus(a)
    log|det dx/dz| = log(1 + w.u_hat (1 - tanh^2)),   w.u_hat = m(w.u) > -1

The paper has no inverse. With v = w.z + b, multiplying by w gives v + w.u_hat tanh(v) = w.x + b, a
scalar equation with one root (`zoo.ops.roots`); then z = x - u_hat tanh(v).

Deviations: where |w|^2 < 1e-6 the correction of u is divided by 1e-6 instead, so that u_hat stays
finite as w goes to 0, and w.u_hat is then a mean of m(w.u) and max(w.u, -1/2), still above -1; and
1 + w.u_hat is at least the dtype's epsilon, so that the log-det is finite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from zoo.bijectors.base import OnePassBijector
from zoo.ops.roots import solve_tanh, tanh_slope

__all__ = ["Planar", "constrained"]

MIN_SQUARED_NORM = 1e-6
TINY = 1e-15  # divides in place of 0, where the dividend is 0; its square is a float32


def constrained(w: Any, u: Any) -> tuple[Any, Any]:
    """(u_hat, 1 + w.u_hat): the u that keeps the flow invertible.

    w, u: [..., D].   returns: [..., D] and [...], the second at least the dtype's epsilon.
    """
    w, u = tf.convert_to_tensor(w), tf.convert_to_tensor(u)
    product = tf.reduce_sum(w * u, -1)
    square = tf.reduce_sum(tf.square(w), -1)
    # 1 + m(a) = softplus(a) and m(a) - a = softplus(-a) - 1: no digits are lost to the ones.
    change = (tf.nn.softplus(-product) - 1.0) / tf.maximum(square, MIN_SQUARED_NORM)
    slope_at_0 = tf.nn.softplus(product)
    # What w near 0 makes of it: share is 1 elsewhere.
    share = tf.minimum(square / MIN_SQUARED_NORM, 1.0)
    lift = (1.0 - share) * tf.nn.relu(-0.5 - product)
    change += lift / tf.maximum(square, TINY)
    slope_at_0 = share * slope_at_0 + (1.0 - share) * (1.0 + tf.maximum(product, -0.5))
    slope_at_0 = tf.maximum(slope_at_0, np.finfo(w.dtype.as_numpy_dtype).eps)
    return u + change[..., tf.newaxis] * w, slope_at_0


class Planar(OnePassBijector):
    """x = z + u_hat tanh(w.z + b) on vectors [..., D].

    w, u: [D], or [batch, D] with one flow for each row; `u` before its constraint.
    b: [], or [batch]. More batch axes broadcast: z [K, batch, D] takes parameters [batch, D].
    """

    def __init__(self, w: Any, u: Any, b: Any, *, name: str = "planar") -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=1, parameters=parameters, name=name)
        self._w = w
        self._u = u
        self._b = b

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = z + u_hat tanh(w.z + b)."""
        u_hat, slope_at_0 = constrained(self._w, self._u)
        v = tf.reduce_sum(self._w * z, -1) + self._b
        return z + u_hat * tf.tanh(v)[..., tf.newaxis], tf.math.log(tanh_slope(v, slope_at_0))

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = x - u_hat tanh(v), v the root of v + w.u_hat tanh(v) = w.x + b."""
        u_hat, slope_at_0 = constrained(self._w, self._u)
        v = solve_tanh(tf.reduce_sum(self._w * x, -1) + self._b, slope_at_0)
        return x - u_hat * tf.tanh(v)[..., tf.newaxis], -tf.math.log(tanh_slope(v, slope_at_0))
