"""Flows of square patches that treat all eight positions of a patch alike.

A map f of patches that lie in one position becomes a map of all patches F:

    F(g y) = g' f(y)        for each of the square's eight symmetries g and every y in position

so that F(g x) = g' F(x) for every x (equivariance; Cohen & Welling 2016, arXiv:1602.07576),
and a density F_* N(0, I) gives a patch what it gives the patch turned or mirrored. f alone is
learned, from an eighth of the space.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.bijectors.base import OnePassBijector, forward_and_log_det, inverse_and_log_det
from zoo.ops.symmetries import patches_of_rows, rows_of_patches, turned

tfb = tfp.bijectors

__all__ = ["SquareEquivariant"]

_Position = tuple[Any, Any, Any]  # transposed, upside down, mirrored: bool [batch] each

# Times the dtype's precision and the softness: a slope of 0 would be at minus infinity.
_SMALLEST = 8.0


class SquareEquivariant(OnePassBijector):
    """x = g y,  y = P(f(Q(z'))),  z = g' z': f, of patches in one position, made one of all.

    Position. s_1 and s_2 are the patch's slopes, its products with a unit ramp along its rows and
    along its columns. Mirroring changes the sign of s_1, turning upside down that of s_2,
    transposing exchanges the two. A patch is in position where its slopes are as the table says; g
    is the symmetry that takes it from there to where it lies.

        positions n   symmetries                      in position       a
        2             upside down                     s_2 >= 0          s_2
        4             upside down, mirrored           s_1, s_2 >= 0     s_1, s_2
        8             and transposed: the square's    s_1 >= s_2 >= 0   s_1 - s_2, s_2

    P. f's patches fill the whole space: a are softness * softplus(v / softness) of f's v, the other
    directions are f's own; log|det| = -sum_i log(1 - exp(-a_i / softness)) from patch to v.

    Q. The first two latents z_1, z_2 say the position: g' acts on them as g does on the slopes. In
    position they are r (cos t, sin t), t in [0, 2 pi / n); f has r (cos nt, sin nt). A standard
    normal stays one; log|det| = log n from z' to f's latent, so that log p(x) has -log n.

    flow: f, a chain from latents to patches.   softness: in units of the data; patches whose slopes
        differ by more are left as they are. Slopes below 1e-6 of it (in float64 2e-15) count as
        that.   num_positions: n.   Events are rows [side**2 - 1] of pixels as in
        `zoo.ops.symmetries`.

    Signs and sorting as layers of a flow: Nielsen et al. 2020 (SurVAE, arXiv:2007.02731), where
    they lose the position; here latents keep it, and x -> z is one to one.
    """

    def __init__(
        self,
        flow: tfb.Bijector,
        softness: float,
        num_positions: int = 8,
        *,
        name: str = "square_equivariant",
    ) -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=1, parameters=parameters, name=name)
        self.flow_in_position = flow
        self._softness = softness
        self._num_positions = num_positions

    def into_position(self, x: Any) -> Any:
        """What the flow is given for the rows x [batch, side**2 - 1]."""
        return self._into_position(x)[1]

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """Latents to patches."""
        shape, number = tf.shape(z), self._num_positions
        z = tf.reshape(z, [-1, z.shape[-1]])
        position, (first, second) = _sorted(z[:, 0], z[:, 1], number)
        first, second = _angle_times(number, first, second)
        latents = tf.concat([first[:, None], second[:, None], z[:, 2:]], -1)
        x, log_det = forward_and_log_det(self.flow_in_position, latents, 1)
        patches = patches_of_rows(x)
        s_1, s_2 = _slopes(patches)
        a, terms = zip(
            *(_positive(v, self._softness) for v in _parts(number, s_1, s_2)), strict=True
        )
        new_1, new_2 = _joined(number, s_1, a)
        patches = _with_slopes(patches, new_1 - s_1, new_2 - s_2)
        x = rows_of_patches(turned(patches, position))
        log_det += sum(terms) + math.log(number)
        return _in_shape(x, shape), tf.reshape(log_det, shape[:-1])

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """Patches to latents."""
        shape, number = tf.shape(x), self._num_positions
        position, rows, terms = self._into_position(tf.reshape(x, [-1, x.shape[-1]]))
        z, log_det = inverse_and_log_det(self.flow_in_position, rows, 1)
        first, second = _unsorted(*_angle_by(number, z[:, 0], z[:, 1]), position)
        z = tf.concat([first[:, None], second[:, None], z[:, 2:]], -1)
        log_det += terms - math.log(number)
        return _in_shape(z, shape), tf.reshape(log_det, shape[:-1])

    def _into_position(self, x: Any) -> tuple[_Position, Any, Any]:
        """(the positions of rows, the rows in position and P's inverse applied, its log|det|)."""
        patches, number = patches_of_rows(x), self._num_positions
        position, (s_1, s_2) = _sorted(*_slopes(patches), number)
        patches = turned(patches, position, back=True)
        v, terms = zip(
            *(_unbounded(a, self._softness) for a in _parts(number, s_1, s_2)), strict=True
        )
        new_1, new_2 = _joined(number, s_1, v)
        patches = _with_slopes(patches, new_1 - s_1, new_2 - s_2)
        return position, rows_of_patches(patches), sum(terms)


def _in_shape(rows: Any, shape: Any) -> Any:
    return tf.ensure_shape(
        tf.reshape(rows, shape), [*[None] * (shape.shape[0] - 1), rows.shape[-1]]
    )


def _ramp(side: int, dtype: Any) -> tuple[Any, Any]:
    """Patches of norm 1 that rise along the rows, and along the columns: [side, side] each."""
    ramp = np.broadcast_to(np.arange(side) - (side - 1) / 2, (side, side))
    ramp = ramp / np.linalg.norm(ramp)
    return tf.constant(ramp, dtype), tf.constant(ramp.T, dtype)


def _slopes(patches: Any) -> tuple[Any, Any]:
    """(s_1, s_2) of patches [batch, side, side], each [batch]."""
    along_rows, along_columns = _ramp(int(patches.shape[-1]), patches.dtype)
    return (
        tf.reduce_sum(patches * along_rows, [1, 2]),
        tf.reduce_sum(patches * along_columns, [1, 2]),
    )


def _with_slopes(patches: Any, more_1: Any, more_2: Any) -> Any:
    """The patches, their slopes increased by those: [batch] each."""
    along_rows, along_columns = _ramp(int(patches.shape[-1]), patches.dtype)
    return patches + more_1[:, None, None] * along_rows + more_2[:, None, None] * along_columns


def _sorted(first: Any, second: Any, number: int) -> tuple[_Position, tuple[Any, Any]]:
    """(the position of a pair, one of `number`, and the pair in position)."""
    nowhere = tf.zeros_like(first, tf.bool)
    size_1, size_2 = tf.abs(first), tf.abs(second)
    if number == 2:
        return (nowhere, second < 0.0, nowhere), (first, size_2)
    if number == 4:
        return (nowhere, second < 0.0, first < 0.0), (size_1, size_2)
    position = (size_2 > size_1, second < 0.0, first < 0.0)
    return position, (tf.maximum(size_1, size_2), tf.minimum(size_1, size_2))


def _parts(number: int, s_1: Any, s_2: Any) -> tuple[Any, ...]:
    """What of the slopes is positive in position."""
    return {2: (s_2,), 4: (s_1, s_2), 8: (s_1 - s_2, s_2)}[number]


def _joined(number: int, s_1: Any, parts: tuple[Any, ...]) -> tuple[Any, Any]:
    """The slopes of `_parts`; s_1 is as it was where it may have either sign."""
    if number == 2:
        return s_1, parts[0]
    return (parts[0] if number == 4 else parts[0] + parts[1]), parts[1]


def _unsorted(larger: Any, smaller: Any, position: _Position) -> tuple[Any, Any]:
    """The pair of `_sorted`."""
    transposed, upside_down, mirrored = position
    first, second = tf.where(transposed, smaller, larger), tf.where(transposed, larger, smaller)
    return tf.where(mirrored, -first, first), tf.where(upside_down, -second, second)


def _positive(v: Any, softness: float) -> tuple[Any, Any]:
    """(a, log|da/dv|), a = softness * softplus(v / softness)."""
    return softness * tf.nn.softplus(v / softness), -tf.nn.softplus(-v / softness)


def _unbounded(a: Any, softness: float) -> tuple[Any, Any]:
    """(v, log|dv/da|) of `_positive`'s a, or of the smallest that counts."""
    a = tf.maximum(a, _SMALLEST * softness * np.finfo(a.dtype.as_numpy_dtype).eps)
    log_share = tf.math.log(-tf.math.expm1(-a / softness))
    return a + softness * log_share, -log_share


def _angle_by(number: int, first: Any, second: Any) -> tuple[Any, Any]:
    """Points of the plane, their angle from [0, 2 pi) divided by `number`."""
    angle = tf.atan2(second, first)
    angle = tf.where(angle < 0.0, angle + 2.0 * math.pi, angle) / number
    radius = tf.sqrt(first**2 + second**2)
    return radius * tf.cos(angle), radius * tf.sin(angle)


def _angle_times(number: int, first: Any, second: Any) -> tuple[Any, Any]:
    """The inverse of `_angle_by`."""
    angle = number * tf.atan2(second, first)
    radius = tf.sqrt(first**2 + second**2)
    return radius * tf.cos(angle), radius * tf.sin(angle)
