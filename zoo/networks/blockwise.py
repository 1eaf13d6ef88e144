"""Inverting a MADE block by block: every hidden unit is computed about once.

To sample x_1, ..., x_D from an autoregressive network by whole passes takes up to D of them, each
of which computes all units again. But a unit of degree m depends on x_1..x_m alone. So the
coordinates are cut into K blocks of B, and every layer's units with them, by degree. Block by
block,

    before = (activations of earlier blocks) W[earlier, block] + b        one product, once
    x_block <- step(z_block, net(x_block))   with   dense(h) = before + h W[block, block]

The second line is repeated until nothing changes, at most B times, in all at most D small steps.
The first costs one pass of dense matrices in all, the repetitions 1 / K of what whole passes cost:
B = 1 is incremental evaluation, B = D is Jacobi's method on the whole network. Trained flows settle
after a few repetitions, so that large blocks are best: fewer, larger products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

__all__ = ["BlockSolver", "Layer", "block_size", "blocks_of"]

# Below this whole passes are as fast.
MIN_COORDINATES = 32
NUM_BLOCKS = 8
MIN_BLOCK = 4


def block_size(num_coordinates: int) -> int:
    """B for D coordinates: D itself where whole passes are as fast, else an eighth of D."""
    if num_coordinates < MIN_COORDINATES:
        return num_coordinates
    return max(MIN_BLOCK, -(-num_coordinates // NUM_BLOCKS))


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
    network: (x, dense) -> outputs, elementwise but for dense(i, h), which applies the i-th layer.
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
        rows = tf.shape(z)[0]
        latents = _padded_columns(z, self._coordinates)  # [K, rows, B]

        def one_block(k: Any, caches: Any) -> Any:
            before = [
                tf.matmul(cache, tf.gather(kernel, k)) + tf.gather(bias, k)
                for cache, kernel, bias in zip(caches, self._kernels, self._biases, strict=True)
            ]
            within = [
                tf.slice(tf.gather(kernel, k), [k * width, 0], [width, kernel.shape[-1]])
                for kernel, width in zip(self._kernels, self._widths, strict=True)
            ]
            latent = tf.gather(latents, k)

            def evaluate(x: Any) -> tuple[Any, list[Any]]:
                inputs: list[Any] = []

                def dense(i: int, h: Any) -> Any:
                    inputs.append(h)
                    return before[i] + tf.matmul(h, within[i])

                outputs = self._network(x, dense)
                return tf.reshape(outputs, [rows, size, self._num_parameters]), inputs

            def changed(*state: Any) -> Any:
                return state[1]

            def update(x: Any, *_: Any) -> tuple[Any, Any]:
                new = step(latent, evaluate(x)[0])
                return new, tf.reduce_any(tf.not_equal(new, x))

            start = (tf.zeros_like(latent), tf.constant(value=True))
            x = tf.while_loop(changed, update, start, maximum_iterations=size)[0]
            mine = tf.one_hot(k, num_blocks, dtype=z.dtype)[:, None]
            caches = [
                cache + tf.reshape(mine * h[:, None, :], tf.shape(cache))
                for cache, h in zip(caches, evaluate(x)[1], strict=True)
            ]
            return k + 1, caches

        caches = [tf.zeros([rows, num_blocks * width], z.dtype) for width in self._widths]
        _, caches = tf.while_loop(
            lambda k, _: k < num_blocks,
            one_block,
            (tf.constant(0), caches),
            maximum_iterations=num_blocks,
        )
        # The inputs of the first layer are the coordinates; those that fill up come last.
        x = caches[0][:, : self._num_coordinates]
        return tf.ensure_shape(x, z.shape)


def _kernel_blocks(layer: Layer) -> Any:
    """[K, K * in, out]: the kernel's rows in the order of the blocks, its columns a block each."""
    num_blocks, width = layer.out_blocks.shape
    padded = tf.pad(layer.kernel, [[0, 1], [0, 1]])
    rows = tf.gather(padded, layer.in_blocks.reshape(-1))
    columns = tf.gather(rows, layer.out_blocks.reshape(-1), axis=1)
    return tf.transpose(tf.reshape(columns, [-1, num_blocks, width]), [1, 0, 2])


def _padded_columns(x: Any, blocks: np.ndarray) -> Any:
    """[rows, units] or [units] -> [K, rows or 1, units of a block]."""
    x = x if x.shape.rank == 2 else x[None]
    padded = tf.pad(x, [[0, 0], [0, 1]])
    return tf.transpose(tf.gather(padded, blocks, axis=1), [1, 0, 2])
