"""Learned invertible matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.core.lazy import bijectors

__all__ = ["LUFactors"]


@keras.saving.register_keras_serializable("zoo")
class LUFactors(keras.layers.Layer):
    """Packed LU factors [D, D] with a log-diagonal, a bias [D], and a fixed permutation of D.

    They start as the identity: the layer then only permutes.   seed: names the permutation, unless
    it is given.
    """

    def __init__(
        self, event_size: int, *, seed: int = 0, permutation: Sequence[int] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.event_size = event_size
        self.seed = seed
        self.given = tuple(permutation)
        drawn = np.random.default_rng([seed, event_size]).permutation(event_size)
        self.permutation = tuple(int(i) for i in (self.given or drawn))

    def build(self, input_shape: Any = None) -> None:
        """Creates the weights."""
        del input_shape
        size = (self.event_size,)
        self.factors = self.add_weight(shape=size * 2, initializer="zeros", name="factors")
        self.bias = self.add_weight(shape=size, initializer="zeros", name="bias")
        self.built = True

    def bijector(self) -> bijectors.LULinear:
        """x -> the matrix times x, plus the bias: its inverse goes from data to latents."""
        return bijectors.LULinear(
            tf.convert_to_tensor(self.factors),
            tf.convert_to_tensor(self.bias),
            self.permutation,
            name=self.name,
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "event_size": self.event_size,
            "seed": self.seed,
            "permutation": self.given,
        }
