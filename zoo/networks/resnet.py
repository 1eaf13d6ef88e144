"""The convolutional residual conditioner of RealNVP (arXiv:1605.08803, Sec. 4.1)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from zoo.networks import activations
from zoo.networks.batch_norm import BatchNormalization

__all__ = ["ConvResNet", "WeightNormConv2D"]


@keras.saving.register_keras_serializable("zoo")
class WeightNormConv2D(keras.layers.Layer):
    """A 3 x 3 convolution with kernel g * v / ||v||, one magnitude g a filter.

    Stride 1, same padding. Salimans & Kingma 2016, arXiv:1602.07868, Eq. 2. `magnitude` is g; a
    recipe's `l2` acts on it alone.
    [batch, h, w, in] -> [batch, h, w, filters].
    """

    def __init__(
        self, filters: int, *, kernel_size: int = 3, magnitude: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.initial_magnitude = magnitude

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates direction [k, k, in, filters], magnitude [filters] and bias [filters]."""
        size = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.direction = self.add_weight(shape=size, initializer="he_normal", name="direction")
        self.magnitude = self.add_weight(
            shape=(self.filters,),
            initializer=keras.initializers.Constant(self.initial_magnitude),
            name="magnitude",
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        self.built = True

    def call(self, x: Any) -> Any:
        """[batch, h, w, in] -> [batch, h, w, filters]."""
        wide = tf.float64 if self.compute_dtype == "float64" else tf.float32
        direction = tf.cast(self.direction, wide)
        # The sum of squares of a trained direction is far above 1e-12; that only guards all-zero
        # weights.
        norm = tf.sqrt(tf.reduce_sum(tf.square(direction), [0, 1, 2]) + 1e-12)
        kernel = tf.cast(direction * (tf.cast(self.magnitude, wide) / norm), x.dtype)
        return tf.nn.conv2d(x, kernel, strides=1, padding="SAME") + tf.cast(self.bias, x.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "magnitude": self.initial_magnitude,
        }


@keras.saving.register_keras_serializable("zoo")
class ConvResNet(keras.layers.Layer):
    """Pre-activation residual network: image [batch, h, w, in] -> [batch, h, w, out_channels].

        h = conv(concat(x, -x));  h += conv(act(conv(act(h))))  num_blocks times;
        out = conv(act(sum of skips))

    stride: 2 works on 2 x 2 squares of pixels moved into channels (space to depth, and back at the
        end), which at equal cost sees twice as far; 1 is the paper's.
    weight_norm, batch_norm: as in the paper; without batch norm nothing depends on the batch.
    skip_connections: the output sees the sum of every block's 1 x 1 projection, as in the paper.
    """

    def __init__(
        self,
        out_channels: int,
        *,
        filters: int,
        num_blocks: int,
        stride: int = 1,
        weight_norm: bool = True,
        batch_norm: bool = False,
        skip_connections: bool = False,
        activation: str = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.out_channels = out_channels
        self.filters = filters
        self.num_blocks = num_blocks
        self.stride = stride
        self.weight_norm = weight_norm
        self.batch_norm = batch_norm
        self.skip_connections = skip_connections
        self.activation = activation
        self.stem = self._conv(filters, "stem")
        self.blocks = [
            (self._conv(filters, f"block_{i}_a"), self._conv(filters, f"block_{i}_b", gain=0.1))
            for i in range(num_blocks)
        ]
        # The moments of the global batch; one replica's are computed another way, so not always.
        several = tf.distribute.get_strategy().num_replicas_in_sync > 1
        self.norms = [
            tuple(
                BatchNormalization(
                    momentum=0.9,
                    epsilon=1e-4,
                    synchronized=several,
                    dtype=self.dtype_policy,
                    name=f"block_{i}_norm_{part}",
                )
                for part in ("a", "b")
            )
            for i in range(num_blocks if batch_norm else 0)
        ]
        self.skips = [
            self._conv(filters, f"skip_{i}", kernel_size=1)
            for i in range(num_blocks + 1 if skip_connections else 0)
        ]
        self.output_layer = keras.layers.Conv2D(
            out_channels * stride**2,
            3,
            padding="same",
            kernel_initializer="zeros",
            dtype=self.dtype_policy,
            name="output",
        )

    def _conv(self, filters: int, name: str, *, gain: float = 1.0, kernel_size: int = 3) -> Any:
        if self.weight_norm:
            return WeightNormConv2D(
                filters, kernel_size=kernel_size, magnitude=gain, dtype=self.dtype_policy, name=name
            )
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            kernel_initializer=keras.initializers.VarianceScaling(2.0 * gain**2),
            dtype=self.dtype_policy,
            name=name,
        )

    @property
    def magnitudes(self) -> list[Any]:
        """The weight-norm magnitudes, which the paper's L2 penalty acts on."""
        convolutions = [self.stem, *(c for pair in self.blocks for c in pair), *self.skips]
        return [c.magnitude for c in convolutions] if self.weight_norm else []

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates every weight for images of `input_shape` [batch, h, w, in]."""
        channels = 2 * input_shape[-1] * self.stride**2
        inner = (None, None, None, self.filters)
        self.stem.build((None, None, None, channels))
        for layer in [*(c for pair in self.blocks for c in pair), *self.skips, self.output_layer]:
            layer.build(inner)
        for layer in (n for pair in self.norms for n in pair):
            layer.build(inner)
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras' own signature)
        """[batch, h, w, in] -> [batch, h, w, out_channels].

        Convolutions are run by their `call`: what Keras does around it, once for the network, takes
        as long as tracing them.
        """
        activation = activations.activation(self.activation)
        if self.stride > 1:
            x = tf.nn.space_to_depth(x, self.stride)
        h = self.stem.call(tf.concat([x, -x], -1))
        skip = self.skips[0].call(h) if self.skips else h
        for i, (first, second) in enumerate(self.blocks):
            norms = self.norms[i] if self.norms else (None, None)
            residual = h
            for convolution, norm in zip((first, second), norms, strict=True):
                if norm is not None:
                    residual = norm(residual, training=training)
                residual = convolution.call(activation(residual))
            h += residual
            skip = skip + self.skips[i + 1].call(h) if self.skips else h
        out = self.output_layer.call(activation(skip))
        return tf.nn.depth_to_space(out, self.stride) if self.stride > 1 else out

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        names = (
            "out_channels",
            "filters",
            "num_blocks",
            "stride",
            "weight_norm",
            "batch_norm",
            "skip_connections",
            "activation",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
