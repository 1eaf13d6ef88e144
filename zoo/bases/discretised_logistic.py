"""Logistic distributions on the integers, one a dimension, or a mixture of them.

    P(Z = k) = s(a (k + 1 - m)) - s(a (k - m)),   s the logistic function, a > 0
    log P    = log(1 - exp(-a)) - softplus(u) - softplus(-(u + a)),   u = a (k - m)
    draw       k = floor(m + logit(U) / a)

m is a location, 1 / a a scale; the masses of all integers add up to 1. The second line has no
difference of nearly equal numbers, and nothing that overflows.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.ops.noise import counter_uniform

__all__ = ["DiscretisedLogistic", "log_mass", "quantile"]

SMALLEST_RATE = 1e-4
SMALLEST_SCALE = 0.1  # of a start: a mass of 0.99 at one integer


def log_mass(k: Any, location: Any, rate: Any) -> Any:
    """log P(Z = k) in nats: [...] of integers as floats [...], m and a that broadcast with them."""
    u = rate * (k - location)
    return tf.math.log(-tf.math.expm1(-rate)) - tf.nn.softplus(u) - tf.nn.softplus(-(u + rate))


def quantile(uniform: Any, location: Any, rate: Any) -> Any:
    """floor(m + logit(U) / a), floats: the integer whose mass holds the quantile U in (0, 1)."""
    return tf.floor(location + (tf.math.log(uniform) - tf.math.log1p(-uniform)) / rate)


@keras.saving.register_keras_serializable("zoo")
class DiscretisedLogistic(keras.layers.Layer):
    """Independent mixtures of `num_components` discretised logistics on Z^D.

    a = softplus(-p), at least 1e-4. One component starts at p = 0, m = 1/2, the median of the mass
    at 0; several are spread evenly over [0, span) and wait for `adapt`.
    """

    def __init__(
        self, event_size: int, *, num_components: int = 1, span: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.event_size = event_size
        self.num_components = num_components
        self.span = span

    def build(self, input_shape: Any = None) -> None:
        """Creates the weights, each [D, components]."""
        del input_shape
        shape, count = (self.event_size, self.num_components), self.num_components
        starts = (np.arange(count) + 0.5) / count * (self.span if count > 1 else 1)
        self.location = self.add_weight(
            shape=shape,
            initializer=lambda shape, dtype=None: tf.broadcast_to(tf.cast(starts, dtype), shape),
            name="location",
        )
        self.negative_rate = self.add_weight(shape=shape, initializer="zeros", name="negative_rate")
        self.logits: Any = None  # one component has no weight
        if count > 1:
            self.logits = self.add_weight(shape=shape, initializer="zeros", name="logits")
        self.built = True

    def _parameters(self, dtype: Any) -> tuple[Any, Any, Any]:
        location, p = (tf.cast(tf.convert_to_tensor(w), dtype) for w in self.weights[:2])
        logits = tf.zeros_like(p) if self.logits is None else tf.cast(self.logits, dtype)
        return tf.nn.log_softmax(logits), location, tf.maximum(tf.nn.softplus(-p), SMALLEST_RATE)

    def log_prob(self, z: Any) -> Any:
        """log P(z): [batch] nats of integers z [batch, D], given as floats."""
        log_weights, location, rate = self._parameters(z.dtype)
        masses = log_weights + log_mass(z[..., None], location, rate)
        return tf.reduce_sum(tf.reduce_logsumexp(masses, axis=-1), axis=-1)

    def log_masses(self, low: int, high: int) -> Any:
        """log P(Z_d = k) of k in low..high: float64 [D, high - low + 1] nats."""
        log_weights, location, rate = self._parameters(tf.float64)
        k = tf.range(low, high + 1, dtype=tf.float64)[:, None]
        masses = log_weights[:, None] + log_mass(k, location[:, None], rate[:, None])
        return tf.reduce_logsumexp(masses, axis=-1)

    def sample(self, num_samples: Any, seed: Any, temperature: Any = 1.0) -> Any:
        """Draws from P: int32 [num_samples, D]; the n-th is the same whatever their number.

        seed: int32 [2].   temperature: factor on the scales; 0 gives the mode of a component.
        """
        size = 3 * self.event_size
        uniform = tf.reshape(
            tf.cast(counter_uniform(seed, num_samples, 0, 1, size), tf.float64),
            [num_samples, 3, -1],
        )
        log_weights, location, rate = self._parameters(tf.float64)
        steps = tf.cumsum(tf.exp(log_weights), axis=-1)[:, :-1]  # [D, components - 1]
        chosen = tf.reduce_sum(tf.cast(uniform[:, 2, :, None] > steps, tf.int32), axis=-1)  # [n, D]
        one_hot = tf.one_hot(chosen, self.num_components, dtype=tf.float64)
        location, rate = (tf.reduce_sum(one_hot * w, axis=-1) for w in (location, rate))
        fine = uniform[:, 0] + (uniform[:, 1] - 0.5) * 2.0**-23  # 46 bits of two times 23
        return tf.cast(quantile(fine, location, rate / tf.cast(temperature, tf.float64)), tf.int32)

    def adapt(self, z: Any) -> None:
        """Starts from integers z [rows, D], in order and cut into equal parts, a component each.

        Locations are the parts' medians, scales are by their spread, at least `SMALLEST_SCALE`.
        """
        rows = np.sort(np.asarray(z, np.float64), axis=0)
        parts = np.array_split(rows, self.num_components)
        parts = [part if len(part) else rows for part in parts]  # of fewer rows than components
        spread = np.stack([part.std(axis=0) for part in parts], axis=1)
        scales = np.maximum(spread * math.sqrt(3.0) / math.pi, SMALLEST_SCALE)
        self.location.assign(np.stack([np.median(part, axis=0) for part in parts], axis=1) + 0.5)
        self.negative_rate.assign(-np.log(np.expm1(1.0 / scales)))  # softplus(-p) = 1 / scale

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "event_size": self.event_size,
            "num_components": self.num_components,
            "span": self.span,
        }
