"""The root of the scalar equation to which the inverses of planar and Sylvester flows reduce."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from zoo.ops.implicit import implicit_root

__all__ = ["solve_tanh", "tanh_slope"]

NUM_NEWTON_STEPS = 12  # for d up to 1e6, to a rounding error in s
# v - tanh(v) >= v**3 / 5.7 for 0 <= v <= 1.5, from tanh v <= v / (1 + v**2 / (3 + v**2 / 5)).
CUBIC = 5.7
# The root is below 1.5 where s <= 0.592 * (1 - d): 1.5 - (1 - d) tanh(1.5) is larger than that.
CUBIC_RANGE = 0.592
TINY = 1e-30  # divides in place of 0 where the quotient is not used


def tanh_slope(v: Any, d: Any) -> Any:
    """d/dv [v + (d - 1) tanh v] = tanh(v)**2 + d (1 - tanh(v)**2), in [min(1, d), max(1, d)].

    A sum of positive terms: nothing cancels as d goes to 0.
    """
    square = tf.square(tf.tanh(v))
    return square + d * (1.0 - square)


def solve_tanh(s: Any, d: Any) -> Any:
    """v with v + (d - 1) tanh(v) = s, for d > 0; s and d of shapes that broadcast.

    The left side f rises from -inf to inf and is odd, so take s >= 0, v >= 0. There f is convex for
    d < 1 and concave for d > 1: Newton's method converges monotonically from above the root in the
    first case, from below it in the second. It starts at the tightest of these bounds, and always
    takes `NUM_NEWTON_STEPS` steps, so that a row's result depends on no other row:

        d < 1:   v <= s + (1 - d),   v <= s / d,   v**3 <= 5.7 s / (1 - d)  (for small s)
        d > 1:   v >= s / d,   v >= s - (d - 1)

    The gradient is the implicit function's, dv = (ds - tanh(v) dd) / f'(v).
    v is as accurate as s allows: an error e in s is one of e / f'(v) in v, which is large where d
    and v are both near 0.
    """
    return implicit_root(_newton, _excess, _over_the_slope, s, d)


def _excess(v: Any, s: Any, d: Any) -> Any:
    return v + (d - 1.0) * tf.tanh(v) - s


def _over_the_slope(upstream: Any, v: Any, _: Any, d: Any) -> Any:
    return upstream / tanh_slope(v, d)


def _newton(s: Any, d: Any) -> Any:
    sign, s = tf.sign(s), tf.abs(s)
    lack = 1.0 - d  # positive where f is convex
    ratio = s / tf.maximum(lack, TINY)
    cubic = tf.where(ratio <= CUBIC_RANGE, tf.pow(CUBIC * ratio, 1.0 / 3.0), s + 1.0)
    above = tf.minimum(tf.minimum(s + lack, s / tf.maximum(d, TINY)), cubic)
    below = tf.maximum(s / tf.maximum(d, TINY), s + lack)
    start = tf.where(lack > 0.0, above, below)

    def step(i: Any, v: Any) -> tuple[Any, Any]:
        tanh = tf.tanh(v)
        excess = v + (d - 1.0) * tanh - s
        return i + 1, tf.maximum(v - excess / tanh_slope(v, d), 0.0)

    def unfinished(i: Any, _: Any) -> Any:
        return i < NUM_NEWTON_STEPS

    return (
        sign
        * tf.while_loop(
            unfinished, step, (tf.constant(0), start), maximum_iterations=NUM_NEWTON_STEPS
        )[1]
    )
