"""p(x | z) of variational autoencoders: what the decoder's numbers mean, by the kind of data.

    binary images         Bernoulli(sigmoid(l))
    grey levels 0..L-1    a logistic density's mass on each level: (C((v + 1/2 - m) / s) -
                          C((v - 1/2 - m) / s)), v = x / (L - 1) in steps, the lowest and the
                          highest level open to the outside (Salimans et al. 2017, arXiv:1701.05517,
                          Eq. 2; Kingma et al. 2016, arXiv:1606.04934, Sec. 6.2), s learned
    real features         Normal(m, s), s learned, one a feature

Locations m of grey levels are in [0, 1] units, log-scales of theirs as well.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import tensorflow as tf

__all__ = ["Bernoulli", "DiscretizedLogistic", "Likelihood", "Normal", "likelihood_of"]


class Likelihood:
    """p(x | z): x [..., *event] given the decoder's parameters [..., *event, num_parameters].

    log_scale: the learned log-scale, or None where there is none.
    """

    num_parameters: ClassVar[int] = 1
    learned_scale: ClassVar[bool] = True
    initial_log_scale: ClassVar[float] = 0.0

    def __init__(self, num_levels: int = 0) -> None:
        self.num_levels = num_levels

    def log_prob(self, x: Any, parameters: Any, log_scale: Any) -> Any:
        """log p of every element of x, nats: [..., *event]."""
        raise NotImplementedError

    def mean(self, parameters: Any) -> Any:
        """E[x | z] in data units, floats [..., *event]."""
        raise NotImplementedError

    def draw(self, uniform: Any, parameters: Any, log_scale: Any) -> Any:
        """x ~ p(x | z) of uniform numbers in (0, 1): floats in data units, [..., *event]."""
        raise NotImplementedError

    def stored(self, x: Any) -> Any:
        """x in data units as the dataset stores it: rounded to levels where there are any."""
        if not self.num_levels:
            return x
        return tf.cast(tf.clip_by_value(tf.round(x), 0.0, self.num_levels - 1.0), tf.uint8)

    def scaled(self, x: Any, dtype: Any) -> Any:
        """Data as an encoder sees it: levels in [-1, 1], features as they are."""
        x = tf.cast(x, dtype)
        return 2.0 * x / (self.num_levels - 1.0) - 1.0 if self.num_levels else x


class Bernoulli(Likelihood):
    """Binary pixels: parameters are logits."""

    learned_scale: ClassVar[bool] = False

    def log_prob(self, x: Any, parameters: Any, log_scale: Any) -> Any:
        """x l - softplus(l)."""
        del log_scale
        logits = parameters[..., 0]
        return tf.cast(x, logits.dtype) * logits - tf.nn.softplus(logits)

    def mean(self, parameters: Any) -> Any:
        """sigmoid(l)."""
        return tf.sigmoid(parameters[..., 0])

    def draw(self, uniform: Any, parameters: Any, log_scale: Any) -> Any:
        """1 where u < sigmoid(l)."""
        del log_scale
        return tf.cast(uniform < self.mean(parameters), uniform.dtype)


class DiscretizedLogistic(Likelihood):
    """Grey levels: parameters are locations in [0, 1] units."""

    initial_log_scale: ClassVar[float] = -2.0

    def log_prob(self, x: Any, parameters: Any, log_scale: Any) -> Any:
        """log(C(b) - C(a)) = log C(b) + log C(-a) + log(1 - exp(a - b)), C the logistic function.

        a, b: the edges of x's level, standardised.
        """
        location = parameters[..., 0]
        steps = self.num_levels - 1.0
        inverse_scale = tf.exp(-log_scale)
        value = tf.cast(x, location.dtype) / steps
        centre, half = (value - location) * inverse_scale, 0.5 / steps * inverse_scale
        log_below = -tf.nn.softplus(-(centre + half))  # log C(b)
        log_above = -tf.nn.softplus(centre - half)  # log C(-a)
        inside = log_below + log_above + tf.math.log(-tf.math.expm1(-2.0 * half))
        edge = tf.where(value <= 0.0, log_below, log_above)
        return tf.where((value <= 0.0) | (value >= 1.0), edge, inside)

    def mean(self, parameters: Any) -> Any:
        """The location, in levels, inside the range."""
        return (self.num_levels - 1.0) * tf.clip_by_value(parameters[..., 0], 0.0, 1.0)

    def draw(self, uniform: Any, parameters: Any, log_scale: Any) -> Any:
        """m + s logit(u), in levels."""
        noise = tf.math.log(uniform) - tf.math.log1p(-uniform)
        return (self.num_levels - 1.0) * (parameters[..., 0] + tf.exp(log_scale) * noise)


class Normal(Likelihood):
    """Real features: parameters are means."""

    def log_prob(self, x: Any, parameters: Any, log_scale: Any) -> Any:
        """-((x - m) / s)**2 / 2 - log s - log(2 pi) / 2."""
        z = (tf.cast(x, parameters.dtype) - parameters[..., 0]) * tf.exp(-log_scale)
        return -0.5 * tf.square(z) - log_scale - 0.5 * math.log(2.0 * math.pi)

    def mean(self, parameters: Any) -> Any:
        """m."""
        return parameters[..., 0]

    def draw(self, uniform: Any, parameters: Any, log_scale: Any) -> Any:
        """m + s ndtri(u)."""
        return parameters[..., 0] + tf.exp(log_scale) * tf.math.ndtri(uniform)


def likelihood_of(num_levels: int) -> Likelihood:
    """The likelihood of data of so many grey levels; 0 for real features."""
    if num_levels == 0:
        return Normal()
    return Bernoulli(2) if num_levels == 2 else DiscretizedLogistic(num_levels)
