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
import tensorflow_probability as tfp

__all__ = ["evaluate", "invert", "raw_slopes"]

# The paper's code: no bin is narrower or flatter than this share, no slope smaller than this.
MIN_BIN = 1e-3
MIN_SLOPE = 1e-3
# softplus(_OFFSET) + MIN_SLOPE = 1
_OFFSET = math.log(math.expm1(1.0 - MIN_SLOPE))


class _Bin(NamedTuple):
    """The bin of each value, [...] each: its corner, its size and the slopes at its two knots."""

    left: Any
    width: Any
    bottom: Any
    height: Any
    slope_left: Any
    slope_right: Any


def evaluate(
    raw: Any, x: Any, *, num_bins: int, bound: float, min_bin: float = MIN_BIN
) -> tuple[Any, Any]:
    """(y, log dy/dx), each of x's shape [...]; x beyond the bound stays as it is.

    raw: [..., 3 K - 1], K widths, K heights and the K - 1 slopes at the inner knots. Bins are
        `min_bin` plus a softmax, slopes a softplus; zeros give the identity. The outermost slopes
        are 1, so that the spline meets the identity smoothly.
    """
    inside = tf.abs(x) < bound
    safe = tf.where(inside, x, tf.zeros_like(x))
    left, width, bottom, height, slope_left, slope_right = _bin(
        raw, safe, num_bins, bound, min_bin, by_heights=False
    )
    mean = height / width
    t = _share((safe - left) / width)
    product = t * (1.0 - t)
    denominator = mean + (slope_right + slope_left - 2.0 * mean) * product
    y = bottom + height * (mean * tf.square(t) + slope_left * product) / denominator
    log_slope = _log_slope(mean, slope_left, slope_right, t, denominator)
    return tf.where(inside, y, x), tf.where(inside, log_slope, tf.zeros_like(x))


def invert(
    raw: Any, y: Any, *, num_bins: int, bound: float, min_bin: float = MIN_BIN
) -> tuple[Any, Any]:
    """(x, log dx/dy) with evaluate(x) = y: the quadratic's root in [0, 1] (Appendix A.2).

    raw, min_bin: as of `evaluate`.
    """
    inside = tf.abs(y) < bound
    safe = tf.where(inside, y, tf.zeros_like(y))
    left, width, bottom, height, slope_left, slope_right = _bin(
        raw, safe, num_bins, bound, min_bin, by_heights=True
    )
    mean = height / width
    rise = safe - bottom
    curvature = rise * (slope_right + slope_left - 2.0 * mean)
    a = height * (mean - slope_left) + curvature
    b = height * slope_left - curvature
    c = -mean * rise
    # b^2 - 4ac >= 0 for a monotone spline; rounding may push it below.
    discriminant = tf.maximum(tf.square(b) - 4.0 * a * c, tf.zeros_like(b))
    t = _share(2.0 * c / (-b - tf.sqrt(discriminant)))
    denominator = mean + (slope_right + slope_left - 2.0 * mean) * t * (1.0 - t)
    log_slope = _log_slope(mean, slope_left, slope_right, t, denominator)
    return tf.where(inside, left + t * width, y), tf.where(inside, -log_slope, tf.zeros_like(y))


def raw_slopes(slopes: Any) -> Any:
    """The raw numbers of slopes above MIN_SLOPE: [...]."""
    return tfp.math.softplus_inverse(slopes - MIN_SLOPE) - _OFFSET


def _bin(
    raw: Any, value: Any, num_bins: int, bound: float, min_bin: float, *, by_heights: bool
) -> _Bin:
    """The bin whose interval of x (or with `by_heights` of y) holds the value."""
    widths, heights, slopes = tf.split(raw, [num_bins, num_bins, num_bins - 1], axis=-1)
    widths, heights = _Sizes(widths, bound, min_bin), _Sizes(heights, bound, min_bin)
    index = (heights if by_heights else widths).index(value)
    numbers = tf.range(num_bins, dtype=value.dtype)
    before = tf.cast(numbers < index[..., None], value.dtype)
    # Sums over one-hot bins: no gathers, which neither vectorise nor fuse.
    here = tf.cast(tf.equal(numbers, index[..., None]), value.dtype)
    # The outermost knots have no raw slope: their sums are 0, and softplus(_OFFSET) + ... is 1.
    raw_left = tf.reduce_sum(here[..., 1:] * slopes, -1)
    raw_right = tf.reduce_sum(here[..., :-1] * slopes, -1)
    return _Bin(
        widths.sum(before, index) - bound,
        widths.sum(here, 1.0),
        heights.sum(before, index) - bound,
        heights.sum(here, 1.0),
        MIN_SLOPE + tf.nn.softplus(raw_left + _OFFSET),
        MIN_SLOPE + tf.nn.softplus(raw_right + _OFFSET),
    )


class _Sizes:
    """2 bound (m + (1 - m K) softmax(raw)), the sizes of K bins, m = `min_bin`; raw [..., K]."""

    def __init__(self, raw: Any, bound: float, min_bin: float) -> None:
        num_bins = raw.shape[-1]
        self.least = 2.0 * bound * min_bin
        self.bound = bound
        # A softmax whose sums alone are divided, not all of its terms.
        self.exponentials = tf.exp(
            raw - tf.stop_gradient(tf.reduce_max(raw, axis=-1, keepdims=True))
        )
        total = tf.reduce_sum(self.exponentials, -1)
        self.scale = 2.0 * bound * (1.0 - min_bin * num_bins) / total  # [...]

    def index(self, value: Any) -> Any:
        """How many inner knots are at most the value: the number of its bin, [...]."""
        inner = tf.cumsum(self.exponentials, -1)[..., :-1] * self.scale[..., None]
        least = self.least * tf.range(1, inner.shape[-1] + 1, dtype=value.dtype)
        at_most = value[..., None] >= inner + (least - self.bound)
        return tf.reduce_sum(tf.cast(at_most, value.dtype), -1)

    def sum(self, mask: Any, count: Any) -> Any:
        """Of the bins in the mask [..., K] of 0 and 1, which has `count` of them: [...]."""
        return self.scale * tf.reduce_sum(mask * self.exponentials, -1) + self.least * count


def _share(t: Any) -> Any:
    """t in [0, 1]: rounding puts a value beside its bin, where the slope may be negative."""
    return tf.clip_by_value(t, 0.0, 1.0)


def _log_slope(mean: Any, slope_left: Any, slope_right: Any, t: Any, denominator: Any) -> Any:
    numerator = (
        slope_right * tf.square(t) + 2.0 * mean * t * (1.0 - t) + slope_left * tf.square(1.0 - t)
    )
    # Every slope is at least MIN_SLOPE, every mean positive: so are both arguments.
    return 2.0 * tf.math.log(mean) + tf.math.log(numerator) - 2.0 * tf.math.log(denominator)
