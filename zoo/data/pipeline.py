"""Arrays to batches: deterministic, resumable, sharded by replica.

The order of an epoch is a pure function of (seed, epoch): nothing depends on what ran before, so a
run that was stopped continues with `skip_batches` exactly where it was.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.core.data import Rows
from zoo.data import sources
from zoo.data.sources import Arrays
from zoo.data.spoken_digit import clip_lengths
from zoo.errors import ConfigError

__all__ = [
    "batches_in_memory",
    "bucketed_order",
    "epoch_order",
    "steps_per_epoch",
    "tfds_dataset",
]

BUCKET_BATCHES = 16


def epoch_order(rows: int, *, seed: int, epoch: int) -> np.ndarray:
    """The permutation of `range(rows)` that is epoch `epoch` under `seed`: int64 [rows].

    NumPy's PCG64, seeded with the pair (seed, epoch): epochs are independent permutations, and
    (seed, epoch) and (seed + 1, epoch - 1) share nothing. Both must be non-negative.
    """
    if seed < 0 or epoch < 0:
        raise ConfigError(f"Expected seed and epoch >= 0; got {seed} and {epoch}.")
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    return generator.permutation(rows)


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """The number of whole batches in an epoch of `rows` rows."""
    return rows // batch_size


def batches_in_memory(
    arrays: Arrays,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    skip_batches: int = 0,
    bucket_size: int = 0,
    num_shards: int = 1,
    shard: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """One shuffled epoch of whole batches, as NumPy arrays (x, context or None).

    Batch b of the epoch is rows `order[b B : (b + 1) B]`, with B = `batch_size` the *global* batch
    and `order = epoch_order(rows, seed=seed, epoch=epoch)`; rows behind the last whole batch are
    left out. Shard s of n gets the s-th n-th of each global batch, so that the shards' b-th batches
    together are the unsharded b-th batch.

    skip_batches: batches at the beginning of the epoch to leave out, to resume within it.
    bucket_size: > 0 is for clips, x [rows, T], that end in silence (zeros): batches hold clips of
        similar lengths and are cut behind the longest of the global batch, at a multiple of
        `bucket_size` (see `bucketed_order`).

    Raises ConfigError for sizes that do not fit together.
    """
    _check_shards(batch_size, num_shards, shard)
    order = epoch_order(arrays.rows, seed=seed, epoch=epoch)
    lengths = clip_lengths(arrays.x) if bucket_size else None
    if lengths is not None:
        order = bucketed_order(order, lengths, batch_size=batch_size, seed=seed, epoch=epoch)
    for batch in range(skip_batches, steps_per_epoch(arrays.rows, batch_size)):
        rows = order[batch * batch_size : (batch + 1) * batch_size]
        own = rows.reshape(num_shards, -1)[shard]
        x = arrays.x[own]
        if lengths is not None:
            x = x[:, : -(-int(lengths[rows].max()) // bucket_size) * bucket_size]
        yield x, None if arrays.context is None else arrays.context[own]


def bucketed_order(
    order: np.ndarray, lengths: np.ndarray, *, batch_size: int, seed: int, epoch: int
) -> np.ndarray:
    """`order` with clips of similar lengths brought together into batches: int64 [rows].

    Groups of `BUCKET_BATCHES` batches, taken in order, are sorted by length within, and the batches
    of each group then shuffled: every clip is still drawn once an epoch, at random but for its
    batch mates. Rows behind the last whole batch stay where they are.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, 1])))
    group, whole = BUCKET_BATCHES * batch_size, len(order) // batch_size * batch_size
    pieces = []
    for start in range(0, whole, group):
        rows = order[start : min(start + group, whole)]
        batches = rows[np.argsort(lengths[rows], kind="stable")].reshape(-1, batch_size)
        pieces.append(generator.permutation(batches).reshape(-1))
    return np.concatenate([*pieces, order[whole:]])


def tfds_dataset(
    dataset: Rows,
    split: str,
    *,
    data_dir: str | Path | None = None,
    download: bool = False,
) -> tf.data.Dataset:
    """The rows of a split one by one, for `model.fit`: shuffle and batch as you like.

        rows = tfds_dataset(recipe.dataset, "train")
        model.fit(rows.shuffle(10_000, seed=0).batch(64))

    Returns:
        A dataset of x, or of (x, context) where the dataset declares a context; x as stored,
        labels as int32, other contexts as stored. Train rows are followed by those of the
        dataset's `more_train`.

    Raises:
        DataError: the dataset, its version, the split or a feature is not there.
    """

    def stored(part: Rows) -> tf.data.Dataset:
        expression = sources.split_expression(part, split)
        builder = sources.open_builder(part, data_dir=data_dir, download=download)
        return sources.stored_rows(builder, part, expression)

    parts = sources.datasets_of(dataset, split)
    rows = functools.reduce(tf.data.Dataset.concatenate, map(stored, parts))

    def unpack(row: dict[str, Any]) -> Any:
        if dataset.context:
            context = row[dataset.context]
            is_label = context.shape.rank == 0 and not context.dtype.is_floating
            return row[dataset.feature], tf.cast(context, tf.int32) if is_label else context
        return row[dataset.feature]

    return rows.map(unpack, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _check_shards(batch_size: int, num_shards: int, shard: int) -> None:
    if batch_size < 1 or num_shards < 1 or batch_size % num_shards:
        raise ConfigError(
            f"Expected a global batch that is a positive multiple of the number of shards; got "
            f"batch_size={batch_size}, num_shards={num_shards}."
        )
    if not 0 <= shard < num_shards:
        raise ConfigError(f"Expected 0 <= shard < {num_shards}; got {shard}.")
