"""What networks see of a context: a vector, standardised, and embedded where asked for."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from zoo.bases.columns import column_features, column_width, conditional_of
from zoo.core.context import ConditionedConfig
from zoo.errors import ConfigError
from zoo.layers.whitening import whitening_layer
from zoo.networks import custom

__all__ = ["ContextEncoder", "context_encoder"]

_SMALLEST_SIDE = 4  # of an image after the convolutions of its embedding
_FILTERS, _MOST_FILTERS = 16, 64


class ContextEncoder(keras.layers.Layer):
    """A checked context [batch, ...] -> [batch, width].

        indicators of a label, numbers minus their mean over their deviation, levels in [-1, 1], or
        features of columns; then, where the config has an embedding, its layers

    The moments are those of `adapt`'s rows, one mean and deviation a number, or a channel of an
    image, and are not trained. An embedding is silu(W h + b), as often as there are `units`; that
    of an image begins with 3 x 3 convolutions of stride 2, until a side is at most 4 pixels.
    """

    def __init__(self, config: ConditionedConfig, *, network_dtype: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config, context = config, config.context
        self.columns = [conditional_of(column, 1) for column in context.columns]
        self.standardisation: Any = None
        if context.shape and not context.num_levels:
            channels = context.shape[-1:] if context.is_image else context.shape
            self.standardisation = whitening_layer(context.whitening, channels, self.dtype_policy)
        self.shape = self._shape()
        self.embedding: list[Any] = []
        if context.network:
            self.embedding = [custom.layer_of(context.network, "embedding", network_dtype)]
        elif context.embedding_units:
            self.embedding = _layers(self.shape, context.embedding_units, network_dtype)
        self.width = self._width()
        self.built = True

    def _shape(self) -> tuple[int, ...]:
        """Of what the embedding sees of one context."""
        if self.config.context_size:
            return (self.config.context_size,)
        return (column_width(self.columns),) if self.columns else self.config.context.shape

    def _width(self) -> int:
        """Numbers of the output. Creates the embedding's weights, by a context of zeros."""
        return int(self._embedded(tf.zeros([1, *self.shape], self.compute_dtype)).shape[1])

    def adapt(self, context: Any) -> None:
        """Takes the moments of real numbers from the contexts [batch, ...]."""
        if self.standardisation is not None:
            self.standardisation.initialize(context)

    def call(self, context: Any) -> Any:
        """[batch, ...] -> [batch, width], of the layer's dtype."""
        return self._embedded(self._seen(context))

    def _seen(self, context: Any) -> Any:
        config, dtype = self.config, self.compute_dtype
        if config.context_size:
            return tf.one_hot(context, config.context_size, dtype=dtype)
        x = tf.cast(context, dtype)
        if self.columns:
            return column_features(self.columns, x)
        if config.context.num_levels:
            return 2.0 * x / (config.context.num_levels - 1.0) - 1.0
        if self.standardisation is None:
            return x
        layer = self.standardisation
        return (x - tf.cast(layer.shift, dtype)) * tf.exp(-tf.cast(layer.log_scale, dtype))

    def _embedded(self, x: Any) -> Any:
        for layer in self.embedding:
            x = layer(x)
        if x.shape.rank != 2 and self.config.context.network:
            raise ConfigError(
                f"An embedding network gives a vector a context, [batch, features], of inputs "
                f"{[None, *self.shape]}; got {x.shape.as_list()}. End it with "
                "keras.layers.Flatten()."
            )
        return tf.cast(tf.reshape(x, [-1, x.shape[1:].num_elements()]), self.compute_dtype)


def _layers(shape: tuple[int, ...], units: tuple[int, ...], dtype: Any) -> list[Any]:
    """Convolutions of an image, then dense layers."""
    layers: list[Any] = []
    if len(shape) == 3:
        side, filters = min(shape[:2]), _FILTERS
        while side > _SMALLEST_SIDE or not layers:
            name = f"convolution_{len(layers)}"
            layers.append(
                keras.layers.Conv2D(
                    filters, 3, 2, padding="same", activation="silu", dtype=dtype, name=name
                )
            )
            side, filters = -(-side // 2), min(2 * filters, _MOST_FILTERS)
    layers.append(keras.layers.Flatten(dtype=dtype, name="flatten"))
    for i, size in enumerate(units):
        layers.append(keras.layers.Dense(size, activation="silu", dtype=dtype, name=f"dense_{i}"))
    return layers


def context_encoder(config: Any, dtype: Any, network_dtype: Any) -> ContextEncoder | None:
    """The encoder of a config's context; None without one, and of a label that is not embedded."""
    if not isinstance(config, ConditionedConfig) or not config.is_conditional:
        return None
    if config.context_size and not config.context.embedding_units and not config.context.network:
        return None
    return ContextEncoder(config, network_dtype=network_dtype, dtype=dtype, name="context")
