"""Arrays to `tf.data` batches: deterministic, resumable, sharded by replica.

The order of an epoch is a pure function of (seed, epoch): nothing depends on what ran before, so a
run that was stopped continues with `skip_batches` exactly where it was. Batches are gathers from
tensors in memory, whole batches at a time, made ahead of use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.core.data import Rows
from zoo.data import sources
from zoo.data.sources import Arrays
from zoo.data.spoken_digit import clip_lengths
from zoo.errors import ConfigError, DataError

__all__ = [
    "batches_in_memory",
    "bucketed_order",
    "epoch_order",
    "evaluation_batches",
    "steps_per_epoch",
    "tfds_dataset",
    "training_batches",
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


def steps_per_epoch(rows: int, batch_size: int, *, drop_remainder: bool = True) -> int:
    """The number of batches in an epoch of `rows` rows."""
    return rows // batch_size if drop_remainder else -(-rows // batch_size)


def training_batches(
    arrays: Arrays,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    skip_batches: int = 0,
    drop_remainder: bool = True,
    num_shards: int = 1,
    shard: int = 0,
) -> tf.data.Dataset:
    """One shuffled epoch of batches.

    Batch b of the epoch is rows `order[b B : (b + 1) B]`, with B = `batch_size` the *global* batch
    and `order = epoch_order(rows, seed=seed, epoch=epoch)`. Shard s of n gets the s-th n-th of each
    global batch, so that the shards' b-th batches together are the unsharded b-th batch.

    Args:
        arrays: The rows.
        batch_size: Rows in a global batch; a multiple of `num_shards`.
        seed: Seed of the order, >= 0.
        epoch: Number of the epoch, >= 0.
        skip_batches: Batches at the beginning of the epoch to leave out, to resume within it.
        drop_remainder: Whether the last, smaller batch is left out. With several shards it must
            be: they would otherwise get different numbers of rows.
        num_shards: Number of replicas that share the epoch.
        shard: This replica's number, 0 <= shard < num_shards.

    Returns:
        A dataset of (x,) or (x, context): x [B / num_shards, ...], context int32 [B / num_shards].

    Raises:
        ConfigError: sizes that do not fit together.
        DataError: fewer rows than one batch.
    """
    _check_shards(batch_size, num_shards, shard, drop_remainder=drop_remainder)
    steps = steps_per_epoch(arrays.rows, batch_size, drop_remainder=drop_remainder)
    if steps == 0:
        raise DataError(
            f"Expected at least one batch of {batch_size} rows; the data has {arrays.rows} rows."
        )
    if not 0 <= skip_batches <= steps:
        raise ConfigError(f"Expected 0 <= skip_batches <= {steps}; got {skip_batches}.")
    order = epoch_order(arrays.rows, seed=seed, epoch=epoch)[skip_batches * batch_size :]
    if drop_remainder:
        order = order[: (steps - skip_batches) * batch_size]
    if num_shards > 1:
        order = order.reshape(-1, num_shards, batch_size // num_shards)[:, shard].reshape(-1)
    indices = tf.data.Dataset.from_tensor_slices(order)
    indices = indices.batch(batch_size // num_shards, drop_remainder=drop_remainder)
    return _gathered(arrays, indices, lambda column, index: tf.gather(column, index))


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
    """The batches of `training_batches` as NumPy arrays (x, context or None).

    There is no thread behind them. `bucket_size` > 0 is for clips, x [rows, T], that end in
    silence (zeros): batches hold clips of similar lengths and are cut behind the longest, at a
    multiple of `bucket_size` (see `bucketed_order`). `num_shards` and `shard` are those of
    `training_batches`; a shard's clips are cut where the global batch is.
    """
    _check_shards(batch_size, num_shards, shard, drop_remainder=True)
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


def evaluation_batches(arrays: Arrays, *, batch_size: int) -> tf.data.Dataset:
    """All rows in order, once; the last batch may be smaller.

    Returns:
        A dataset of (x,) or (x, context): x [<= batch_size, ...], context int32 [<= batch_size].

    Raises:
        ConfigError: `batch_size` < 1.
        DataError: no rows.
    """
    if batch_size < 1:
        raise ConfigError(f"Expected batch_size >= 1; got {batch_size}.")
    if arrays.rows == 0:
        raise DataError("Expected at least one row to evaluate; the data is empty.")
    starts = tf.data.Dataset.range(0, arrays.rows, batch_size)
    return _gathered(arrays, starts, lambda column, start: column[start : start + batch_size])


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
        context int32. Train rows are followed by those of the dataset's `more_train`.

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
            return row[dataset.feature], tf.cast(row[dataset.context], tf.int32)
        return row[dataset.feature]

    return rows.map(unpack, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _gathered(
    arrays: Arrays, positions: tf.data.Dataset, pick: Callable[[Any, Any], Any]
) -> tf.data.Dataset:
    """The dataset of tuples of columns, each `pick`ed at every position, prefetched."""
    with tf.device("CPU:0"):
        columns = [tf.convert_to_tensor(arrays.x)]
        if arrays.context is not None:
            columns.append(tf.convert_to_tensor(arrays.context, dtype=tf.int32))
    # Not a parallel map: gathers from memory are fast, and one that never wakes up was seen at the
    # start of an epoch (TensorFlow 2.21, 2 cores).
    batches = positions.map(lambda position: tuple(pick(column, position) for column in columns))
    options = tf.data.Options()
    options.deterministic = True
    # Rows are already divided by `shard`: tf.distribute must not divide them once more.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.prefetch(2).with_options(options)


def _check_shards(batch_size: int, num_shards: int, shard: int, *, drop_remainder: bool) -> None:
    if batch_size < 1 or num_shards < 1 or batch_size % num_shards:
        raise ConfigError(
            f"Expected a global batch that is a positive multiple of the number of shards; got "
            f"batch_size={batch_size}, num_shards={num_shards}."
        )
    if not 0 <= shard < num_shards:
        raise ConfigError(f"Expected 0 <= shard < {num_shards}; got {shard}.")
    if num_shards > 1 and not drop_remainder:
        raise ConfigError("With several shards the last, smaller batch must be dropped.")
