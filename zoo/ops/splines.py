"""Monotone rational-quadratic splines on an interval, the identity outside it.

Gregory & Delbourgo 1982, as used by neural spline flows (Durkan et al. 2019, arXiv:1906.04032,
Sec. 3.1 and Appendix A.1-2). With knots (x_k, y_k) and slopes d_k, in a bin of width w and height
h,

    s = h / w,   t = (x - x_k) / w,   e = s + (d_{k+1} + d_k - 2 s) t (1 - t)
    y     = y_k + h (s t^2 + d_k t (1 - t)) / e                                   (Eq. 4)
    dy/dx = s^2 (d_{k+1} t^2 + 2 s t (1 - t) + d_k (1 - t)^2) / e^2               (Eq. 5)
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

__all__ = ["Spline", "evaluate", "invert", "spline_from_raw"]

# The paper's code: no bin is narrower or flatter than this share, no slope smaller than this.
MIN_BIN = 1e-3
MIN_SLOPE = 1e-3


class Spline(NamedTuple):
    """K bins from -bound to bound.

    left, width, bottom, height: of each bin, [..., K].   slope: at each knot, [..., K + 1].
    """

    left: Any
    width: Any
    bottom: Any
    height: Any
    slope: Any
    bound: float


def spline_from_raw(raw: Any, num_bins: int, bound: float) -> Spline:
    """The spline of 3 K - 1 unconstrained numbers [..., 3 K - 1]; of zeros the identity.

    Bins are a softmax, slopes a softplus; the outermost slopes are 1, so that the spline meets the
    identity smoothly (linear tails).
    """
    widths, heights, slopes = tf.split(raw, [num_bins, num_bins, num_bins - 1], axis=-1)
    left, width = _bins(widths, num_bins, bound)
    bottom, height = _bins(heights, num_bins, bound)
    # softplus(offset) + MIN_SLOPE = 1
    offset = math.log(math.expm1(1.0 - MIN_SLOPE))
    inner = MIN_SLOPE + tf.nn.softplus(slopes + offset)
    one = tf.ones_like(width[..., :1])
    return Spline(left, width, bottom, height, tf.concat([one, inner, one], -1), bound)


def _bins(raw: Any, num_bins: int, bound: float) -> tuple[Any, Any]:
    """(lower edges, sizes), each [..., K], of bins that fill [-bound, bound]."""
    sizes = 2.0 * bound * (MIN_BIN + (1.0 - MIN_BIN * num_bins) * tf.nn.softmax(raw))
    return tf.cumsum(sizes, axis=-1, exclusive=True) - bound, sizes


def _chosen(spline: Spline, edges: Any, value: Any) -> tuple[Any, ...]:
    """(left, width, bottom, height, slope left, slope right) of the value's bin, each [...]."""
    # A sum over one-hot bins: no gathers, which neither vectorise nor fuse.
    index = tf.reduce_sum(tf.cast(value[..., None] >= edges[..., 1:], tf.int32), -1)
    one_hot = tf.one_hot(index, edges.shape[-1], dtype=value.dtype)
    columns = (
        spline.left,
        spline.width,
        spline.bottom,
        spline.height,
        spline.slope[..., :-1],
        spline.slope[..., 1:],
    )
    return tuple(tf.reduce_sum(one_hot * column, -1) for column in columns)


def evaluate(spline: Spline, x: Any) -> tuple[Any, Any]:
    """(y, log dy/dx), each of x's shape [...]; x beyond the bound stays as it is."""
    inside = tf.abs(x) < spline.bound
    safe = tf.where(inside, x, tf.zeros_like(x))
    left, width, bottom, height, slope_left, slope_right = _chosen(spline, spline.left, safe)
    mean = height / width
    t = (safe - left) / width
    product = t * (1.0 - t)
    denominator = mean + (slope_right + slope_left - 2.0 * mean) * product
    y = bottom + height * (mean * tf.square(t) + slope_left * product) / denominator
    log_slope = _log_slope(mean, slope_left, slope_right, t, denominator)
    return tf.where(inside, y, x), tf.where(inside, log_slope, tf.zeros_like(x))


def invert(spline: Spline, y: Any) -> tuple[Any, Any]:
    """(x, log dx/dy) with evaluate(x) = y: the quadratic's root in [0, 1] (Appendix A.2)."""
    inside = tf.abs(y) < spline.bound
    safe = tf.where(inside, y, tf.zeros_like(y))
    left, width, bottom, height, slope_left, slope_right = _chosen(spline, spline.bottom, safe)
    mean = height / width
    rise = safe - bottom
    curvature = rise * (slope_right + slope_left - 2.0 * mean)
    a = height * (mean - slope_left) + curvature
    b = height * slope_left - curvature
    c = -mean * rise
    # b^2 - 4ac >= 0 for a monotone spline; rounding may push it below.
    discriminant = tf.maximum(tf.square(b) - 4.0 * a * c, tf.zeros_like(b))
    t = 2.0 * c / (-b - tf.sqrt(discriminant))
    denominator = mean + (slope_right + slope_left - 2.0 * mean) * t * (1.0 - t)
    log_slope = _log_slope(mean, slope_left, slope_right, t, denominator)
    return tf.where(inside, left + t * width, y), tf.where(inside, -log_slope, tf.zeros_like(y))


def _log_slope(mean: Any, slope_left: Any, slope_right: Any, t: Any, denominator: Any) -> Any:
    numerator = (
        slope_right * tf.square(t) + 2.0 * mean * t * (1.0 - t) + slope_left * tf.square(1.0 - t)
    )
    # Every slope and mean is at least MIN_BIN or MIN_SLOPE: both arguments are positive.
    return 2.0 * tf.math.log(mean) + tf.math.log(numerator) - 2.0 * tf.math.log(denominator)
