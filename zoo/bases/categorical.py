"""Independent categorical distributions, one a feature, each with its own number of values.

P(Z_j = k) = softmax(logits_j)_k        fitted in closed form:  (count + a) / (n + a K_j)
draw         the number of k with U > P(Z_j <= k)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.ops.noise import counter_uniform

__all__ = ["SMOOTHING", "Categoricals"]

SMOOTHING = 0.001
_NONE = -1e9  # the logit of a value that a feature does not have
_COLDEST = 1e-6


@keras.saving.register_keras_serializable("zoo")
class Categoricals(keras.layers.Layer):
    """P(z) of integers z [batch, D], 0 <= z_j < K_j; uniform when fresh."""

    def __init__(self, class_counts: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.class_counts = tuple(class_counts)
        self.size = max(self.class_counts)
        self._inside = np.arange(self.size) < np.array(self.class_counts)[:, None]  # [D, K]

    def build(self, input_shape: Any = None) -> None:
        """Creates the logits, [D, K]."""
        del input_shape
        shape = (len(self.class_counts), self.size)
        self.logits = self.add_weight(shape=shape, initializer="zeros", name="logits")
        self.built = True

    def log_shares(self, dtype: Any = None) -> Any:
        """log P(Z_j = k), [D, K]; about -1e9 for values that a feature does not have."""
        logits = tf.cast(tf.convert_to_tensor(self.logits), dtype or self.compute_dtype)
        return tf.nn.log_softmax(tf.where(self._inside, logits, tf.cast(_NONE, logits.dtype)))

    def log_masses(self, low: int, high: int) -> Any:
        """log P(Z_j = k) of k in low..high: float64 [D, high - low + 1] nats."""
        k = np.arange(low, high + 1)
        shares = tf.gather(self.log_shares(tf.float64), np.clip(k, 0, self.size - 1), axis=1)
        return tf.where((k >= 0) & (k < self.size), shares, tf.cast(_NONE, tf.float64))

    def log_prob(self, z: Any) -> Any:
        """log P(z): [batch] nats of integers z [batch, D]."""
        places = tf.cast(z, tf.int32) + self.size * tf.range(len(self.class_counts))
        return tf.reduce_sum(tf.gather(tf.reshape(self.log_shares(), [-1]), places), axis=-1)

    def sample(self, num_samples: Any, seed: Any, temperature: Any = 1.0) -> Any:
        """Draws from P: int32 [num_samples, D]; the n-th is the same whatever their number.

        seed: int32 [2].   temperature: divides the logits; 0 gives the likeliest values.
        """
        uniform = counter_uniform(seed, num_samples, 0, 2, len(self.class_counts))
        return self._at_quantiles(uniform, temperature)

    def _at_quantiles(self, uniform: Any, temperature: Any) -> Any:
        """int32 [..., D] of uniform numbers [2, ..., D]."""
        fine = tf.cast(uniform[0], tf.float64)  # 46 bits of two times 23
        fine += (tf.cast(uniform[1], tf.float64) - 0.5) * 2.0**-23
        warmth = tf.maximum(tf.cast(temperature, tf.float64), _COLDEST)
        # The largest is subtracted first: at a temperature of 0 nothing overflows.
        logits = self.log_shares(tf.float64)
        logits -= tf.reduce_max(logits, axis=-1, keepdims=True)
        steps = tf.cumsum(tf.nn.softmax(logits / warmth), axis=-1)[:, :-1]
        drawn = tf.reduce_sum(tf.cast(fine[..., None] > steps, tf.int32), axis=-1)
        return tf.minimum(drawn, np.array(self.class_counts, np.int32) - 1)

    def adapt(self, z: Any) -> None:
        """Fits the shares to integers z [rows, D], `SMOOTHING` added to every count."""
        places = np.asarray(z, np.int64) + self.size * np.arange(len(self.class_counts))
        counts = np.bincount(places.ravel(), minlength=self._inside.size)
        self.set_counts(counts.reshape(self._inside.shape))

    def set_counts(self, counts: Any) -> None:
        """Fits the shares to counts [D, K] of values."""
        smoothed = np.where(self._inside, counts + SMOOTHING, 1.0)
        total = np.where(self._inside, smoothed, 0.0).sum(-1, keepdims=True)
        self.logits.assign(np.where(self._inside, np.log(smoothed / total), 0.0))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "class_counts": self.class_counts}
