"""Uniform noise as a function of (seed, row, position), equal in eager mode, graphs and XLA.

`tf.random.stateless_uniform` draws other numbers under XLA than in a graph, and a row's numbers
depend on its place in the batch. Dequantisation needs neither: here the noise of a row is a hash of
the row's own values, so that a row's log-density does not depend on its batch mates, on the number
of replicas or on the compiler.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

__all__ = [
    "binarized",
    "counter_uniform",
    "hashed_draws",
    "hashed_uniform",
    "mix32",
    "replica_seed",
]

# Chris Wellons' "lowbias32" integer hash, and the 32-bit golden ratio as the step of the counter.
_MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
_SHIFTS = (16, 15, 16)
_GOLDEN_RATIO = 0x9E3779B9
_DRAWS = 0x2545F491  # sets `hashed_draws` apart from `hashed_uniform`


def mix32(x: Any) -> Any:
    """A bijective hash of uint32 with near-perfect avalanche: uint32 [...] -> uint32 [...]."""
    shift = tf.bitwise.right_shift
    xor = tf.bitwise.bitwise_xor
    x = xor(x, shift(x, tf.constant(_SHIFTS[0], tf.uint32)))
    x = x * tf.constant(_MULTIPLIERS[0], tf.uint32)
    x = xor(x, shift(x, tf.constant(_SHIFTS[1], tf.uint32)))
    x = x * tf.constant(_MULTIPLIERS[1], tf.uint32)
    return xor(x, shift(x, tf.constant(_SHIFTS[2], tf.uint32)))


def hashed_uniform(x: Any, seed: Any) -> Any:
    """u[b, d] = (h(d, h(row_b, seed)) + 1/2) / 2**23 in (0, 1), from 23 bits of the hash h.

    One bit more and the largest value would round to 1 in float32.

    x: integers [batch, ...], the rows that name the noise.   seed: int32 [2].
    returns: float32 of x's shape; equal rows under one seed get equal noise, by design.
    """
    shape = tf.shape(x)
    event_size = int(np.prod(x.shape[1:]))
    positions = (np.arange(1, event_size + 1, dtype=np.uint64) * _GOLDEN_RATIO) & 0xFFFFFFFF
    counter = tf.constant(positions.astype(np.uint32))  # [D]
    return tf.reshape(_uniform(_row_hash(x, seed) + counter), shape)


def hashed_draws(x: Any, seed: Any, first: Any, count: int) -> Any:
    """Uniform numbers `first`, `first` + 1, ... of every row: float32 [batch, count] in (0, 1).

    Number n of a row is a function of (row, seed, n), whatever `first` and `count` it is asked for
    with; those of `hashed_uniform` are others.

    x: integers or floats [batch, ...]; of floats the bits count.   seed: int32 [2].   first: int32.
    """
    if x.dtype.is_floating:
        x = tf.bitcast(tf.cast(x, tf.float32), tf.int32)
    number = tf.cast(first + tf.range(1, count + 1), tf.uint32)
    key = mix32(tf.bitwise.bitwise_xor(_row_hash(x, seed), tf.constant(_DRAWS, tf.uint32)))
    return _uniform(key + mix32(number * tf.constant(_GOLDEN_RATIO, tf.uint32)))


def binarized(x: Any, seed: Any) -> Any:
    """1 with probability x / 255, else 0, by `hashed_uniform`: uint8 of grey levels x's shape."""
    return tf.cast(255.0 * hashed_uniform(x, seed) < tf.cast(x, tf.float32), tf.uint8)


def _row_hash(x: Any, seed: Any) -> Any:
    """A hash of every row's values and the seed: uint32 [batch, 1]."""
    event_size = int(np.prod(x.shape[1:]))
    rows = tf.cast(tf.reshape(x, [-1, event_size]), tf.uint32)  # [batch, D]
    seed = tf.cast(seed, tf.uint32)
    positions = (np.arange(1, event_size + 1, dtype=np.uint64) * _GOLDEN_RATIO) & 0xFFFFFFFF
    counter = tf.constant(positions.astype(np.uint32))  # [D]
    # Summed as int64, modulo 2**32 by the cast: LiteRT and ONNX Runtime do not sum uint32 so.
    hashes = tf.cast(mix32(rows + counter + seed[0]), tf.int64)
    row_hash = tf.cast(tf.reduce_sum(hashes, axis=-1, keepdims=True), tf.uint32)  # [batch, 1]
    return mix32(
        tf.bitwise.bitwise_xor(row_hash, mix32(seed[1] + seed[0] * tf.constant(3, tf.uint32)))
    )


def _uniform(keys: Any) -> Any:
    """(h + 1/2) / 2**23 of the 23 high bits h of each key's hash: float32 in (0, 1)."""
    bits = tf.bitwise.right_shift(mix32(keys), tf.constant(9, tf.uint32))
    return (tf.cast(bits, tf.float32) + 0.5) * (2.0**-23)


def counter_uniform(seed: Any, rows: Any, first: Any, steps: int, count: int) -> Any:
    """Uniform numbers in (0, 1) named by (seed, step, row, number): float32 [steps, rows, count].

    Steps are first, first + 1, ...: asking for them in pieces gives the same numbers.
    seed: int32 [2].   first: int32 scalar.
    """
    seed = tf.cast(seed, tf.uint32)
    inner = mix32(seed[1] + tf.constant(_GOLDEN_RATIO, tf.uint32))
    key = mix32(tf.bitwise.bitwise_xor(seed[0], inner))
    step = tf.cast(first + tf.range(steps), tf.uint32)
    step = mix32(key + step * tf.constant(_GOLDEN_RATIO, tf.uint32))
    number = tf.cast(tf.range(1, rows * count + 1), tf.uint32)
    number = mix32(number * tf.constant(_GOLDEN_RATIO, tf.uint32))
    return tf.reshape(_uniform(step[:, None] + number), [steps, rows, count])


def replica_seed(seed: Any) -> Any:
    """The seed with the number of the replica mixed into its second word: integers [2].

    For draws that depend on the place in a batch: replicas hold different rows, and would draw the
    same numbers for them. The seed itself on the first replica, and where there is one. Noise that
    is a hash of the row (`hashed_uniform`) needs none of this.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    number = mix32(tf.cast(context.replica_id_in_sync_group, tf.uint32))  # 0 -> 0
    first, second = tf.unstack(tf.cast(seed, tf.uint32))
    return tf.cast(tf.stack([first, tf.bitwise.bitwise_xor(second, number)]), seed.dtype)
