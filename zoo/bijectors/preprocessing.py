"""From a model's space to data: pixel scaling, logit, whitening, each with its log-det.

`forward` = model space -> data (grey levels in [0, num_levels), or raw features), as for every
bijector here; the density of the data as stored therefore needs no correction by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from zoo.bijectors.base import OnePassBijector

__all__ = ["PixelScaling", "SeparableWhitening", "ZCAWhitening"]


class PixelScaling(OnePassBijector):
    """Grey levels y in [0, L) to model space; event of rank `event_ndims`, elementwise.

    unit:       x = y / L                                    (NICE on MNIST)
    symmetric:  x = 2 y / L - 1                              (NICE on CIFAR-10)
    logit:      x = logit(p),  p = alpha + (1 - 2 alpha) y / L
                log|dx/dy| = softplus(x) + softplus(-x) + log((1 - 2 alpha) / L)

    The logit's data have bounds. Outside, where p is not in (0, 1), log|det dx/dy| is -inf, without
    a gradient, and x of no meaning.

    Sources: NICE Sec. 5.1; RealNVP Sec. 4.1; MAF Sec. 4.3. Deviation from RealNVP's text, which has
    (1 - alpha) y / L: as in its authors' code and in MAF the interval is symmetric, so that the
    logit is finite at y = L.
    """

    def __init__(
        self,
        *,
        num_levels: int,
        transform: Literal["unit", "symmetric", "logit"],
        alpha: float,
        event_ndims: int,
        name: str = "pixel_scaling",
    ) -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=event_ndims, parameters=parameters, name=name)
        self._num_levels = num_levels
        self._transform = transform
        self._alpha = alpha
        self._event_ndims = event_ndims

    def _sum(self, log_det: Any) -> Any:
        return tf.reduce_sum(log_det, axis=list(range(-self._event_ndims, 0)))

    def _logit_log_det(self, x: Any) -> Any:
        constant = math.log((1.0 - 2.0 * self._alpha) / self._num_levels)
        return self._sum(tf.nn.softplus(x) + tf.nn.softplus(-x) + constant)

    def _linear_log_det(self, x: Any) -> Any:
        width = {"unit": 1.0, "symmetric": 2.0}[self._transform]
        event_size = int(np.prod(x.shape[-self._event_ndims :]))
        value = tf.constant(event_size * math.log(width / self._num_levels), x.dtype)
        return tf.fill(tf.shape(x)[: x.shape.rank - self._event_ndims], value)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """Model space to grey levels."""
        if self._transform == "logit":
            y = (tf.sigmoid(z) - self._alpha) * (self._num_levels / (1.0 - 2.0 * self._alpha))
            return y, -self._logit_log_det(z)
        if self._transform == "unit":
            return z * self._num_levels, -self._linear_log_det(z)
        return (z + 1.0) * (0.5 * self._num_levels), -self._linear_log_det(z)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """Grey levels to model space."""
        if self._transform == "logit":
            p = self._alpha + (1.0 - 2.0 * self._alpha) * x / self._num_levels
            outside = (p <= 0.0) | (p >= 1.0)  # NaN is neither
            p = tf.where(outside, tf.constant(0.5, p.dtype), p)
            z = tf.math.log(p) - tf.math.log1p(-p)
            inside = self._logit_log_det(z)
            outside = tf.reduce_any(outside, axis=list(range(-self._event_ndims, 0)))
            return z, tf.where(outside, tf.constant(-np.inf, z.dtype), inside)
        if self._transform == "unit":
            return x / self._num_levels, self._linear_log_det(x)
        return x * (2.0 / self._num_levels) - 1.0, self._linear_log_det(x)


class ZCAWhitening(OnePassBijector):
    """z = W (x - mean),  W = C**(-1/2) symmetric;  log|det dz/dx| = log|det W|.

    C is the covariance of the training rows; any other invertible W does as well. NICE
    (arXiv:1410.8516, Sec. 5.1) whitens CIFAR-10 and SVHN so.
    mean: [D].   matrix: W, [D, D].   inverse_matrix: W**-1, [D, D].   log_det: log|det W|, scalar.
    Events of any shape; they are flattened in C order.
    """

    def __init__(
        self,
        *,
        mean: Any,
        matrix: Any,
        inverse_matrix: Any,
        log_det: Any,
        event_shape: tuple[int, ...],
        name: str = "zca_whitening",
    ) -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=len(event_shape), parameters=parameters, name=name)
        self._mean = mean
        self._matrix = matrix
        self._inverse_matrix = inverse_matrix
        self._log_det_matrix = log_det
        self._event_shape = event_shape

    def _flat(self, x: Any) -> tuple[Any, Any]:
        shape = tf.shape(x)
        batch = shape[: x.shape.rank - len(self._event_shape)]
        return tf.reshape(x, tf.concat([batch, [int(np.prod(self._event_shape))]], 0)), batch

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = W**-1 z + mean."""
        flat, batch = self._flat(z)
        x = tf.linalg.matvec(self._inverse_matrix, flat) + self._mean
        log_det = tf.fill(batch, -tf.cast(self._log_det_matrix, z.dtype))
        return tf.reshape(x, tf.shape(z)), log_det

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = W (x - mean)."""
        flat, batch = self._flat(x)
        z = tf.linalg.matvec(self._matrix, flat - self._mean)
        return tf.reshape(z, tf.shape(x)), tf.fill(batch, tf.cast(self._log_det_matrix, x.dtype))


class SeparableWhitening(OnePassBijector):
    """z = (W_1 x W_2 x ... x W_k) (x - mean), a Kronecker product of one matrix an axis.

    log|det dz/dx| = sum_i (D / d_i) log|det W_i|,   d_i the size of axis i, D their product. It
    whitens data whose covariance is a Kronecker product as well, the tensor normal (Dutilleul 1999,
    "The MLE algorithm for the matrix normal distribution"), as that of a picture's rows, columns
    and colours nearly is.
    mean: [*event_shape].   matrices: W_i, [d_i, d_i] each.   inverse_matrices: W_i**-1.   log_det:
    of the whole product, scalar.
    """

    def __init__(
        self,
        *,
        mean: Any,
        matrices: Sequence[Any],
        inverse_matrices: Sequence[Any],
        log_det: Any,
        name: str = "separable_whitening",
    ) -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=len(matrices), parameters=parameters, name=name)
        self._mean = mean
        self._matrices = matrices
        self._inverse_matrices = inverse_matrices
        self._log_det_product = log_det

    def _multiply(self, matrices: Sequence[Any], x: Any) -> Any:
        for axis, matrix in enumerate(matrices):
            behind = "abcdefgh"[: len(matrices) - 1 - axis]
            x = tf.einsum(f"ij,...j{behind}->...i{behind}", matrix, x)
        return x

    def _filled(self, x: Any, value: Any) -> Any:
        batch = tf.shape(x)[: x.shape.rank - len(self._matrices)]
        return tf.fill(batch, tf.cast(value, x.dtype))

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = (W_1 x ... x W_k)**-1 z + mean."""
        x = self._multiply(self._inverse_matrices, z) + self._mean
        return x, self._filled(z, -self._log_det_product)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = (W_1 x ... x W_k) (x - mean)."""
        return self._multiply(self._matrices, x - self._mean), self._filled(
            x, self._log_det_product
        )
