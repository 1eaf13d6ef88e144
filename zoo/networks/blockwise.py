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
larger products. `tools/inversion_benchmark.py` compares 8 of them with whole passes, from 6 to 784
coordinates.

The blocks are unrolled, or, inside `in_a_loop()`, one body for all of them: every block is then
multiplied with all later ones, the zeros of the earlier ones too, at once with its own solution.
Networks alike share that body. Its graph is traced and optimised in a small part of the time; its
products are twice as many.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

__all__ = ["BlockSolver", "Layer", "block_size", "blocks_of", "in_a_loop"]

NUM_BLOCKS = 8
_LOOPS: ContextVar[dict[Any, Any] | None] = ContextVar("the loops of a graph", default=None)


@contextlib.contextmanager
def in_a_loop() -> Iterator[None]:
    """Inside, solvers make small graphs, which are not as fast as they could be."""
    token = _LOOPS.set({})
    try:
        yield
    finally:
        _LOOPS.reset(token)


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


Network = Callable[[Any, Callable[[int, Any], Any]], Any]
Step = Callable[[Any, Any], Any]


class BlockSolver:
    """Finds the x with step(z, net(x)) = x; see the module.

    layers: of the network, from the inputs to the outputs.
    network: (x, dense) -> outputs, elementwise but for dense(i, h), which applies the i-th layer;
        the outputs are those of the last layer.
    alike: says which network it is: equal ones are the same function of their layers.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        network: Network,
        num_coordinates: int,
        num_parameters: int,
        *,
        alike: Any,
    ) -> None:
        self._layers = layers
        self._network = network
        self._num_coordinates = num_coordinates
        self._num_parameters = num_parameters
        self._alike = alike
        self._coordinates = layers[0].in_blocks
        self._widths = [layer.in_blocks.shape[1] for layer in layers]

    def __call__(self, step: Step, z: Any, *, kind: Any) -> Any:
        """x [rows, D] for z [rows, D].

        step: (z, parameters) -> x, coordinate by coordinate.   kind: says which; hashable.
        """
        loops = _LOOPS.get()
        if loops is None:
            x = self._unrolled(step, z)
        else:
            if (self._alike, kind) not in loops:
                loops[self._alike, kind] = tf.function(
                    lambda z, kernels, biases: self._looped(step, z, kernels, biases),
                    autograph=False,
                    experimental_attributes={"_noinline": True},
                )
            kernels = [layer.kernel for layer in self._layers]
            x = loops[self._alike, kind](z, kernels, [layer.bias for layer in self._layers])
        # The coordinates that fill up come last.
        x = x[:, : self._num_coordinates]
        x.set_shape(z.shape)  # no op, as tf.ensure_shape is one, which TFLite lacks
        return x

    def _unrolled(self, step: Step, z: Any) -> Any:
        num_blocks, size = self._coordinates.shape
        latents = _padded_columns(z, self._coordinates)  # [K, rows, B]
        self._kernels = [_kernel_blocks(layer) for layer in self._layers]  # each [K, K * in, out]
        self._biases = [_padded_columns(layer.bias, layer.out_blocks) for layer in self._layers]
        known: list[list[Any]] = [[] for _ in self._kernels]  # each layer's inputs, block by block
        solved = []
        for k in range(num_blocks):
            # Units that see no coordinate lie in the first block: not all of it is unknown.
            block = self._one if size == 1 and k > 0 else self._several
            x, inputs = block(k, known, functools.partial(step, latents[k]), latents[k])
            solved.append(x)
            for earlier, h in zip(known, inputs, strict=True):
                earlier.append(h)
        return tf.concat(solved, 1)

    def _looped(
        self, step: Step, z: Any, kernels_whole: Sequence[Any], biases: Sequence[Any]
    ) -> Any:
        """The blocks one after another by one body: [rows, K * B]."""
        num_blocks, size = self._coordinates.shape
        latents, rows = _padded_columns(z, self._coordinates), tf.shape(z)[0]
        widths = [layer.out_blocks.shape[1] for layer in self._layers]

        def body(k: Any, solved: Any, *before: Any) -> tuple[Any, ...]:
            latent = latents[k]
            kernels = [  # each [in, K * out]
                _kernel_rows(layer, kernel, k)
                for layer, kernel in zip(self._layers, kernels_whole, strict=True)
            ]
            at_hand = [
                (
                    tf.reshape(h, [rows, num_blocks, width])[:, k],
                    tf.reshape(kernel, [-1, num_blocks, width])[:, k],
                )
                for h, kernel, width in zip(before, kernels, widths, strict=True)
            ]

            def evaluate(x: Any) -> tuple[Any, list[Any]]:
                inputs: list[Any] = []

                def dense(i: int, h: Any) -> Any:
                    inputs.append(h)
                    known, kernel = at_hand[i]
                    return known + tf.matmul(h, kernel)

                outputs = self._network(x, dense)
                return tf.reshape(outputs, [rows, size, self._num_parameters]), inputs

            x = _repeated(lambda x: step(latent, evaluate(x)[0]), tf.zeros_like(latent), size)
            inputs = evaluate(x)[1]
            after = [
                h + tf.matmul(own, kernel)
                for h, own, kernel in zip(before, inputs, kernels, strict=True)
            ]
            return k + 1, tf.tensor_scatter_nd_update(solved, [[k]], x[None]), *after

        before = []
        for bias, layer, width in zip(biases, self._layers, widths, strict=True):
            columns = tf.transpose(_padded_columns(bias, layer.out_blocks), [1, 0, 2])
            flat = tf.reshape(columns, [-1, num_blocks * width])
            before.append(flat + tf.zeros([rows, num_blocks * width], flat.dtype))
        state = (tf.constant(0), tf.zeros_like(latents), *before)
        solved = tf.while_loop(
            lambda k, *_: k < num_blocks, body, state, maximum_iterations=num_blocks
        )[1]
        return tf.reshape(tf.transpose(solved, [1, 0, 2]), [rows, num_blocks * size])

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


def _kernel_rows(layer: Layer, kernel: Any, k: Any) -> Any:
    """[in, K * out]: the rows of block k, the columns in the order of the blocks.

    A block at a time: a copy of all of them would be as large as the weights.
    """
    columns = layer.out_blocks.reshape(-1)
    no_row, no_column = kernel.shape[0], kernel.shape[1]
    rows = tf.constant(layer.in_blocks)[k]
    block = tf.gather(kernel, tf.minimum(rows, no_row - 1))
    block = tf.gather(block, np.minimum(columns, no_column - 1), axis=1)
    block *= tf.cast(rows < no_row, kernel.dtype)[:, None]
    return block * tf.constant(columns < no_column, kernel.dtype)


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
