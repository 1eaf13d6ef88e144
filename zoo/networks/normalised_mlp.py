"""A perceptron with batch norm between its layers: the classifier of denoising flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo.networks.batch_norm import BatchNormalization

__all__ = ["NormalisedMLP"]


@keras.saving.register_keras_serializable("zoo")
class NormalisedMLP(keras.layers.Layer):
    """(dense, batch norm, relu) for each hidden size, then dense: [batch, in] -> [batch, out].

    The output starts at zero.
    """

    def __init__(self, hidden_units: Sequence[int], output_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.output_size = output_size
        self.hidden = [
            keras.layers.Dense(
                units,
                use_bias=False,
                kernel_initializer="he_normal",
                dtype=self.dtype_policy,
                name=f"hidden_{i}",
            )
            for i, units in enumerate(self.hidden_units)
        ]
        self.norms = [
            BatchNormalization(
                dtype=self.dtype_policy, name=f"norm_{i}", epsilon=1e-5, momentum=0.9
            )
            for i in range(len(self.hidden_units))
        ]
        self.output_layer = keras.layers.Dense(
            output_size, kernel_initializer="zeros", dtype=self.dtype_policy, name="output"
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates every weight for inputs of `input_shape`."""
        shape = tuple(input_shape)
        for dense, norm in zip(self.hidden, self.norms, strict=True):
            dense.build(shape)
            shape = (*shape[:-1], dense.units)
            norm.build(shape)
        self.output_layer.build(shape)
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras' own signature)
        """[batch, in] -> [batch, output_size]."""
        for dense, norm in zip(self.hidden, self.norms, strict=True):
            x = tf.nn.relu(norm(dense(x), training=training))
        return self.output_layer(x)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "output_size": self.output_size,
        }
