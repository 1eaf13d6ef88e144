"""Perceptrons of couplings: NICE's and RealNVP's, and the residual one of neural spline flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo.networks import activations

__all__ = ["MLP", "ResidualMLP"]

BLOCK_SCALE = 0.1  # of what a fresh residual block adds to its input


@keras.saving.register_keras_serializable("zoo")
class MLP(keras.layers.Layer):
    """Dense layers with an activation and dropout, then a linear layer that starts at zero.

    [..., in] -> [..., output_size].   A zero output makes a fresh coupling the identity.
    """

    def __init__(
        self,
        hidden_units: Sequence[int],
        output_size: int,
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.output_size = output_size
        self.activation = activation
        self.dropout = dropout
        initializer = "he_normal" if activation == "relu" else "glorot_normal"
        self.hidden = [
            keras.layers.Dense(
                units,
                activation=activations.activation(activation),
                kernel_initializer=initializer,
                dtype=self.dtype_policy,
                name=f"hidden_{i}",
            )
            for i, units in enumerate(self.hidden_units)
        ]
        self.output_layer = keras.layers.Dense(
            output_size, kernel_initializer="zeros", dtype=self.dtype_policy, name="output"
        )
        self.dropout_layers = (
            [keras.layers.Dropout(dropout, dtype=self.dtype_policy) for _ in hidden_units]
            if dropout
            else []
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates every weight for inputs of `input_shape`."""
        shape = tuple(input_shape)
        for layer in [*self.hidden, self.output_layer]:
            layer.build(shape)
            shape = (*shape[:-1], layer.units)
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras' own signature)
        """[..., in] -> [..., output_size]."""
        training = training and bool(self.trainable_variables)  # else frozen
        for i, layer in enumerate(self.hidden):
            x = layer(x)
            if self.dropout_layers:
                x = self.dropout_layers[i](x, training=training)
        return self.output_layer(x)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "output_size": self.output_size,
            "activation": self.activation,
            "dropout": self.dropout,
        }


@keras.saving.register_keras_serializable("zoo")
class ResidualMLP(keras.layers.Layer):
    """Pre-activation residual blocks of dense layers: [..., in] -> [..., output_size].

        h = W x + b;   h += W drop(act(W act(h) + b)) + b, num_blocks times;   out = W act(h) + b

    The conditioner of neural spline flows (arXiv:1906.04032, Sec. 5.1), with an activation before
    the output too, but for `output_activation` False. The output starts small, or at 0, and a fresh
    block adds little to its input.
    """

    def __init__(
        self,
        num_units: int,
        num_blocks: int,
        output_size: int,
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        output_activation: bool = True,
        output_scale: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_activation = output_activation
        self.num_units = num_units
        self.num_blocks = num_blocks
        self.output_size = output_size
        self.activation = activation
        self.dropout = dropout
        self.output_scale = output_scale
        self.stem = self._dense(num_units, "stem")
        self.blocks = [
            (
                self._dense(num_units, f"block_{i}_a"),
                self._dense(num_units, f"block_{i}_b", scale=BLOCK_SCALE),
            )
            for i in range(num_blocks)
        ]
        self.output_layer = self._dense(output_size, "output", scale=output_scale)
        self.dropout_layers = (
            [keras.layers.Dropout(dropout, dtype=self.dtype_policy) for _ in range(num_blocks)]
            if dropout
            else []
        )

    def _dense(self, units: int, name: str, *, scale: float = 1.0) -> Any:
        initializer = keras.initializers.VarianceScaling(2.0 * scale**2) if scale else "zeros"
        return keras.layers.Dense(
            units, kernel_initializer=initializer, dtype=self.dtype_policy, name=name
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates every weight for inputs of `input_shape`."""
        self.stem.build(input_shape)
        inner = (*input_shape[:-1], self.num_units)
        for layer in [*(layer for pair in self.blocks for layer in pair), self.output_layer]:
            layer.build(inner)
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras' own signature)
        """[..., in] -> [..., output_size], in the dtype of x."""
        activation = activations.activation(self.activation)
        h = self.stem(tf.cast(x, self.compute_dtype))
        training = training and bool(self.trainable_variables)  # else frozen
        for i, (first, second) in enumerate(self.blocks):
            residual = activation(first(activation(h)))
            if self.dropout_layers:
                residual = self.dropout_layers[i](residual, training=training)
            h += second(residual)
        h = activation(h) if self.output_activation else h
        return tf.cast(self.output_layer(h), x.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "num_units": self.num_units,
            "num_blocks": self.num_blocks,
            "output_size": self.output_size,
            "activation": self.activation,
            "dropout": self.dropout,
            "output_activation": self.output_activation,
            "output_scale": self.output_scale,
        }
