"""Radial flows.

Rezende & Mohamed 2015, arXiv:1505.05770, Eq. 14 and Appendix A.2; forward = latent -> data:

    x = z + beta (z - c) / (alpha + r),   r = |z - c|
    alpha = softplus(raw_alpha) > 0,   beta = -alpha + softplus(raw_beta) > -alpha

With g = alpha + beta > 0 and rho = |x - c| every term is a sum of positive ones:

    x - c = (z - c) (g + r) / (alpha + r)
    log|det dx/dz| = (D - 1) log((g + r) / (alpha + r))
                     + log((r^2 + 2 alpha r + alpha g) / (alpha + r)^2)
    r^2 + (g - rho) r - alpha rho = 0,   r its positive root             (the inverse)

Deviation: alpha and g are at least the dtype's epsilon, so that the log-det is finite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from zoo.bijectors.base import OnePassBijector

__all__ = ["Radial"]

MIN_SQUARED_NORM = 1e-36  # of z - c, below which the norm has no gradient


class Radial(OnePassBijector):
    """x = z + beta (z - c) / (alpha + |z - c|) on vectors [..., D].

    center: c, [D], or [batch, D] with one flow for each row.
    raw_alpha, raw_beta: [], or [batch]; alpha and beta before their constraints.
    More batch axes broadcast: z [K, batch, D] takes parameters [batch, D].
    """

    def __init__(self, center: Any, raw_alpha: Any, raw_beta: Any, *, name: str = "radial") -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=1, parameters=parameters, name=name)
        self._center = center
        self._raw_alpha = raw_alpha
        self._raw_beta = raw_beta

    def _alpha_and_g(self, x: Any) -> tuple[Any, Any]:
        """(alpha, alpha + beta), both positive."""
        floor = np.finfo(x.dtype.as_numpy_dtype).eps
        alpha, g = tf.nn.softplus(self._raw_alpha), tf.nn.softplus(self._raw_beta)
        return tf.maximum(alpha, floor), tf.maximum(g, floor)

    def _log_det(self, r: Any, alpha: Any, g: Any, size: int) -> Any:
        """log|det dx/dz| at distance r of z from the centre."""
        log_scale = tf.math.log(alpha + r)
        tangential = tf.math.log(g + r) - log_scale
        radial = tf.math.log(r * (r + 2.0 * alpha) + alpha * g) - 2.0 * log_scale
        return (size - 1.0) * tangential + radial

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = c + (z - c) (g + r) / (alpha + r)."""
        alpha, g = self._alpha_and_g(z)
        offset = z - self._center
        r = _norm(offset)
        shift = ((g - alpha) / (alpha + r))[..., tf.newaxis] * offset
        return z + shift, self._log_det(r, alpha, g, z.shape[-1])

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = c + (x - c) (alpha + r) / (g + r), r the root of the quadratic."""
        alpha, g = self._alpha_and_g(x)
        offset = x - self._center
        rho = _norm(offset)
        half = g - rho
        larger = tf.abs(half) + tf.sqrt(
            tf.square(half) + 4.0 * alpha * rho
        )  # > 0: so are its terms
        r = tf.where(half > 0.0, 2.0 * alpha * rho / larger, 0.5 * larger)
        shift = ((alpha - g) / (g + r))[..., tf.newaxis] * offset
        return x + shift, -self._log_det(r, alpha, g, x.shape[-1])


def _norm(x: Any) -> Any:
    """|x| over the last axis, with gradient 0 at x = 0, where it has none."""
    return tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(x), -1), MIN_SQUARED_NORM))
