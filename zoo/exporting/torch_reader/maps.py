"""Increasing maps of a coordinate, by parameters that a network gives."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np

from .arrays import Arrays

__all__ = ["affine", "mixture_log_prob", "mixture_quantile", "spline"]

MIN_BIN = MIN_SLOPE = 1e-3  # of a spline
NSF_LIMIT = 2.0  # of the log-scales before a spline
NUM_HALVINGS = 60  # of an interval that holds a quantile


def affine(flow: Arrays, limit: float) -> tuple[Any, Any]:
    """(inverse, forward) of x = z exp(limit tanh(raw / limit)) + shift; raw [..., 2]."""

    def log_scale(raw: Any) -> Any:
        return limit * flow.xp.tanh(raw[..., 1] / limit)

    def inverse(x: Any, raw: Any) -> tuple[Any, Any]:
        return (x - raw[..., 0]) * flow.xp.exp(-log_scale(raw)), -log_scale(raw)

    return inverse, lambda z, raw: z * flow.xp.exp(log_scale(raw)) + raw[..., 0]


def spline(flow: Arrays) -> tuple[Any, Any]:
    """(inverse, forward) of the rational-quadratic spline, after an affine map if there is one."""
    xp, bins, bound = flow.xp, flow.config["num_bins"], flow.config["tail_bound"]
    offset = math.log(math.expm1(1.0 - MIN_SLOPE))

    def knots(raw: Any) -> tuple[Any, Any]:
        """(sizes of the bins, the left end of each), [..., K]."""
        shares = xp.exp(raw - xp.amax(raw, -1)[..., None])
        shares = shares / xp.sum(shares, -1)[..., None]
        sizes = 2.0 * bound * (MIN_BIN + (1.0 - MIN_BIN * bins) * shares)
        return sizes, xp.cumsum(sizes, -1) - sizes - bound

    def at(raw: Any, value: Any, *, by_heights: bool) -> tuple[Any, ...]:
        """Of each value's bin: left, width, bottom, height, the slopes at both ends."""
        widths, lefts = knots(raw[..., :bins])
        heights, bottoms = knots(raw[..., bins : 2 * bins])
        slopes = MIN_SLOPE + flow.softplus(raw[..., 2 * bins :] + offset)
        inner = (bottoms if by_heights else lefts)[..., 1:]
        index = xp.sum(value[..., None] >= inner, -1)
        here = flow.like(np.arange(bins), value) == index[..., None]
        here = flow.like(here, value)
        at_first, at_last = here[..., 0], here[..., -1]  # where the outermost slopes are 1
        return (
            *(xp.sum(here * each, -1) for each in (lefts, widths, bottoms, heights)),
            xp.sum(here[..., 1:] * slopes, -1) + at_first,
            xp.sum(here[..., :-1] * slopes, -1) + at_last,
        )

    def evaluated(x: Any, raw: Any) -> tuple[Any, Any]:
        inside = abs(x) < bound
        safe = xp.where(inside, x, 0.0 * x)
        left, width, bottom, height, d_0, d_1 = at(raw, safe, by_heights=False)
        s, t = height / width, xp.clip((safe - left) / width, 0.0, 1.0)
        e = s + (d_1 + d_0 - 2.0 * s) * t * (1.0 - t)
        y = bottom + height * (s * t**2 + d_0 * t * (1.0 - t)) / e
        top = d_1 * t**2 + 2.0 * s * t * (1.0 - t) + d_0 * (1.0 - t) ** 2
        log_slope = 2.0 * xp.log(s) + xp.log(top) - 2.0 * xp.log(e)
        return xp.where(inside, y, x), xp.where(inside, log_slope, 0.0 * x)

    def inverted(y: Any, raw: Any) -> Any:
        inside = abs(y) < bound
        safe = xp.where(inside, y, 0.0 * y)
        left, width, bottom, height, d_0, d_1 = at(raw, safe, by_heights=True)
        s, rise = height / width, safe - bottom
        curvature = rise * (d_1 + d_0 - 2.0 * s)
        a, b, c = height * (s - d_0) + curvature, height * d_0 - curvature, -s * rise
        root = xp.sqrt(xp.clip(b**2 - 4.0 * a * c, 0.0, None))
        t = xp.clip(2.0 * c / (-b - root), 0.0, 1.0)
        return xp.where(inside, left + t * width, y)

    if not flow.config.get("affine", False):
        return evaluated, inverted
    moved, moved_back = affine(flow, NSF_LIMIT)

    def both(x: Any, raw: Any) -> tuple[Any, Any]:
        y, first = moved(x, raw[..., :2])
        z, second = evaluated(y, raw[..., 2:])
        return z, first + second

    return both, lambda z, raw: moved_back(inverted(z, raw[..., 2:]), raw[..., :2])


def _mixture(flow: Arrays, raw: Any) -> tuple[Any, Any, Any]:
    """(log weights, means, log-scales) [..., C] of mixtures of C Gaussians."""
    count, limit = flow.num_components, flow.config["log_scale_limit"]
    normal = statistics.NormalDist()
    spread = np.array([normal.inv_cdf((c + 0.5) / count) for c in range(count)])
    logits, means, scales = (raw[..., i * count : (i + 1) * count] for i in range(3))
    scales = limit * flow.xp.tanh((scales + 0.5 * math.log(1.0 - spread.var())) / limit)
    log_weights = logits - flow.logsumexp(logits)[..., None]
    return log_weights, means + flow.like(spread, means), scales


def mixture_log_prob(flow: Arrays, x: Any, raw: Any) -> Any:
    """The log-density of a mixture of Gaussians, [..., D]."""
    log_weights, means, scales = _mixture(flow, raw)
    u = (x[..., None] - means) * flow.xp.exp(-scales)
    normal = -0.5 * u**2 - 0.5 * math.log(2.0 * math.pi)
    return flow.logsumexp(log_weights + normal - scales)


def mixture_quantile(flow: Arrays, z: Any, raw: Any) -> Any:
    """x with F(x) = Phi(z), F the mixture's distribution function, by halving an interval."""
    xp, (log_weights, means, scales) = flow.xp, _mixture(flow, raw)
    ends = means + xp.exp(scales) * z[..., None]
    low, high = -xp.amax(-ends, -1), xp.amax(ends, -1)
    sign = xp.where(z < 0.0, 0.0 * z + 1.0, 0.0 * z - 1.0)  # the smaller tail keeps its digits

    def tail(u: Any) -> Any:
        if flow.is_torch:
            return xp.special.ndtr(u)
        return np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2.0)))(u)

    target = tail(sign * z)
    for _ in range(NUM_HALVINGS):
        x = 0.5 * (low + high)
        u = (x[..., None] - means) * xp.exp(-scales)
        above = (xp.sum(xp.exp(log_weights) * tail(sign[..., None] * u), -1) - target) * sign > 0.0
        low, high = xp.where(above, low, x), xp.where(above, x, high)
    return 0.5 * (low + high)
