"""Four energies U(z) on the plane: densities exp(-U) / Z that are not normalised.

Rezende & Mohamed 2015, arXiv:1505.05770, table 1, with w1(z) = sin(2 pi z1 / 4),
w2(z) = 3 exp(-((z1 - 1) / 0.6)^2 / 2), w3(z) = 3 sigmoid((z1 - 1) / 0.3):

    u1   ((|z| - 2) / 0.4)^2 / 2 - log(exp(-((z1 - 2) / 0.6)^2 / 2) + exp(-((z1 + 2) / 0.6)^2 / 2))
    u2   ((z2 - w1) / 0.4)^2 / 2
    u3   -log(exp(-((z2 - w1) / 0.35)^2 / 2) + exp(-((z2 - w1 + w2) / 0.35)^2 / 2))
    u4   -log(exp(-((z2 - w1) / 0.4)^2 / 2) + exp(-((z2 - w1 + w3) / 0.35)^2 / 2))

Deviation: u2 to u4 do not depend on z1 far out, so that Z would be infinite. To them comes the
penalty sum_i relu(|z_i| - 6)^2, as in the code of B-NAF (arXiv:1904.04676).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["ENERGIES", "log_normaliser"]

BOX = 6.0
# Outside, each exp(-U) is below 1e-10: the penalty is 25, and u1's ring is 20 deviations away.
GRID_HALF_WIDTH = 11.0
GRID_POINTS = 1500
TINY = 1e-30  # of |z|^2, below which |z| has no gradient


def _halved_square(x: Any, scale: float) -> Any:
    return 0.5 * tf.square(x / scale)


def _mixture(first: Any, second: Any) -> Any:
    """-log(exp(-first) + exp(-second))."""
    return -tf.reduce_logsumexp(tf.stack([-first, -second]), 0)


def _wave(z: Any) -> Any:
    return tf.sin(2.0 * math.pi * z[..., 0] / 4.0)


def _box(z: Any) -> Any:
    return tf.reduce_sum(tf.square(tf.nn.relu(tf.abs(z) - BOX)), -1)


def _u1(z: Any) -> Any:
    radius = tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(z), -1), TINY))
    sides = [_halved_square(z[..., 0] + side, 0.6) for side in (-2.0, 2.0)]
    return _halved_square(radius - 2.0, 0.4) + _mixture(*sides)


def _u2(z: Any) -> Any:
    return _halved_square(z[..., 1] - _wave(z), 0.4) + _box(z)


def _u3(z: Any) -> Any:
    height = z[..., 1] - _wave(z)
    dip = 3.0 * tf.exp(-_halved_square(z[..., 0] - 1.0, 0.6))
    return _mixture(_halved_square(height, 0.35), _halved_square(height + dip, 0.35)) + _box(z)


def _u4(z: Any) -> Any:
    height = z[..., 1] - _wave(z)
    step = 3.0 * tf.sigmoid((z[..., 0] - 1.0) / 0.3)
    return _mixture(_halved_square(height, 0.4), _halved_square(height + step, 0.35)) + _box(z)


# name -> U: z [..., 2] -> [...], nats.
ENERGIES: dict[str, Callable[[Any], Any]] = {"u1": _u1, "u2": _u2, "u3": _u3, "u4": _u4}


def log_normaliser(name: str) -> float:
    """log Z = log of the integral of exp(-U), by the midpoint rule in float64.

    The integrand is smooth and has decayed at the grid's ends, so that the rule's error is far
    below 1e-6.
    """
    step = 2.0 * GRID_HALF_WIDTH / GRID_POINTS
    axis = -GRID_HALF_WIDTH + step * (np.arange(GRID_POINTS) + 0.5)
    points = tf.constant(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1))
    total = tf.reduce_logsumexp(-ENERGIES[name](points))
    return float(total) + 2.0 * math.log(step)
