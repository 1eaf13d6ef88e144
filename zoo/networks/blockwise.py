"""Inverting a MADE block by block: every hidden unit is computed about once.

To sample x_1, ..., x_D from an autoregressive network by whole passes takes up to D of them, each
of which computes all units again. But a unit of degree m depends on x_1..x_m alone. So the
coordinates are cut into K blocks of B, and every layer's units with them, by degree. Block by
block,

    before = (activations of earlier blocks) W[earlier, block] + b        one product, once
    x_block <- step(z_block, net(x_block))   with   dense(h) = before + h W[block, block]

The second line is repeated until nothing changes, at most B times, in all at most D small steps.
The first costs half a pass of dense matrices in all, the repetitions 1 / K of what whole passes
cost: B = 1 is incremental evaluation, where nothing is repeated, B = D is Jacobi's method on the
whole network. Trained flows settle after a few repetitions, so that large blocks are best: fewer,
larger products. The blocks are unrolled. `tools/inversion_benchmark.py` compares 8 of them with
whole passes, from 6 to 784 coordinates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

__all__ = ["BlockSolver", "Layer", "block_size", "blocks_of"]

NUM_BLOCKS = 8


def block_size(num_coordinates: int) -> int:
    """B for D coordinates: 1 for up to 8 of them, else an eighth of D."""
    return -(-num_coordinates // NUM_BLOCKS)


def blocks_of(degrees: np.ndarray, size: int, num_coordinates: int) -> np.ndarray:
    """The units of each block of `size` coordinates, [K, most units in a block].

    A unit of degree m belongs with coordinate m, and one of degree 0 with the first. Rows are
    filled up with len(degrees), which is no unit.
    """
    num_blocks = -(-num_coordinates // size)
    block = np.maximum(degrees - 1, 0) // size
    width = int(np.bincount(block, minlength=num_blocks).max())
    table = np.full([num_blocks, width], len(degrees))
    for k in range(num_blocks):
        units = np.flatnonzero(block == k)
        table[k, : len(units)] = units
    return table


class Layer(NamedTuple):
    """A masked layer.   kernel: [in, out].   bias: [out] or [rows, out].

    in_blocks, out_blocks: the units of each block (`blocks_of`).
    """

    kernel: Any
    bias: Any
    in_blocks: np.ndarray
    out_blocks: np.ndarray


class BlockSolver:
    """Finds the x with step(z, net(x)) = x; see the module.

    layers: of the network, from the inputs to the outputs.
    network: (x, dense) -> outputs, elementwise but for dense(i, h), which applies the i-th layer;
        the outputs are those of the last layer.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        network: Callable[[Any, Callable[[int, Any], Any]], Any],
        num_coordinates: int,
        num_parameters: int,
    ) -> None:
        self._network = network
        self._num_coordinates = num_coordinates
        self._num_parameters = num_parameters
        self._coordinates = layers[0].in_blocks
        self._widths = [layer.in_blocks.shape[1] for layer in layers]
        self._kernels = [_kernel_blocks(layer) for layer in layers]  # each [K, K * in, out]
        self._biases = [_padded_columns(layer.bias, layer.out_blocks) for layer in layers]

    def __call__(self, step: Callable[[Any, Any], Any], z: Any) -> Any:
        """x [rows, D] for z [rows, D].   step: (z, parameters) -> x, coordinate by coordinate."""
        num_blocks, size = self._coordinates.shape
        latents = _padded_columns(z, self._coordinates)  # [K, rows, B]
        known: list[list[Any]] = [[] for _ in self._kernels]  # each layer's inputs, block by block
        solved = []
        for k in range(num_blocks):
            # Units that see no coordinate lie in the first block: not all of it is unknown.
            block = self._one if size == 1 and k > 0 else self._several
            x, inputs = block(k, known, functools.partial(step, latents[k]), latents[k])
            solved.append(x)
            for earlier, h in zip(known, inputs, strict=True):
                earlier.append(h)
        # The coordinates that fill up come last.
        x = tf.concat(solved, 1)[:, : self._num_coordinates]
        x.set_shape(z.shape)  # no op, as tf.ensure_shape is one, which TFLite lacks
        return x

    def _one(self, k: int, known: list[list[Any]], step: Any, like: Any) -> tuple[Any, list[Any]]:
        """A block of one coordinate, whose parameters depend on none of its own units."""
        last, inputs = len(self._kernels) - 1, []
        parameters = self._dense(last, k, known[last], like)
        x = step(tf.reshape(parameters, [tf.shape(like)[0], 1, self._num_parameters]))

        def dense(i: int, h: Any) -> Any:
            inputs.append(h)
            return parameters if i == last else self._dense(i, k, [*known[i], h], like)

        self._network(x, dense)
        return x, inputs

    def _several(
        self, k: int, known: list[list[Any]], step: Any, like: Any
    ) -> tuple[Any, list[Any]]:
        """A block of coordinates: repeated, until nothing changes."""
        before = [self._dense(i, k, earlier, like) for i, earlier in enumerate(known)]
        shape = [*tf.unstack(tf.shape(like)), self._num_parameters]

        def evaluate(x: Any) -> tuple[Any, list[Any]]:
            inputs: list[Any] = []

            def dense(i: int, h: Any) -> Any:
                inputs.append(h)
                own = self._kernels[i][k, k * self._widths[i] : (k + 1) * self._widths[i]]
                return before[i] + tf.matmul(h, own)

            return tf.reshape(self._network(x, dense), shape), inputs

        most = like.shape[1]
        x = _repeated(lambda x: step(evaluate(x)[0]), tf.zeros_like(like), most)
        return x, evaluate(x)[1]

    def _dense(self, i: int, k: int, inputs: list[Any], like: Any) -> Any:
        """Block k's part of the i-th layer, of the first len(inputs) blocks of its inputs."""
        bias = self._biases[i][k]  # [rows or 1, units]
        if not inputs:
            return tf.broadcast_to(bias, [tf.shape(like)[0], bias.shape[1]])
        kernel = self._kernels[i][k, : len(inputs) * self._widths[i]]
        return tf.matmul(tf.concat(inputs, 1), kernel) + bias


def _repeated(function: Callable[[Any], Any], start: Any, most: int) -> Any:
    """function(function(...start)), until nothing changes or so many times."""

    def update(x: Any, _: Any) -> tuple[Any, Any]:
        new = function(x)
        new.set_shape(start.shape)  # a loop's state keeps its static shape
        return new, tf.reduce_any(tf.not_equal(new, x))

    if most == 1:
        return function(start)
    state = (start, tf.constant(value=True))
    return tf.while_loop(lambda _, changed: changed, update, state, maximum_iterations=most)[0]


def _kernel_blocks(layer: Layer) -> Any:
    """[K, K * in, out]: the kernel's rows in the order of the blocks, its columns a block each."""
    num_blocks, width = layer.out_blocks.shape
    padded = tf.pad(layer.kernel, [[0, 1], [0, 1]])
    rows = tf.gather(padded, layer.in_blocks.reshape(-1))
    # Whole rows of the transposed are copied much faster than columns one by one.
    columns = tf.gather(tf.transpose(rows), layer.out_blocks.reshape(-1))  # [K * out, K * in]
    return tf.transpose(tf.reshape(columns, [num_blocks, width, -1]), [0, 2, 1])


def _padded_columns(x: Any, blocks: np.ndarray) -> Any:
    """[rows, units] or [units] -> [K, rows or 1, units of a block]."""
    x = x if x.shape.rank == 2 else x[None]
    padded = tf.pad(x, [[0, 0], [0, 1]])
    return tf.transpose(tf.gather(padded, blocks, axis=1), [1, 0, 2])
