"""The weights of flows that have no network: the parameters of all layers of one kind, stacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["FlowParameters"]


@keras.saving.register_keras_serializable("zoo")
class FlowParameters(keras.layers.Layer):
    """Named weights of `num_layers` layers, each stored once as [num_layers, *shape].

    shapes: of one layer's weights by name.   deviations: of the normal draws that they start from,
    by name; a weight without one starts at 0.
    """

    def __init__(
        self,
        num_layers: int,
        shapes: Mapping[str, Sequence[int]],
        deviations: Mapping[str, float],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.deviations = dict(deviations)

    def build(self, input_shape: Any = None) -> None:
        """Creates the weights."""
        del input_shape
        self.stacked = [
            self.add_weight(
                shape=(self.num_layers, *shape),
                initializer=keras.initializers.RandomNormal(stddev=self.deviations.get(name, 0.0)),
                name=name,
            )
            for name, shape in self.shapes.items()
        ]
        self.built = True

    def weight(self, name: str) -> Any:
        """The variable of a name, of all layers: [num_layers, *shape]."""
        return self.stacked[list(self.shapes).index(name)]

    def layers(self) -> list[dict[str, Any]]:
        """The weights of every layer as tensors: [{name: [*shape]}, ...]."""
        columns = [tf.unstack(tf.convert_to_tensor(w), axis=0) for w in self.stacked]
        return [dict(zip(self.shapes, row, strict=True)) for row in zip(*columns, strict=True)]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "shapes": self.shapes,
            "deviations": self.deviations,
        }
