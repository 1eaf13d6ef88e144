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

__all__ = ["BLOCK_ROWS", "TO_DATA", "TO_LATENT", "Prepare", "exact_map"]

BLOCK_ROWS = 128
TO_LATENT, TO_DATA = 1, -1

Prepare = Callable[[Any], Callable[[Any], Any]]


def exact_map(couplings: Callable[[Prepare], list[IntegerCoupling]], size: int) -> Any:
    """A `tf.function` (rows int32 [batch, size], TO_LATENT or TO_DATA as int32) -> rows.

    couplings: `DiscreteFlow._flow`, which asks its argument for the function of each network.
    """
    chain = IntegerChain(couplings(in_float64), tf.float64)

    def walk(rows: Any, sign: Any) -> Any:
        count = tf.shape(rows)[0]
        blocks = tf.pad(rows, [[0, -count % BLOCK_ROWS], [0, 0]])
        blocks = tf.reshape(blocks, [-1, BLOCK_ROWS, size])
        mapped = tf.map_fn(lambda block: chain.walk(block, sign), blocks)
        return tf.reshape(mapped, [-1, size])[:count]

    specification = [tf.TensorSpec([None, size], tf.int32), tf.TensorSpec([], tf.int32)]
    return tf.function(walk, input_signature=specification, autograph=False)
