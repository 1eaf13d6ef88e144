"""Densities and masses of one number, by parameters that a network gives, and draws of them.

Mixtures of K components, whose `raw` parameters are [..., 3 K]: logits, locations m, log-scales.

    Gaussian          p(y) = sum_k pi_k N(y; m_k, s_k^2)
    logistic          p(y) = sum_k pi_k s'((y - m_k) / s_k) / s_k,  s the logistic function
    bins of it        P(a < y <= b) = sum_k pi_k (s((b - m_k) / s_k) - s((a - m_k) / s_k))
    wrapped Cauchy    p(t) = sum_k pi_k (1 - r_k^2) / (1 + r_k^2 - 2 r_k cos(t - m_k)) / (2 pi),
                      r_k = exp(-s_k), of an angle t (Mardia & Jupp 2000, Sec. 3.5.7)
    categorical       P(c) = softmax(raw)_c

A draw is the quantile at two uniform numbers: the first chooses the component, the second the
value. The temperature divides logits and multiplies scales.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.ops.discretized import log_difference

__all__ = [
    "MIN_LOG_SCALE",
    "bin_log_prob",
    "categorical_draw",
    "categorical_log_prob",
    "cauchy_below",
    "cauchy_draw",
    "cauchy_log_prob",
    "fresh_mixture",
    "gaussian_below",
    "gaussian_draw",
    "gaussian_log_prob",
    "logistic_below",
    "logistic_draw",
    "logistic_log_prob",
]

MIN_LOG_SCALE = -7.0
"""No component is narrower: the density of a value that many rows share stays finite."""
_COLDEST = 1e-6


def fresh_mixture(num_components: int, *, circular: bool = False) -> np.ndarray:
    """Raw parameters [3 K] near a standard normal, or near the uniform density of the circle."""
    places = (np.arange(num_components) + 0.5) / num_components
    if circular:
        locations, log_scale = 2.0 * math.pi * places, math.log(2.0 * math.pi / num_components)
    else:
        locations, log_scale = np.log(places / (1.0 - places)) / 1.7, math.log(0.4)
    scales = np.full(num_components, log_scale)
    return np.concatenate([np.zeros(num_components), locations, scales])


def gaussian_log_prob(raw: Any, y: Any) -> Any:
    """log p(y), [...].   raw: [..., 3 K].   y: [...]."""
    logits, locations, log_scales = _mixture(raw)
    z = (y[..., None] - locations) * tf.exp(-log_scales)
    log_densities = -0.5 * tf.square(z) - log_scales - 0.5 * math.log(2.0 * math.pi)
    return tf.reduce_logsumexp(tf.nn.log_softmax(logits) + log_densities, axis=-1)


def gaussian_draw(raw: Any, uniform: Any, temperature: Any) -> Any:
    """y, [...].   raw: [..., 3 K].   uniform: [..., 2] in (0, 1)."""
    location, log_scale = _component(raw, uniform[..., 0], temperature)
    return location + temperature * tf.exp(log_scale) * tf.math.ndtri(uniform[..., 1])


def logistic_log_prob(raw: Any, y: Any) -> Any:
    """log p(y), [...].   raw: [..., 3 K].   y: [...]."""
    logits, locations, log_scales = _mixture(raw)
    z = (y[..., None] - locations) * tf.exp(-log_scales)
    log_densities = -tf.abs(z) - 2.0 * tf.nn.softplus(-tf.abs(z)) - log_scales
    return tf.reduce_logsumexp(tf.nn.log_softmax(logits) + log_densities, axis=-1)


def gaussian_below(raw: Any, y: Any) -> Any:
    """P(Y <= y), [...].   raw: [..., 3 K].   y: [...]."""
    logits, locations, log_scales = _mixture(raw)
    shares = 0.5 * tf.math.erfc((locations - y[..., None]) * tf.exp(-log_scales) / math.sqrt(2.0))
    return tf.reduce_sum(tf.nn.softmax(logits) * shares, axis=-1)


def logistic_below(raw: Any, y: Any) -> Any:
    """P(Y <= y), [...].   raw: [..., 3 K].   y: [...]."""
    logits, locations, log_scales = _mixture(raw)
    shares = tf.sigmoid((y[..., None] - locations) * tf.exp(-log_scales))
    return tf.reduce_sum(tf.nn.softmax(logits) * shares, axis=-1)


def bin_log_prob(raw: Any, low: Any, high: Any, *, lowest: Any, highest: Any) -> Any:
    """log P(low < y <= high), [...]: open below where `lowest`, open above where `highest`.

    raw: [..., 3 K].   low < high: [...].   lowest, highest: bool, of the shape of low.
    """
    logits, locations, log_scales = _mixture(raw)
    inverse = tf.exp(-log_scales)
    low, high = low[..., None], high[..., None]
    below, above = (low - locations) * inverse, (high - locations) * inverse
    centre, half_width = 0.5 * (below + above), 0.5 * (high - low) * inverse
    log_density = -tf.abs(centre) - 2.0 * tf.nn.softplus(-tf.abs(centre))
    flip = centre > 0.0  # to the side on which the logistic function keeps its precision
    near, far = tf.where(flip, -below, above), tf.where(flip, -above, below)
    inside = log_difference(-tf.nn.softplus(-near), -tf.nn.softplus(-far), log_density, half_width)
    log_masses = tf.where(lowest[..., None], -tf.nn.softplus(-above), inside)
    log_masses = tf.where(highest[..., None], -tf.nn.softplus(below), log_masses)
    return tf.reduce_logsumexp(tf.nn.log_softmax(logits) + log_masses, axis=-1)


def logistic_draw(raw: Any, uniform: Any, temperature: Any) -> Any:
    """y, [...].   raw: [..., 3 K].   uniform: [..., 2] in (0, 1)."""
    location, log_scale = _component(raw, uniform[..., 0], temperature)
    u = uniform[..., 1]
    return location + temperature * tf.exp(log_scale) * (tf.math.log(u) - tf.math.log1p(-u))


def cauchy_log_prob(raw: Any, angle: Any) -> Any:
    """log p(angle), [...], a density of radians.   raw: [..., 3 K].   angle: [...]."""
    logits, locations, log_scales = _mixture(raw)
    width = tf.exp(log_scales)
    r = tf.exp(-width)
    gap = -tf.math.expm1(-width)  # 1 - r
    sine = tf.sin(0.5 * (angle[..., None] - locations))
    log_densities = (
        tf.math.log(gap)
        + tf.math.log1p(r)
        - tf.math.log(tf.square(gap) + 4.0 * r * tf.square(sine))
        - math.log(2.0 * math.pi)
    )
    return tf.reduce_logsumexp(tf.nn.log_softmax(logits) + log_densities, axis=-1)


def cauchy_below(raw: Any, angle: Any) -> Any:
    """P(T <= angle) of angles in [0, 2 pi), [...].   raw: [..., 3 K].   angle: [...]."""
    logits, locations, log_scales = _mixture(raw)
    spread = tf.tanh(0.5 * tf.exp(log_scales))  # (1 - r) / (1 + r)

    def turned(gap: Any) -> Any:  # of one whole turn of the line, 1
        whole = tf.floor((gap + math.pi) / (2.0 * math.pi))
        return whole + tf.atan(tf.tan(0.5 * gap - math.pi * whole) / spread) / math.pi

    shares = turned(angle[..., None] - locations) - turned(-locations)
    return tf.reduce_sum(tf.nn.softmax(logits) * shares, axis=-1)


def cauchy_draw(raw: Any, uniform: Any, temperature: Any) -> Any:
    """An angle in [0, 2 pi), [...].   raw: [..., 3 K].   uniform: [..., 2] in (0, 1)."""
    location, log_scale = _component(raw, uniform[..., 0], temperature)
    spread = tf.tanh(0.5 * temperature * tf.exp(log_scale))  # (1 - r) / (1 + r)
    turn = 2.0 * tf.atan(spread * tf.tan(math.pi * (uniform[..., 1] - 0.5)))
    return tf.math.floormod(location + turn, tf.constant(2.0 * math.pi, raw.dtype))


def categorical_log_prob(raw: Any, category: Any) -> Any:
    """log P(category), [...].   raw: [..., C].   category: integers [...] in 0..C - 1."""
    chosen = tf.one_hot(category, raw.shape[-1], dtype=raw.dtype)
    return tf.reduce_sum(chosen * tf.nn.log_softmax(raw), axis=-1)


def categorical_draw(raw: Any, uniform: Any, temperature: Any) -> Any:
    """A category, int32 [...].   raw: [..., C].   uniform: [..., 2], the first of which is used."""
    return _chosen(raw, uniform[..., 0], temperature)


def _mixture(raw: Any) -> tuple[Any, Any, Any]:
    """(logits, locations, log-scales above their floor), [..., K] each."""
    logits, locations, log_scales = tf.split(raw, 3, axis=-1)
    return logits, locations, MIN_LOG_SCALE + tf.nn.softplus(log_scales - MIN_LOG_SCALE)


def _component(raw: Any, uniform: Any, temperature: Any) -> tuple[Any, Any]:
    """(location, log-scale) of the component that the uniform number chooses."""
    logits, locations, log_scales = _mixture(raw)
    index = _chosen(logits, uniform, temperature)
    here = tf.one_hot(index, locations.shape[-1], dtype=raw.dtype)
    return tf.reduce_sum(here * locations, -1), tf.reduce_sum(here * log_scales, -1)


def _chosen(logits: Any, uniform: Any, temperature: Any) -> Any:
    """The category at the quantile `uniform` of softmax(logits / temperature): int32 [...]."""
    cooled = logits / tf.maximum(temperature, tf.constant(_COLDEST, logits.dtype))[..., None]
    below = tf.cumsum(tf.nn.softmax(cooled), axis=-1)[..., :-1]
    return tf.reduce_sum(tf.cast(below < uniform[..., None], tf.int32), axis=-1)
