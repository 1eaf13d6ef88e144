"""Distributions over the 65,536 values of 16-bit audio: integrals of densities over unit bins.

    P(x) = C((x + 1/2 - m) / s) - C((x - 1/2 - m) / s),   C a cumulative distribution function

with the lowest bin open to -inf and the highest to +inf, so that the 65,536 masses add up to 1
(Salimans et al. 2017, PixelCNN++, arXiv:1701.05517, Eq. 2; van den Oord et al. 2017,
arXiv:1711.10433, Sec. 2, for audio; a single Gaussian: ClariNet, arXiv:1807.07281, Sec. 3.1, there
as a density). Locations m and scales s are in units of full scale: x = 2**15 a, a in [-1, 1).

Where a bin is so far from m, or so narrow against s, that the difference of the two values of C
cancels, the density at the bin's centre takes its place; the two agree to better than 1e-4 there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

__all__ = [
    "FULL_SCALE",
    "HIGHEST",
    "LOWEST",
    "gaussian_log_prob",
    "log_difference",
    "logistic_mixture_log_prob",
    "quantize",
]

FULL_SCALE = 2**15
LOWEST, HIGHEST = -FULL_SCALE, FULL_SCALE - 1
_HALF_BIN = 0.5 / FULL_SCALE


def quantize(a: Any) -> Any:
    """The 16-bit value whose bin holds a (floats [...], full scale 1): int16 [...]."""
    x = tf.round(a * tf.cast(FULL_SCALE, a.dtype))
    return tf.cast(tf.clip_by_value(x, float(LOWEST), float(HIGHEST)), tf.int16)


def gaussian_log_prob(x: Any, mean: Any, log_scale: Any) -> Any:
    """log of the bin's mass under Normal(mean, exp(log_scale)): [...] nats.

    x: int16 [...].   mean, log_scale: floats [...], units of full scale.
    """
    centre, low, high, half_width = _standardised(x, mean, log_scale)
    log_density = -0.5 * tf.square(centre) - 0.5 * math.log(2.0 * math.pi)
    # Mirrored to the lower tail, where the normal's distribution function keeps its precision.
    flip = centre > 0.0
    near, far = tf.where(flip, -low, high), tf.where(flip, -high, low)
    log_near, log_far = _log_ndtr(near), _log_ndtr(far)
    inside = log_difference(log_near, log_far, log_density, half_width)
    tails = tf.where(x == LOWEST, _log_ndtr(high), _log_ndtr(-low))
    return tf.where((x == LOWEST) | (x == HIGHEST), tails, inside)


def logistic_mixture_log_prob(x: Any, logits: Any, means: Any, log_scales: Any) -> Any:
    """log sum_k pi_k P_k(x), P_k logistic, pi = softmax(logits): [...] nats.

    x: int16 [...].   logits, means, log_scales: floats [..., K], units of full scale.
    """
    x = x[..., None]
    centre, low, high, half_width = _standardised(x, means, log_scales)
    log_density = -tf.nn.softplus(centre) - tf.nn.softplus(-centre)
    flip = centre > 0.0
    near, far = tf.where(flip, -low, high), tf.where(flip, -high, low)
    inside = log_difference(-tf.nn.softplus(-near), -tf.nn.softplus(-far), log_density, half_width)
    tails = tf.where(x == LOWEST, -tf.nn.softplus(-high), -tf.nn.softplus(low))
    log_masses = tf.where((x == LOWEST) | (x == HIGHEST), tails, inside)
    return tf.reduce_logsumexp(tf.nn.log_softmax(logits) + log_masses, axis=-1)


def _standardised(x: Any, location: Any, log_scale: Any) -> tuple[Any, Any, Any, Any]:
    """((a - m) / s at the bin's centre, at its edges, and half the bin's width over s)."""
    a = tf.cast(x, location.dtype) / FULL_SCALE
    inverse_scale = tf.exp(-log_scale)
    centre = (a - location) * inverse_scale
    half_width = _HALF_BIN * inverse_scale
    return centre, centre - half_width, centre + half_width, half_width


def log_difference(log_near: Any, log_far: Any, log_density: Any, half_width: Any) -> Any:
    """log(exp(log_near) - exp(log_far)), by the density where the difference cancels.

    log_near >= log_far, gap = their difference. Where it is below `threshold` rounding would show,
    and the bin is narrow: density times width is off by gap**2 / 24 there, relatively.
    """
    threshold = 0.03 if log_near.dtype == tf.float32 else 1e-4
    gap = log_near - log_far
    cancels = gap < threshold
    safe_gap = tf.where(cancels, tf.ones_like(gap), gap)
    exact = log_near + tf.math.log(-tf.math.expm1(-safe_gap))
    return tf.where(cancels, log_density + tf.math.log(2.0 * half_width), exact)


def _log_ndtr(z: Any) -> Any:
    """log of the standard normal's distribution function, finite for every finite z.

    By erfc down to -`switch`; below it by the continued fraction of Mills' ratio, six terms.
    """
    switch = -5.0
    safe = tf.maximum(z, switch)
    middle = tf.math.log(0.5 * tf.math.erfc(-safe / math.sqrt(2.0)))
    y = tf.maximum(-z, -switch)
    fraction = y
    for n in (6.0, 5.0, 4.0, 3.0, 2.0, 1.0):
        fraction = y + n / fraction
    lower = -0.5 * tf.square(y) - 0.5 * np.log(2.0 * np.pi) - tf.math.log(fraction)
    return tf.where(z < switch, lower, middle)
