"""Mixtures of Gaussians as the map of a coordinate: z = Phi**-1(F(x)).

F is the distribution function of the mixture, Phi the standard normal's. Where z is standard
normal, x has the mixture's density: log|dz/dx| = log p(x) - log N(z; 0, 1).
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.ops.implicit import implicit_root
from zoo.ops.stable import soft_clip

tfd = tfp.distributions

__all__ = ["MixtureQuantile"]

# Every step is half of the one before, or halves the bracket: never needed in full, since the loop
# ends when nothing moves, usually after a handful of steps.
MAX_STEPS = 120


@dataclass(frozen=True)
class MixtureQuantile:
    """x distributed as sum_c w_c N(mu_c, sigma_c), z as N(0, 1).   MADE MoG, arXiv:1705.07057.

    Its parameters, [..., D, 3 C], are logits, means and log-scales of C components, which start as
    a spread that is close to N(0, 1). |log_scale| stays below `limit`.
    """

    num_components: int
    limit: float

    @property
    def num_parameters(self) -> int:
        """3 C: a logit, a mean and a log-scale for each component."""
        return 3 * self.num_components

    def _components(self, parameters: Any) -> tuple[Any, Any, Any]:
        """(log weights, means, log-scales), each [..., D, C]."""
        logits, means, log_scales = tf.split(parameters, 3, -1)
        normal, count = statistics.NormalDist(), self.num_components
        spread = np.array([normal.inv_cdf((c + 0.5) / count) for c in range(count)])
        log_scales += 0.5 * math.log(1.0 - spread.var())  # the mixture's variance is then 1
        return (
            tf.nn.log_softmax(logits),
            means + tf.constant(spread, means.dtype),
            soft_clip(log_scales, self.limit),
        )

    def log_prob(self, x: Any, parameters: Any) -> Any:
        """The mixture's log-density, [..., D]: what training needs, without a quantile."""
        return self._log_density(x, *self._components(parameters))

    def _log_density(self, x: Any, log_weights: Any, means: Any, log_scales: Any) -> Any:
        u = (x[..., None] - means) * tf.exp(-log_scales)
        return tf.reduce_logsumexp(log_weights + _log_normal(u) - log_scales, -1)

    def _log_tail(self, x: Any, sign: Any, components: tuple[Any, Any, Any]) -> Any:
        """log F(x) where sign is 1, log(1 - F(x)) where it is -1."""
        log_weights, means, log_scales = components
        u = (x[..., None] - means) * tf.exp(-log_scales)
        return tf.reduce_logsumexp(log_weights + _log_cdf(sign[..., None] * u), -1)

    def inverse(self, x: Any, parameters: Any) -> tuple[Any, Any]:
        """z = Phi**-1(F(x)), from the smaller tail, so that neither end saturates."""
        components = self._components(parameters)
        one = tf.ones_like(x)
        lower, upper = (self._log_tail(x, sign, components) for sign in (one, -one))
        quantile = _quantile(tf.minimum(lower, upper))  # of a probability of at most 1/2
        z = tf.where(lower < upper, quantile, -quantile)
        return z, self._log_density(x, *components) - _log_normal(z)

    def forward(self, z: Any, parameters: Any) -> tuple[Any, Any]:
        """x = F**-1(Phi(z)), solved within [min, max] of mu_c + sigma_c z."""
        components = self._components(parameters)
        sign = tf.where(z < 0.0, tf.ones_like(z), -tf.ones_like(z))
        target = _log_cdf(sign * z)  # log of the smaller tail
        x = tf.stop_gradient(self._solve(z, sign, target, components))
        tail = self._log_tail(x, sign, components)
        slope = sign * tf.exp(self._log_density(x, *components) - tail)  # d tail / dx
        # A last Newton step, whose first derivatives are those of the implicit function. It solves
        # nothing again, unlike `implicit_root`: an autoregressive flow takes D gradients of it.
        x = x + _ratio(target - tail, tf.stop_gradient(slope))
        return x, _log_normal(z) - self._log_density(x, *components)

    def _solve(self, z: Any, sign: Any, target: Any, components: tuple[Any, Any, Any]) -> Any:
        _, means, log_scales = components
        # Below every mu_c + sigma_c z each component's F is below Phi(z), and above all of them
        # above it.
        ends = means + tf.exp(log_scales) * z[..., None]
        low, high = tf.reduce_min(ends, -1), tf.reduce_max(ends, -1)
        epsilon = np.finfo(z.dtype.as_numpy_dtype).eps

        def going_on(moving: Any, *_: Any) -> Any:
            return tf.reduce_any(moving)

        def update(moving: Any, x: Any, low: Any, high: Any, last: Any) -> tuple[Any, ...]:
            tail = self._log_tail(x, sign, components)
            above = (tail - target) * sign > 0.0  # x is too large
            low = tf.where(moving & ~above, x, low)
            high = tf.where(moving & above, x, high)
            slope = sign * tf.exp(self._log_density(x, *components) - tail)
            new = x + (target - tail) / slope  # not finite where the slope underflows
            good = (new >= low) & (new <= high) & (tf.abs(new - x) <= 0.5 * last)
            new = tf.where(good, new, 0.5 * (low + high))
            # An element at rest stays: a row's result must not depend on its batch.
            new = tf.where(moving, new, x)
            last = tf.abs(new - x)
            moving &= last > 2.0 * epsilon * (1.0 + tf.abs(x))
            return moving, new, low, high, last

        start = (tf.ones_like(z, tf.bool), 0.5 * (low + high), low, high, high - low)
        return tf.while_loop(going_on, update, start, maximum_iterations=MAX_STEPS)[1]


def _ratio(numerator: Any, denominator: Any) -> Any:
    """The ratio, 0 where the denominator has underflowed."""
    usable = tf.abs(denominator) > np.finfo(denominator.dtype.as_numpy_dtype).tiny
    return tf.where(usable, numerator, 0.0) / tf.where(usable, denominator, 1.0)


def _log_normal(z: Any) -> Any:
    return -0.5 * tf.square(z) - 0.5 * math.log(2.0 * math.pi)


def _log_cdf(z: Any) -> Any:
    return tfd.Normal(tf.zeros([], z.dtype), tf.ones([], z.dtype)).log_cdf(z)


def _quantile(log_p: Any) -> Any:
    """z <= 0 with log Phi(z) = log_p, for log_p <= log(1/2), however small."""
    return implicit_root(_solve_quantile, _excess, _over_the_slope, log_p)


def _excess(z: Any, log_p: Any) -> Any:
    return _log_cdf(z) - log_p


def _over_the_slope(upstream: Any, z: Any, _: Any) -> Any:
    return upstream * tf.exp(_log_cdf(z) - _log_normal(z))  # d log Phi / dz = phi / Phi


def _solve_quantile(log_p: Any) -> Any:
    """The central part is ndtri's.

    Beyond it Newton's method on log Phi, which is concave and increasing, starts from the tail's
    leading terms.
    """
    near = tf.math.ndtri(tf.exp(tf.maximum(log_p, -16.0)))
    square = -2.0 * tf.minimum(log_p, -16.0)
    far = -tf.sqrt(square - tf.math.log(2.0 * math.pi * square))
    z = tf.where(log_p > -16.0, near, far)
    for _ in range(3):
        z = z - _over_the_slope(_excess(z, log_p), z, log_p)
    return z
