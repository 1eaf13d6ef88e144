"""The multilayer perceptron of NICE's couplings and of RealNVP's vector form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

__all__ = ["MLP"]


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
                activation=activation,
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
