"""Sylvester flows.

van den Berg et al. 2018, arXiv:1803.05649, Eq. 7-13; forward = latent -> data:

    x = z + Q R1 tanh(v),   v = R2 Q^T z + b
    log|det dx/dz| = sum_i log(1 + r1_ii r2_ii (1 - tanh(v_i)^2))

Q [D, M] has orthonormal columns; R1, R2 [M, M] are upper triangular, their diagonals inside
(-1, 1), so that every term is positive. Q is one of three kinds of `Frame`:

    orthogonal   M <= D columns, by iterative orthogonalisation       (O-SNF, Sec. 4.1)
    householder  a product of reflections, M = D                       (H-SNF, Sec. 4.2)
    triangular   the identity, or the reversed order, in turn; M = D   (T-SNF, Sec. 4.3)

The paper has no inverse. Multiplying by R2 Q^T gives v + T tanh(v) = R2 Q^T x + b, T = R2 R1, again
upper triangular: its last row is a scalar equation in v_M (`zoo.ops.roots`), the row before one in
v_{M-1} given v_M, and so on; then z = x - Q R1 tanh(v).

Deviations: diagonals are (1 - eps) tanh(raw), so that no log-det is infinite; orthogonalisation
takes a fixed number of steps where the paper tests for convergence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from zoo.bijectors.base import OnePassBijector
from zoo.ops.implicit import implicit_root
from zoo.ops.roots import solve_tanh, tanh_slope

__all__ = ["Frame", "Sylvester", "bounded_triangle", "householder", "orthogonal", "triangular"]

ORTHOGONALISATION_STEPS = 25


class Frame(NamedTuple):
    """Q [D, M] with orthonormal columns, by what it does to vectors.

    expand: y [..., M] -> Q y [..., D].   project: z [..., D] -> Q^T z [..., M].
    """

    expand: Callable[[Any], Any]
    project: Callable[[Any], Any]


def orthogonal(raw: Any, *, num_steps: int = ORTHOGONALISATION_STEPS) -> Frame:
    """The orthonormal factor of raw's polar decomposition.

    Q <- Q (I + (I - Q^T Q) / 2)                          (Bjorck & Bowie 1971; Eq. 14 of the paper)

    The start, raw over a bound of its largest singular value, makes it converge for every raw of
    full rank: a singular value grows by 3/2 a step until it is near 1, and is squared in its
    distance from 1 from there on. 25 steps do for singular values within a factor of a thousand.
    raw: [D, M] or [batch, D, M], M <= D.
    """
    gram = tf.matmul(raw, raw, transpose_a=True)
    bound = tf.reduce_max(tf.reduce_sum(tf.abs(gram), -1), -1)  # of the squared singular values
    q = raw * tf.math.rsqrt(bound)[..., tf.newaxis, tf.newaxis]
    for _ in range(num_steps):
        q = 1.5 * q - 0.5 * tf.matmul(q, tf.matmul(q, q, transpose_a=True))
    return Frame(
        expand=lambda y: tf.linalg.matvec(q, y),
        project=lambda z: tf.linalg.matvec(q, z, transpose_a=True),
    )


def householder(vectors: Any) -> Frame:
    """Q = H_1 ... H_L,  H_l = I - 2 v_l v_l^T / |v_l|^2.

    vectors: v, [L, D] or [batch, L, D], none of them shorter than 1e-6.
    """
    directions = tf.unstack(tf.math.l2_normalize(vectors, -1), axis=-2)

    def reflected(z: Any, order: list[Any]) -> Any:
        for v in order:
            z -= 2.0 * tf.reduce_sum(v * z, -1, keepdims=True) * v
        return z

    return Frame(
        expand=lambda y: reflected(y, directions[::-1]), project=lambda z: reflected(z, directions)
    )


def triangular(*, reverse: bool) -> Frame:
    """Q = I, or the permutation that reverses the order."""
    if not reverse:
        return Frame(expand=tf.identity, project=tf.identity)
    return Frame(expand=lambda y: tf.reverse(y, [-1]), project=lambda z: tf.reverse(z, [-1]))


def bounded_triangle(raw: Any) -> Any:
    """The upper triangle of raw [..., M, M], its diagonal through (1 - eps) tanh."""
    limit = 1.0 - np.finfo(raw.dtype.as_numpy_dtype).eps
    diagonal = limit * tf.tanh(tf.linalg.diag_part(raw))
    return tf.linalg.set_diag(tf.linalg.band_part(raw, 0, -1), diagonal)


class Sylvester(OnePassBijector):
    """x = z + Q R1 tanh(R2 Q^T z + b) on vectors [..., D].

    frame: Q.
    raw_r1, raw_r2: [M, M], or [batch, M, M] with one flow for each row; R1 and R2 are their
        `bounded_triangle`.
    b: [M], or [batch, M]. More batch axes broadcast: z [K, batch, D] takes parameters [batch, ...].
    """

    def __init__(
        self, frame: Frame, raw_r1: Any, raw_r2: Any, b: Any, *, name: str = "sylvester"
    ) -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=1, parameters=parameters, name=name)
        self._frame = frame
        self._raw_r1 = raw_r1
        self._raw_r2 = raw_r2
        self._b = b

    def _triangles(self) -> tuple[Any, Any, Any]:
        """R1, R2 and 1 + their diagonals' product, [..., M]."""
        r1, r2 = bounded_triangle(self._raw_r1), bounded_triangle(self._raw_r2)
        return r1, r2, 1.0 + tf.linalg.diag_part(r1) * tf.linalg.diag_part(r2)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = z + Q R1 tanh(v), v = R2 Q^T z + b."""
        r1, r2, slope_at_0 = self._triangles()
        v = tf.linalg.matvec(r2, self._frame.project(z)) + self._b
        x = z + self._frame.expand(tf.linalg.matvec(r1, tf.tanh(v)))
        return x, tf.reduce_sum(tf.math.log(tanh_slope(v, slope_at_0)), -1)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = x - Q R1 tanh(v), v the root of v + R2 R1 tanh(v) = R2 Q^T x + b."""
        r1, r2, slope_at_0 = self._triangles()
        target = tf.linalg.matvec(r2, self._frame.project(x)) + self._b
        v = _solve(target, tf.matmul(r2, r1), slope_at_0)
        z = x - self._frame.expand(tf.linalg.matvec(r1, tf.tanh(v)))
        return z, -tf.reduce_sum(tf.math.log(tanh_slope(v, slope_at_0)), -1)


def _solve(target: Any, t: Any, slope_at_0: Any) -> Any:
    """v [..., M] with v + T tanh(v) = target, T upper triangular with diagonal slope_at_0 - 1.

    The gradient is the implicit function's: one triangular system.
    """
    return implicit_root(_back_substitution, _excess, _adjoint, target, t, slope_at_0)


def _excess(v: Any, target: Any, t: Any, _: Any) -> Any:
    return v + tf.linalg.matvec(t, tf.tanh(v)) - target


def _adjoint(upstream: Any, v: Any, _: Any, t: Any, slope_at_0: Any) -> Any:
    slopes = tf.linalg.set_diag(
        t * (1.0 - tf.square(tf.tanh(v)))[..., tf.newaxis, :], tanh_slope(v, slope_at_0)
    )
    solution = tf.linalg.triangular_solve(
        slopes, upstream[..., tf.newaxis], lower=False, adjoint=True
    )
    return solution[..., 0]


def _back_substitution(target: Any, t: Any, slope_at_0: Any) -> Any:
    """In vector form: every pass solves all scalar equations given the v of the pass before.

    After k passes the last k are right, so M passes do; tanh bounds what the others can become on
    the way.
    """
    size = t.shape[-1]
    above = tf.linalg.set_diag(t, tf.zeros_like(slope_at_0))

    def sweep(i: Any, v: Any) -> tuple[Any, Any]:
        return i + 1, solve_tanh(target - tf.linalg.matvec(above, tf.tanh(v)), slope_at_0)

    def unfinished(i: Any, _: Any) -> Any:
        return i < size

    start = (tf.constant(0), target + tf.zeros_like(slope_at_0))
    return tf.while_loop(unfinished, sweep, start, maximum_iterations=size)[1]
