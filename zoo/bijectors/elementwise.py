"""Elementwise maps: diagonal scaling (NICE), activation norm, batch norm (RealNVP, MAF), tails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.bijectors.base import OnePassBijector

__all__ = ["BatchNorm", "DataDependentAffine", "DiagonalAffine", "ExponentialTails"]


class DiagonalAffine(OnePassBijector):
    """x = z * exp(log_scale) + shift;  log|det dx/dz| = sum log_scale over the whole event.

    shift, log_scale: [event] of full shape or broadcasting against it (one value a channel for
    activation norm, Glow arXiv:1807.03039 Sec. 3.1); or [batch, *event], of each row.
    event_shape: static shape of the event.
    NICE's diagonal scaling (arXiv:1410.8516 Sec. 3.3) is this with shift = 0.
    """

    def __init__(
        self,
        shift: Any,
        log_scale: Any,
        *,
        event_shape: tuple[int, ...],
        name: str = "diagonal_affine",
    ) -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=len(event_shape), parameters=parameters, name=name)
        self._shift = shift
        self._log_scale = log_scale
        self._event_shape = event_shape

    def _log_det(self, x: Any) -> Any:
        own, batch = len(self._event_shape), tf.shape(x)[: x.shape.rank - len(self._event_shape)]
        if self._log_scale.shape.rank > own:  # one a row
            total = tf.reduce_sum(self._log_scale, list(range(-own, 0)))
            return tf.broadcast_to(tf.cast(total, x.dtype), batch)
        repeats = int(np.prod(self._event_shape)) // int(np.prod(self._log_scale.shape))
        total = tf.cast(repeats, x.dtype) * tf.reduce_sum(self._log_scale)
        return tf.fill(batch, total)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = z exp(s) + t."""
        return z * tf.exp(self._log_scale) + self._shift, self._log_det(z)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = (x - t) exp(-s)."""
        return (x - self._shift) * tf.exp(-self._log_scale), -self._log_det(x)


class DataDependentAffine(OnePassBijector):
    """The inverse of a `DiagonalAffine` whose parameters are taken from what it inverts.

    initialize: x -> (shift, log_scale), typically sets weights to the moments of x on the way
        (Glow, arXiv:1807.03039 Sec. 3.1). There is no `forward`.
    """

    def __init__(
        self,
        initialize: Callable[[Any], tuple[Any, Any]],
        *,
        event_shape: tuple[int, ...],
        name: str = "data_dependent_affine",
    ) -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=len(event_shape), parameters=parameters, name=name)
        self._initialize = initialize
        self._event_shape = event_shape

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = (x - t(x)) exp(-s(x)), the log-det as if s and t were constants."""
        shift, log_scale = self._initialize(x)
        affine = DiagonalAffine(shift, log_scale, event_shape=self._event_shape)
        return affine.inverse_and_log_det(x)


class BatchNorm(OnePassBijector):
    """z = (x - m) / sqrt(v + eps) * exp(log_gamma) + beta.

    log|det dz/dx| = sum log_gamma - log(v+eps)/2

    MAF (arXiv:1705.07057, Eq. 19-22), RealNVP (arXiv:1605.08803, Sec. 3.7).
    moments: x -> (m, v), each broadcasting against the event; the batch's own in training, those of
        the training set otherwise. The log-det sums over the event's last axis, times `repeats`
        (the number of pixels, for moments by channel).
    forward: needs moments that do not depend on x, so it calls `moments(None)`.
    """

    def __init__(
        self,
        moments: Callable[[Any], tuple[Any, Any]],
        *,
        log_gamma: Any,
        beta: Any,
        epsilon: float,
        event_shape: tuple[int, ...],
        name: str = "batch_norm",
    ) -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=len(event_shape), parameters=parameters, name=name)
        self._moments = moments
        self._log_gamma = log_gamma
        self._beta = beta
        self._epsilon = epsilon
        self._event_shape = event_shape

    def _log_scale_and_mean(self, x: Any) -> tuple[Any, Any]:
        mean, variance = self._moments(x)
        return self._log_gamma - 0.5 * tf.math.log(variance + self._epsilon), mean

    def _inverse_log_det(self, log_scale: Any, x: Any) -> Any:
        repeats = int(np.prod(self._event_shape)) // self._event_shape[-1]
        total = tf.cast(repeats, x.dtype) * tf.reduce_sum(log_scale)
        return tf.fill(tf.shape(x)[: x.shape.rank - len(self._event_shape)], total)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = (z - beta) exp(-log_gamma) sqrt(v + eps) + m."""
        log_scale, mean = self._log_scale_and_mean(None)
        return (z - self._beta) * tf.exp(-log_scale) + mean, -self._inverse_log_det(log_scale, z)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = (x - m) exp(log_gamma) / sqrt(v + eps) + beta."""
        log_scale, mean = self._log_scale_and_mean(x)
        return (x - mean) * tf.exp(log_scale) + self._beta, self._inverse_log_det(log_scale, x)


class ExponentialTails(OnePassBijector):
    """x = clip(z, -b, b) + sign(z) (exp(e) - 1), e = max(|z| - b, 0);  log|det dx/dz| = sum of e.

    The identity where |z| is at most b, with a continuous slope; beyond it the data grow as an
    exponential of the latent, so that the tails of a normal latent become log-normal:

        z = clip(x, -b, b) + sign(x) log(1 + e),   log|det dz/dx| = -sum log(1 + e)

    bound: b > 0. A row that a flow carries away by 10^6 costs log(10^6)**2 / 2 = 95 nats and not
    10^12 / 2. Tails of a flow are as heavy as its base's where its maps are Lipschitz
    (arXiv:1907.04481); this is the simplest map that is not, without parameters.
    max_slope: m > 1, where the exponential has reached it the map goes on as a straight line: with
    l = log(m), for an e beyond l the term exp(e) - 1 is m - 1 + m (e - l) and the log-det's l. Many
    such maps in a flow stay finite, with m**n for the largest slope of n of them.
    """

    def __init__(
        self, bound: float, *, max_slope: float = np.inf, name: str = "exponential_tails"
    ) -> None:
        super().__init__(event_ndims=1, parameters=dict(locals()), name=name)
        self._bound = bound
        self._max_slope = max_slope

    def _parts(self, y: Any, reach: float) -> tuple[Any, Any, Any]:
        """(clip(y, -b, b), the excess over b up to `reach`, the excess over that)."""
        excess = tf.nn.relu(tf.abs(y) - self._bound)
        within = tf.clip_by_value(y, -self._bound, self._bound)
        if reach == np.inf:
            return within, excess, tf.zeros([], y.dtype)
        return within, tf.minimum(excess, reach), tf.nn.relu(excess - reach)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = clip(z, -b, b) + sign(z) (exp(e) - 1)."""
        within, excess, beyond = self._parts(z, float(np.log(self._max_slope)))
        slope = 1.0 if self._max_slope == np.inf else self._max_slope
        outside = tf.math.expm1(excess) + slope * beyond
        return within + tf.sign(z) * outside, tf.reduce_sum(excess, -1)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = clip(x, -b, b) + sign(x) log(1 + e)."""
        within, excess, beyond = self._parts(x, self._max_slope - 1.0)
        log_excess = tf.math.log1p(excess)
        outside = log_excess + beyond / self._max_slope
        return within + tf.sign(x) * outside, -tf.reduce_sum(log_excess, -1)
