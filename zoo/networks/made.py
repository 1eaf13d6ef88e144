"""MADE: the masked autoencoder that makes one network pass autoregressive.

Germain et al. 2015, arXiv:1502.03509. Hidden unit j of degree m(j) sees the inputs of degree at
most m(j); output d sees the hidden units of degree below d, so that it depends on the inputs before
d alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.ops.masks import hidden_degrees, made_mask

__all__ = ["MADE", "MaskedDense"]

# Blocks narrower than this gain nothing: the multiplication is then bound by its overhead.
MIN_BLOCK_UNITS = 128
MAX_BLOCKS = 8


@keras.saving.register_keras_serializable("zoo")
class MaskedDense(keras.layers.Layer):
    """y = x (W * M) + b with a fixed 0/1 mask M of shape [in, out].

    Units sorted by degree make M block-triangular: the columns are multiplied in up to `MAX_BLOCKS`
    blocks, each with only the rows that its mask lets through, about half the multiplications in
    all. Masked weights start at 0 and stay there, since their gradient is masked.
    """

    def __init__(self, mask: Any, *, kernel_scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask = np.asarray(mask, bool)
        self.kernel_scale = kernel_scale
        self.blocks = _column_blocks(self.mask)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the kernel [in, out] and the bias [out]."""
        del input_shape  # the mask has the shape
        fan_in = np.maximum(
            self.mask.sum(0), 1
        )  # of each unit, counting what the mask lets through
        deviation = np.where(self.mask, np.sqrt(2.0 / fan_in), 0.0) * self.kernel_scale

        def initializer(shape: Any, dtype: Any = None) -> Any:
            normal = keras.random.truncated_normal(shape, dtype=dtype, seed=self.seed_generator)
            return normal * keras.ops.convert_to_tensor(deviation, dtype)

        self.seed_generator = keras.random.SeedGenerator(name="seed_generator")
        self.kernel = self.add_weight(shape=self.mask.shape, initializer=initializer, name="kernel")
        self.bias = self.add_weight(shape=(self.mask.shape[1],), initializer="zeros", name="bias")
        self.built = True

    def bind(self) -> Callable[[Any], Any]:
        """x [..., in] -> y [..., out] with the masked kernel computed now, once for every call.

        A sampling loop calls the network hundreds of times; the mask is then applied outside it.
        """
        dtype = self.compute_dtype
        kernel = tf.cast(self.kernel, dtype) * tf.cast(self.mask, dtype)
        bias = tf.cast(self.bias, dtype)
        # One split has one concatenation as its gradient; slices would have a padded kernel each.
        blocks = tf.split(kernel, [stop - start for _, start, stop in self.blocks], axis=1)
        blocks = [block[:rows] for block, (rows, _, _) in zip(blocks, self.blocks, strict=True)]

        def apply(x: Any) -> Any:
            columns = [tf.matmul(x[..., : block.shape[0]], block) for block in blocks]
            return tf.concat(columns, -1) + bias

        return apply

    def call(self, x: Any) -> Any:
        """[..., in] -> [..., out]."""
        return self.bind()(x)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor; the mask as nested lists."""
        config = super().get_config()
        return {**config, "mask": self.mask.astype(int).tolist(), "kernel_scale": self.kernel_scale}


def _column_blocks(mask: np.ndarray) -> list[tuple[int, int, int]]:
    """(rows, start, stop) of each block of columns: rows beyond `rows` are masked in all of it."""
    num_blocks = int(np.clip(min(mask.shape) // MIN_BLOCK_UNITS, 1, MAX_BLOCKS))
    edges = np.linspace(0, mask.shape[1], num_blocks + 1).astype(int)
    blocks = []
    for start, stop in itertools.pairwise(edges):
        used = np.flatnonzero(mask[:, start:stop].any(1))
        blocks.append((int(used[-1]) + 1 if used.size else 1, int(start), int(stop)))
    return blocks


@keras.saving.register_keras_serializable("zoo")
class MADE(keras.layers.Layer):
    """x [..., D] -> parameters [..., D, num_parameters].

    Those of coordinate i depend on x_<i alone.
    context [..., C], if `context_size` is C > 0, reaches every unit of the first hidden layer
    through an unmasked matrix (MAF, arXiv:1705.07057, Sec. 3.4).
    """

    def __init__(
        self,
        event_size: int,
        hidden_units: Sequence[int],
        num_parameters: int,
        *,
        context_size: int = 0,
        activation: str = "relu",
        output_scale: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.event_size = event_size
        self.hidden_units = tuple(hidden_units)
        self.num_parameters = num_parameters
        self.context_size = context_size
        self.activation = activation
        self.output_scale = output_scale
        degrees = np.arange(1, event_size + 1)
        self.hidden = []
        for i, units in enumerate(self.hidden_units):
            unit_degrees = hidden_degrees(units, event_size, context_size)
            mask = made_mask(degrees, unit_degrees, strict=False)
            self.hidden.append(MaskedDense(mask, dtype=self.dtype_policy, name=f"hidden_{i}"))
            degrees = unit_degrees
        out_degrees = np.repeat(np.arange(1, event_size + 1), num_parameters)
        self.output_layer = MaskedDense(
            made_mask(degrees, out_degrees, strict=True),
            kernel_scale=output_scale,
            dtype=self.dtype_policy,
            name="output",
        )
        self.context_layer = (
            keras.layers.Dense(
                self.hidden_units[0], use_bias=False, dtype=self.dtype_policy, name="context"
            )
            if context_size
            else None
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates every weight for inputs of `input_shape`."""
        for layer in [*self.hidden, self.output_layer]:
            layer.build((*input_shape[:-1], layer.mask.shape[0]))
        if self.context_layer is not None:
            self.context_layer.build((*input_shape[:-1], self.context_size))
        self.built = True

    def bind(self, context: Any = None) -> Callable[[Any], Any]:
        """x [..., D] -> parameters [..., D, num_parameters], with masks and context applied now."""
        activation = keras.activations.get(self.activation)
        hidden = [layer.bind() for layer in self.hidden]
        output = self.output_layer.bind()
        shift = 0.0
        if self.context_layer is not None:
            shift = self.context_layer(tf.cast(context, self.compute_dtype))

        def apply(x: Any) -> Any:
            x = tf.cast(x, self.compute_dtype)
            for i, layer in enumerate(hidden):
                x = activation(layer(x) + shift if i == 0 else layer(x))
            x = output(x)
            shape = tf.concat([tf.shape(x)[:-1], [self.event_size, self.num_parameters]], 0)
            return tf.reshape(x, shape)

        return apply

    def call(self, x: Any, context: Any = None) -> Any:
        """[..., D] (and context [..., C]) -> [..., D, num_parameters]."""
        return self.bind(context)(x)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "event_size": self.event_size,
            "hidden_units": self.hidden_units,
            "num_parameters": self.num_parameters,
            "context_size": self.context_size,
            "activation": self.activation,
            "output_scale": self.output_scale,
        }
