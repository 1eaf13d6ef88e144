"""A MADE whose masks follow an order that is given with each row.

Germain et al. 2015, arXiv:1502.03509, Sec. 4.2 and 4.3. Feature i has the degree d_i, its place in
the row's order from 1 on; hidden unit j has a fixed degree m_j in 0 .. D - 1.

    h1_j  = act(b_j + sum_i [d_i <= m_j] (v_i . W_ij + U_ij))
    h_j  <- act(b_j + sum_i [m_i <= m_j] h_i W_ij)
    out_i = b_i + sum_j [m_j < d_i] (h_j V_ji + R_ji)

U and R are the paper's weights of the masks themselves: they tell the network which features a unit
sees, where a 0 is no value.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.core import budget
from zoo.networks import activations
from zoo.networks.made import MaskedDense

__all__ = ["OrderAgnosticMADE"]


@keras.saving.register_keras_serializable("zoo")
class OrderAgnosticMADE(keras.layers.Layer):
    """(v [batch, D, F], degrees int32 [batch, D]) -> [batch, D, num_parameters]."""

    def __init__(
        self,
        event_size: int,
        num_features: int,
        hidden_units: Sequence[int],
        num_parameters: int,
        *,
        activation: str = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.event_size, self.num_features = event_size, num_features
        self.hidden_units, self.num_parameters = tuple(hidden_units), num_parameters
        self.activation = activation
        pairs = list(itertools.pairwise(self.hidden_units))
        budget.spend(sum(a * b for a, b in pairs), arrays=len(pairs) + 1)  # masks
        self.degrees = [_degrees(units, event_size) for units in self.hidden_units]
        self.hidden = [
            MaskedDense(
                before[:, None] <= after[None, :], dtype=self.dtype_policy, name=f"hidden_{i}"
            )
            for i, (before, after) in enumerate(itertools.pairwise(self.degrees), 1)
        ]

    def build(self, input_shape: Any = None) -> None:
        """Creates every weight."""
        del input_shape  # the constructor has the sizes
        size, first, last = self.event_size, self.hidden_units[0], self.hidden_units[-1]
        # Half of the features are seen, on average.
        scale = keras.initializers.RandomNormal((4.0 / (size * self.num_features)) ** 0.5)
        shape = (size, self.num_features, first)
        self.kernel = self.add_weight(shape=shape, initializer=scale, name="kernel")
        self.mask_kernel = self.add_weight(
            shape=(size, first), initializer="zeros", name="mask_kernel"
        )
        self.bias = self.add_weight(shape=(first,), initializer="zeros", name="bias")
        for layer in self.hidden:
            layer.build((None, layer.mask.shape[0]))
        shape = (size, last, self.num_parameters)
        self.output_kernel = self.add_weight(shape=shape, initializer="zeros", name="output_kernel")
        self.output_mask_kernel = self.add_weight(
            shape=shape, initializer="zeros", name="output_mask_kernel"
        )
        self.built = True

    def call(self, v: Any, degrees: Any) -> Any:
        """In the dtype of v."""
        activation, dtype = activations.activation(self.activation), self.compute_dtype
        degrees = degrees[..., None]
        seen = tf.cast(degrees <= tf.constant(self.degrees[0], tf.int32), dtype)
        each = tf.einsum("bdf,dfh->bdh", tf.cast(v, dtype), tf.cast(self.kernel, dtype))
        each += tf.cast(self.mask_kernel, dtype)
        h = tf.reduce_sum(seen * each, axis=1) + tf.cast(self.bias, dtype)
        for layer in self.hidden:
            h = layer(activation(h))
        h = activation(h)[:, None, :]
        seen = tf.cast(tf.constant(self.degrees[-1], tf.int32) < degrees, dtype)
        out = tf.einsum("bdh,dhp->bdp", seen * h, tf.cast(self.output_kernel, dtype))
        out += tf.einsum("bdh,dhp->bdp", seen, tf.cast(self.output_mask_kernel, dtype))
        return tf.cast(out, v.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "event_size": self.event_size,
            "num_features": self.num_features,
            "hidden_units": self.hidden_units,
            "num_parameters": self.num_parameters,
            "activation": self.activation,
        }


def _degrees(units: int, event_size: int) -> np.ndarray:
    """0 .. event_size - 1, evenly among the units, ascending."""
    return np.arange(units) * event_size // units
