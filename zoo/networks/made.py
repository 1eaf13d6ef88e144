"""MADE: the masked autoencoder that makes one network pass autoregressive.

Germain et al. 2015, arXiv:1502.03509. Hidden unit j of degree m(j) sees the inputs of degree at
most m(j); output d sees the hidden units of degree below d, so that it depends on the inputs before
d alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.core import budget
from zoo.networks import activations, blockwise
from zoo.ops.masks import hidden_degrees, made_mask

__all__ = ["MADE", "BoundMADE", "MaskedDense", "ResidualMADE"]

# Blocks narrower than this gain nothing: the multiplication is then bound by its overhead.
MIN_BLOCK_UNITS = 128
MAX_BLOCKS = 8
BLOCK_SCALE = 0.1  # a fresh residual block adds little to its input


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
        # Of units sorted by degree a column of the mask is so many ones and then zeros.
        ones = self.mask.sum(0)
        prefixes = np.arange(len(self.mask))[:, None] < ones
        self._ones = ones if (prefixes == self.mask).all() else None

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

    def masked_kernel(self) -> Any:
        """W * M, [in, out], in the compute dtype."""
        dtype = self.compute_dtype
        if self._ones is not None:  # a constant of [out], not one of [in, out]
            mask = tf.range(self.mask.shape[0])[:, None] < tf.constant(self._ones, tf.int32)
        else:
            # TensorFlow puts booleans into a graph one by one: a second for every million.
            mask = self.mask.astype(np.uint8)
        return tf.cast(self.kernel, dtype) * tf.cast(mask, dtype)

    def bind(self, kernel: Any = None) -> Callable[[Any], Any]:
        """x [..., in] -> y [..., out] with the masked kernel computed now, once for every call.

        A sampling loop calls the network hundreds of times; the mask is then applied outside it.
        kernel: `masked_kernel()`, where the caller has it already.
        """
        kernel = self.masked_kernel() if kernel is None else kernel
        bias = tf.cast(self.bias, self.compute_dtype)
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
        input_sizes: Sequence[int] = (),
        output_sizes: Sequence[int] = (),
        unit_counts: Sequence[Sequence[int]] = (),
        **kwargs: Any,
    ) -> None:
        """As the class says.

        input_sizes: [D], how many numbers of the input stand for each coordinate; without, one.
        output_sizes: [D], how many parameters each has; without, `num_parameters`.
        unit_counts: of each hidden layer [D], how many units have degree 0, 1, ..., D - 1; without,
            they are spread evenly.
        """
        super().__init__(**kwargs)
        self.event_size = event_size
        self.input_sizes, self.output_sizes = tuple(input_sizes), tuple(output_sizes)
        self.hidden_units = tuple(hidden_units)
        self.unit_counts = tuple(map(tuple, unit_counts))
        self.num_parameters = num_parameters
        self.context_size = context_size
        self.activation = activation
        self.output_scale = output_scale
        seen = sum(self.input_sizes) or event_size
        given = sum(self.output_sizes) or event_size * num_parameters
        sizes = [seen, *self.hidden_units, given]
        budget.spend(sum(a * b for a, b in itertools.pairwise(sizes)), arrays=len(sizes))  # masks
        coordinates = np.arange(1, event_size + 1)
        # Of the inputs, of the units of every hidden layer, and of the outputs.
        self.degrees = [
            np.repeat(coordinates, self.input_sizes or 1),
            *(
                [np.repeat(np.arange(event_size), counts) for counts in self.unit_counts]
                or [hidden_degrees(units, event_size, context_size) for units in self.hidden_units]
            ),
            np.repeat(coordinates, self.output_sizes or num_parameters),
        ]
        pairs = list(itertools.pairwise(self.degrees))
        self.hidden = [
            MaskedDense(
                made_mask(before, after, strict=False), dtype=self.dtype_policy, name=f"hidden_{i}"
            )
            for i, (before, after) in enumerate(pairs[:-1])
        ]
        self.output_layer = MaskedDense(
            made_mask(*pairs[-1], strict=True),
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
        for layer in self.masked_layers():
            layer.build((*input_shape[:-1], layer.mask.shape[0]))
        if self.context_layer is not None:
            self.context_layer.build((*input_shape[:-1], self.context_size))
        self.built = True

    def masked_layers(self) -> list[MaskedDense]:
        """The masked layers, from the inputs to the outputs."""
        return [*self.hidden, self.output_layer]

    def network(self, x: Any, dense: Callable[[int, Any], Any], *, training: bool = False) -> Any:
        """[..., D] -> [..., D * num_parameters]; dense(i, h) applies the i-th masked layer.

        Nothing here but elementwise functions joins one layer to the next, so that the network of a
        block of units is the same function over the blocks of its layers.
        """
        del training  # nothing is dropped
        activation = activations.activation(self.activation)
        for i in range(len(self.hidden)):
            x = activation(dense(i, x))
        return dense(len(self.hidden), x)

    def bind(self, context: Any = None, *, training: bool = False) -> BoundMADE:
        """The network with masks and context [..., C] applied now, once for every call."""
        shift = None
        if self.context_layer is not None:
            shift = self.context_layer(tf.cast(context, self.compute_dtype))
        kernels = [layer.masked_kernel() for layer in self.masked_layers()]
        layers = [
            layer.bind(kernel) for layer, kernel in zip(self.masked_layers(), kernels, strict=True)
        ]
        return BoundMADE(self, kernels, layers, shift, training)

    def call(self, x: Any, context: Any = None, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (Keras' own signature)
        """[..., D] (and context [..., C]) -> [..., D, num_parameters], in the dtype of x."""
        return self.bind(context, training=training)(x)

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
            "input_sizes": self.input_sizes,
            "output_sizes": self.output_sizes,
            "unit_counts": self.unit_counts,
        }


@dataclass(frozen=True, eq=False)
class BoundMADE:
    """x [..., D] -> parameters [..., D, num_parameters] with the current weights and one context.

    kernels, layers: of the masked layers, bound.   shift: what the context adds to the first one's
        outputs, or None.
    """

    made: MADE
    kernels: Sequence[Any]
    layers: Sequence[Callable[[Any], Any]]
    shift: Any
    training: bool

    def __call__(self, x: Any) -> Any:
        """One network pass, in the network's precision; the result has the dtype of x."""
        shape = tf.concat([tf.shape(x), [self.made.num_parameters]], 0)
        return tf.reshape(self.outputs(x), shape)

    def outputs(self, x: Any) -> Any:
        """The parameters of all coordinates behind one another, [..., sum of their numbers]."""
        made = self.made

        def dense(i: int, h: Any) -> Any:
            y = self.layers[i](h)
            return y + self.shift if i == 0 and self.shift is not None else y

        inputs = tf.cast(x, made.compute_dtype)
        return tf.cast(made.network(inputs, dense, training=self.training), x.dtype)

    def solver(self) -> blockwise.BlockSolver | None:
        """Finds the x with step(z, self(x)) = x, block by block; None for one coordinate.

        None also where the network's precision is lower than the flow's: its products, summed in
        another order, would differ by more than rounding.
        """
        made = self.made
        size = blockwise.block_size(made.event_size)
        if size == made.event_size or made.compute_dtype != made.variable_dtype:
            return None
        layers = [
            blockwise.Layer(
                kernel=kernel,
                bias=tf.convert_to_tensor(layer.bias),
                in_blocks=blockwise.blocks_of(degrees_in, size, made.event_size),
                out_blocks=blockwise.blocks_of(degrees_out, size, made.event_size),
            )
            for layer, kernel, (degrees_in, degrees_out) in zip(
                made.masked_layers(), self.kernels, itertools.pairwise(made.degrees), strict=True
            )
        ]
        if self.shift is not None:
            layers[0] = layers[0]._replace(bias=layers[0].bias + self.shift)
        config = made.get_config()
        return blockwise.BlockSolver(
            layers,
            made.network,
            made.event_size,
            made.num_parameters,
            alike=(type(made), *(repr(config[key]) for key in sorted(config) if key != "name")),
        )


@keras.saving.register_keras_serializable("zoo")
class ResidualMADE(MADE):
    """A MADE of `num_blocks` pre-activation residual blocks of `num_units` units.

        h = W x + b;   h += W drop(act(W act(h) + b)) + b, num_blocks times;   out = W act(h) + b

    All hidden units have the same degrees, so that a sum of two of them keeps its own.
    Nash & Durkan 2019, arXiv:1904.05626, Sec. 4.1; the conditioner of autoregressive neural spline
    flows (arXiv:1906.04032, Sec. 5.1).
    output_activation: whether the output sees act(h), or h.
    """

    def __init__(
        self,
        event_size: int,
        num_units: int,
        num_blocks: int,
        num_parameters: int,
        *,
        dropout: float = 0.0,
        context_size: int = 0,
        activation: str = "relu",
        output_activation: bool = True,
        output_scale: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            event_size,
            [num_units] * (1 + 2 * num_blocks),
            num_parameters,
            context_size=context_size,
            activation=activation,
            output_scale=output_scale,
            **kwargs,
        )
        self.num_units = num_units
        self.num_blocks = num_blocks
        self.dropout = dropout
        self.output_activation = output_activation
        for layer in self.hidden[2::2]:
            layer.kernel_scale = BLOCK_SCALE
        self.dropout_layers = (
            [keras.layers.Dropout(dropout, dtype=self.dtype_policy) for _ in range(num_blocks)]
            if dropout
            else []
        )

    def network(self, x: Any, dense: Callable[[int, Any], Any], *, training: bool = False) -> Any:
        """[..., D] -> [..., D * num_parameters]: see the class."""
        activation = activations.activation(self.activation)
        h = dense(0, x)
        training = training and bool(self.trainable_variables)  # else frozen
        for block in range(self.num_blocks):
            residual = activation(dense(1 + 2 * block, activation(h)))
            if self.dropout_layers:
                residual = self.dropout_layers[block](residual, training=training)
            h += dense(2 + 2 * block, residual)
        return dense(1 + 2 * self.num_blocks, activation(h) if self.output_activation else h)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        config = super().get_config()
        del config["hidden_units"]
        return {
            **config,
            "num_units": self.num_units,
            "num_blocks": self.num_blocks,
            "dropout": self.dropout,
            "output_activation": self.output_activation,
        }
