"""Learned invertible matrices: by their LU factors, and unit triangular ones of a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.bijectors.base import OnePassBijector

__all__ = ["LULinear", "UnitTriangular"]


class LULinear(OnePassBijector):
    """z = L U P x + b;  log|det dz/dx| = sum of the log-diagonal of U.

    Kingma & Dhariwal 2018, arXiv:1807.03039, Eq. 10; between the steps of neural spline flows,
    arXiv:1906.04032, Sec. 3.4.
    factors: [D, D]: below the diagonal those of L, whose diagonal is 1; above it those of U; on it
        the logarithms of U's diagonal.   bias: [D].
    permutation: P, z_i = x_{permutation[i]}; D different integers.
    """

    def __init__(
        self, factors: Any, bias: Any, permutation: tuple[int, ...], *, name: str = "lu_linear"
    ) -> None:
        super().__init__(event_ndims=1, parameters=dict(locals()), name=name)
        self._factors = factors
        self._bias = bias
        self._permutation = np.asarray(permutation)

    def _triangles(self) -> tuple[Any, Any]:
        size = len(self._permutation)
        strict = tf.linalg.band_part(self._factors, -1, 0) - tf.linalg.diag(self._log_diagonal())
        lower = strict + tf.eye(size, dtype=strict.dtype)
        upper = tf.linalg.set_diag(
            tf.linalg.band_part(self._factors, 0, -1), tf.exp(self._log_diagonal())
        )
        return lower, upper

    def _log_diagonal(self) -> Any:
        return tf.linalg.diag_part(self._factors)

    def _log_det(self, x: Any) -> Any:
        return tf.fill(tf.shape(x)[:-1], tf.reduce_sum(self._log_diagonal()))

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = L U P x + b."""
        lower, upper = self._triangles()
        rows = tf.reshape(x, [-1, len(self._permutation)])
        permuted = tf.gather(rows, self._permutation, axis=-1)
        # (L U) first: [D, D] is small beside a batch.
        z = tf.matmul(permuted, tf.matmul(lower, upper), transpose_b=True) + self._bias
        return tf.reshape(z, tf.shape(x)), self._log_det(x)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = P^-1 U^-1 L^-1 (z - b)."""
        lower, upper = self._triangles()
        columns = tf.reshape(z - self._bias, [-1, len(self._permutation)])
        solved = tf.linalg.triangular_solve(lower, tf.transpose(columns))
        solved = tf.linalg.triangular_solve(upper, solved, lower=False)
        x = tf.gather(tf.transpose(solved), np.argsort(self._permutation), axis=-1)
        return tf.reshape(x, tf.shape(z)), -self._log_det(z)


class UnitTriangular(OnePassBijector):
    """x = L z with 1 on L's diagonal and numbers of the row below it; log|det dx/dz| = 0.

    Kingma et al. 2016, arXiv:1606.04934, Appendix A: the linear inverse autoregressive step, which
    turns a diagonal Gaussian into one of full covariance.
    below: [..., D (D - 1) / 2], in the order of `tfp.math.fill_triangular`.
    """

    def __init__(self, below: Any, *, name: str = "unit_triangular") -> None:
        super().__init__(event_ndims=1, parameters=dict(locals()), name=name)
        self._below = below

    def _matrix(self) -> Any:
        rows = tfp.math.fill_triangular(self._below)
        paddings = [[0, 0]] * (rows.shape.rank - 2) + [[1, 0], [0, 1]]
        padded = tf.pad(rows, paddings)
        return tf.linalg.set_diag(padded, tf.ones(tf.shape(padded)[:-1], padded.dtype))

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = L z."""
        return tf.linalg.matvec(self._matrix(), z), tf.zeros(tf.shape(z)[:-1], z.dtype)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = L^-1 x, by substitution."""
        z = tf.linalg.triangular_solve(self._matrix(), x[..., None])[..., 0]
        return z, tf.zeros(tf.shape(x)[:-1], x.dtype)
