"""A bijection of integers that comes out the same in both directions, whatever the batch.

A shift of 0.4999999 is rounded otherwise once its last bit has changed, as it may with the number
of rows, the compiler, the device. So: the networks compute in float64, where such a tie is about
1e-9 as frequent as in float32; rows go through in blocks of `BLOCK_ROWS`, the last one padded; and
one compiled function is both directions, each shift computed by the same operations either way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from zoo.bijectors.integer import IntegerChain, IntegerCoupling
from zoo.networks.precise import in_float64

__all__ = ["BLOCK_ROWS", "TO_DATA", "TO_LATENT", "Prepare", "blockwise", "exact_map"]

BLOCK_ROWS = 128
TO_LATENT, TO_DATA = 1, -1

Prepare = Callable[[Any], Callable[[Any], Any]]


def exact_map(couplings: Callable[[Prepare], list[IntegerCoupling]], size: int) -> Any:
    """A `tf.function` (rows int32 [batch, size], TO_LATENT or TO_DATA as int32) -> rows.

    couplings: `DiscreteFlow._flow`, which asks its argument for the function of each network.
    """
    chain = IntegerChain(couplings(in_float64), tf.float64)

    def walk(rows: Any, sign: Any) -> Any:
        return _in_blocks(lambda block: chain.walk(block, sign), rows, size)

    specification = [tf.TensorSpec([None, size], tf.int32), tf.TensorSpec([], tf.int32)]
    return tf.function(walk, input_signature=specification, autograph=False)


def blockwise(walk: Callable[[Any], Any], size: int) -> Any:
    """A `tf.function` of rows int32 [batch, size], which `walk` maps block by block."""
    return tf.function(
        lambda rows: _in_blocks(walk, rows, size),
        input_signature=[tf.TensorSpec([None, size], tf.int32)],
        autograph=False,
    )


def _in_blocks(walk: Callable[[Any], Any], rows: Any, size: int) -> Any:
    count = tf.shape(rows)[0]
    blocks = tf.pad(rows, [[0, -count % BLOCK_ROWS], [0, 0]])
    mapped = tf.map_fn(walk, tf.reshape(blocks, [-1, BLOCK_ROWS, size]))
    return tf.reshape(mapped, [-1, size])[:count]
