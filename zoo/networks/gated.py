"""Gated layers, and the encoders and decoders of variational autoencoders built of them.

    gated(h) = a * sigmoid(b),   (a, b) = the two halves of a dense layer's or convolution's output

(Dauphin et al. 2017, arXiv:1612.08083). The networks of Sylvester flows (arXiv:1803.05649,
Appendix A) are stacks of gated 5 x 5 convolutions; `PatchEncoder` and `PatchDecoder` work on
patches of 4 x 4 pixels instead, where a convolution costs a sixteenth and sees four times as far.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "DenseDecoder",
    "DenseEncoder",
    "GatedConv2D",
    "GatedDense",
    "PatchDecoder",
    "PatchEncoder",
]

PATCH = 4


def _gated(h: Any) -> Any:
    a, b = tf.split(h, 2, -1)
    return a * tf.sigmoid(b)


def _built_dense(size_in: int, units: int, name: str, policy: Any, *, scale: float = 1.0) -> Any:
    layer = keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.VarianceScaling(scale),
        dtype=policy,
        name=name,
    )
    layer.build((None, size_in))
    return layer


class GatedDense(keras.layers.Layer):
    """[..., in] -> [..., units], gated."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the weights for inputs [..., in]."""
        self.dense = _built_dense(input_shape[-1], 2 * self.units, "dense", self.dtype_policy)
        self.built = True

    def call(self, h: Any) -> Any:
        """[..., in] -> [..., units]."""
        return _gated(self.dense(h))


class GatedConv2D(keras.layers.Layer):
    """[batch, h, w, in] -> [batch, h / stride, w / stride, filters], gated.

    upsample: multiplies the sides by `stride` instead: a transposed convolution.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        stride: int = 1,
        *,
        upsample: bool = False,
        padding: str = "same",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        kind = keras.layers.Conv2DTranspose if upsample else keras.layers.Conv2D
        self.convolution = kind(
            2 * filters,
            kernel_size,
            strides=stride,
            padding=padding,
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name="convolution",
        )

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the weights for images of `input_shape`."""
        self.convolution.build(input_shape)
        self.built = True

    def call(self, h: Any) -> Any:
        """Images to images."""
        return _gated(self.convolution(h))


class DenseEncoder(keras.layers.Layer):
    """Data [batch, *event] -> features [batch, features]: gated dense layers."""

    def __init__(
        self, event_shape: Sequence[int], hidden_units: Sequence[int], features: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.event_size = int(tf.TensorShape(event_shape).num_elements())
        sizes = [*hidden_units, features]
        self.layers = [
            GatedDense(units, dtype=self.dtype_policy, name=f"hidden_{i}")
            for i, units in enumerate(sizes)
        ]
        for layer, size in zip(self.layers, [self.event_size, *sizes[:-1]], strict=True):
            layer.build((None, size))
        self.built = True

    def call(self, x: Any) -> Any:
        """x: floats in [-1, 1], or features.   returns: [batch, features]."""
        h = tf.reshape(tf.cast(x, self.compute_dtype), [-1, self.event_size])
        for layer in self.layers:
            h = layer(h)
        return h


class DenseDecoder(keras.layers.Layer):
    """Latents [..., latent_size] -> parameters [..., *event, num_parameters]."""

    def __init__(
        self,
        latent_size: int,
        hidden_units: Sequence[int],
        event_shape: Sequence[int],
        num_parameters: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_shape_of_row = (*event_shape, num_parameters)
        self.layers = [
            GatedDense(units, dtype=self.dtype_policy, name=f"hidden_{i}")
            for i, units in enumerate(hidden_units)
        ]
        sizes = [latent_size, *hidden_units]
        for layer, size in zip(self.layers, sizes[:-1], strict=True):
            layer.build((None, size))
        outputs = int(tf.TensorShape(self.output_shape_of_row).num_elements())
        self.output_layer = _built_dense(sizes[-1], outputs, "output", self.dtype_policy, scale=0.1)
        self.built = True

    def call(self, z: Any) -> Any:
        """[rows, latent_size] -> [rows, *event, num_parameters]."""
        h = tf.cast(z, self.compute_dtype)
        for layer in self.layers:
            h = layer(h)
        return tf.reshape(self.output_layer(h), [-1, *self.output_shape_of_row])


class ConvEncoder(keras.layers.Layer):
    """The encoder of Sylvester flows: images whose sides are multiples of 4 -> [batch, features].

    Gated 5 x 5 convolutions of F, F (stride 2), 2F, 2F (stride 2) and 2F maps, F = `filters`, then
    one over the whole remaining image.
    """

    def __init__(
        self, event_shape: Sequence[int], filters: int, features: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        height, width, channels = event_shape
        plan = [(filters, 1), (filters, 2), (2 * filters, 1), (2 * filters, 2), (2 * filters, 1)]
        self.layers = []
        shape = (None, height, width, channels)
        for i, (maps, stride) in enumerate(plan):
            layer = GatedConv2D(maps, 5, stride, dtype=self.dtype_policy, name=f"conv_{i}")
            layer.build(shape)
            shape = (None, shape[1] // stride, shape[2] // stride, maps)
            self.layers.append(layer)
        self.size = shape[1] * shape[2] * shape[3]
        self.output_layer = GatedDense(features, dtype=self.dtype_policy, name="output")
        self.output_layer.build((None, self.size))
        self.built = True

    def call(self, x: Any) -> Any:
        """[batch, h, w, c] in [-1, 1] -> [batch, features]."""
        h = tf.cast(x, self.compute_dtype)
        for layer in self.layers:
            h = layer(h)
        return self.output_layer(tf.reshape(h, [-1, self.size]))


class ConvDecoder(keras.layers.Layer):
    """The decoder of Sylvester flows, the mirror image of `ConvEncoder`."""

    def __init__(
        self,
        latent_size: int,
        filters: int,
        event_shape: Sequence[int],
        num_parameters: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        height, width, channels = event_shape
        self.output_shape_of_row = (height, width, channels, num_parameters)
        self.start = (height // 4, width // 4, 2 * filters)
        self.first = GatedDense(
            self.start[0] * self.start[1] * self.start[2], dtype=self.dtype_policy, name="first"
        )
        self.first.build((None, latent_size))
        plan = [(2 * filters, 1), (2 * filters, 2), (filters, 1), (filters, 2), (filters, 1)]
        self.layers = []
        shape = (None, *self.start)
        for i, (maps, stride) in enumerate(plan):
            layer = GatedConv2D(
                maps, 5, stride, upsample=True, dtype=self.dtype_policy, name=f"conv_{i}"
            )
            layer.build(shape)
            shape = (None, shape[1] * stride, shape[2] * stride, maps)
            self.layers.append(layer)
        self.output_layer = _built_dense(
            shape[3], channels * num_parameters, "output", self.dtype_policy
        )
        self.built = True

    def call(self, z: Any) -> Any:
        """[rows, latent_size] -> [rows, h, w, c, num_parameters]."""
        h = tf.reshape(self.first(tf.cast(z, self.compute_dtype)), [-1, *self.start])
        for layer in self.layers:
            h = layer(h)
        return tf.reshape(self.output_layer(h), [-1, *self.output_shape_of_row])


class _Residual(keras.layers.Layer):
    """h + conv(gated conv(h)): 3 x 3, `filters` maps in and out."""

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.gate = GatedConv2D(filters, 3, dtype=self.dtype_policy, name="gate")
        self.mix = keras.layers.Conv2D(
            filters,
            1,
            kernel_initializer=keras.initializers.VarianceScaling(0.1),
            dtype=self.dtype_policy,
            name="mix",
        )

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the weights for images of `input_shape`."""
        self.gate.build(input_shape)
        self.mix.build((*input_shape[:-1], self.filters))
        self.built = True

    def call(self, h: Any) -> Any:
        """[batch, h, w, filters] -> the same."""
        return h + self.mix(self.gate(tf.nn.silu(h)))


class PatchEncoder(keras.layers.Layer):
    """Images whose sides are multiples of 4 -> [batch, features].

    4 x 4 pixels become channels; a 3 x 3 convolution, `num_blocks` residual gated ones, a dense
    layer over all.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        filters: int,
        num_blocks: int,
        features: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        height, width, channels = event_shape
        grid = (None, height // PATCH, width // PATCH)
        self.stem = keras.layers.Conv2D(
            filters, 3, padding="same", dtype=self.dtype_policy, name="stem"
        )
        self.stem.build((*grid, channels * PATCH**2))
        self.blocks = [
            _Residual(filters, dtype=self.dtype_policy, name=f"block_{i}")
            for i in range(num_blocks)
        ]
        for block in self.blocks:
            block.build((*grid, filters))
        self.size = (height // PATCH) * (width // PATCH) * filters
        self.output_layer = GatedDense(features, dtype=self.dtype_policy, name="output")
        self.output_layer.build((None, self.size))
        self.built = True

    def call(self, x: Any) -> Any:
        """[batch, h, w, c] in [-1, 1] -> [batch, features]."""
        h = self.stem(tf.nn.space_to_depth(tf.cast(x, self.compute_dtype), PATCH))
        for block in self.blocks:
            h = block(h)
        return self.output_layer(tf.reshape(tf.nn.silu(h), [-1, self.size]))


class PatchDecoder(keras.layers.Layer):
    """The mirror image of `PatchEncoder`: latents -> parameters of every pixel."""

    def __init__(
        self,
        latent_size: int,
        filters: int,
        num_blocks: int,
        event_shape: Sequence[int],
        num_parameters: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        height, width, channels = event_shape
        self.output_shape_of_row = (height, width, channels, num_parameters)
        self.start = (height // PATCH, width // PATCH, filters)
        size = self.start[0] * self.start[1] * filters
        self.first = _built_dense(latent_size, size, "first", self.dtype_policy)
        self.blocks = [
            _Residual(filters, dtype=self.dtype_policy, name=f"block_{i}")
            for i in range(num_blocks)
        ]
        grid = (None, self.start[0], self.start[1], filters)
        for block in self.blocks:
            block.build(grid)
        self.output_layer = keras.layers.Conv2D(
            channels * num_parameters * PATCH**2,
            3,
            padding="same",
            kernel_initializer=keras.initializers.VarianceScaling(0.1),
            dtype=self.dtype_policy,
            name="output",
        )
        self.output_layer.build(grid)
        self.built = True

    def call(self, z: Any) -> Any:
        """[rows, latent_size] -> [rows, h, w, c, num_parameters]."""
        h = tf.reshape(self.first(tf.cast(z, self.compute_dtype)), [-1, *self.start])
        for block in self.blocks:
            h = block(h)
        pixels = tf.nn.depth_to_space(self.output_layer(tf.nn.silu(h)), PATCH)
        return tf.reshape(pixels, [-1, *self.output_shape_of_row])
