"""Batches are a pure function of (seed, epoch), resumable and divisible among replicas."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from zoo.data import pipeline
from zoo.data.pipeline import batches_in_memory
from zoo.data.sources import Arrays, load_arrays
from zoo.errors import ConfigError, DataError

ROWS = 23


@pytest.fixture
def arrays():
    """23 rows [2]: row r holds (r, -r), its context is 10 r."""
    rows = np.arange(ROWS, dtype=np.float32)
    return Arrays(np.stack([rows, -rows], axis=1), 10 * np.arange(ROWS, dtype=np.int32))


def numbers(batches):
    """The row numbers of each batch."""
    return [batch[0][:, 0].astype(int).tolist() for batch in batches]


def flat(batches):
    return [row for batch in batches for row in batch]


def test_an_epoch_holds_every_row_once_but_for_the_remainder(arrays):
    order = pipeline.epoch_order(ROWS, seed=1, epoch=0).tolist()
    assert sorted(order) == list(range(ROWS))
    assert order != list(range(ROWS))
    batches = numbers(batches_in_memory(arrays, batch_size=5, seed=1, epoch=0))
    assert batches == [order[start : start + 5] for start in range(0, 20, 5)]


def test_order_depends_on_seed_and_epoch_alone(arrays):
    def order(seed, epoch):
        return flat(numbers(batches_in_memory(arrays, batch_size=5, seed=seed, epoch=epoch)))

    assert order(3, 4) == order(3, 4)
    orders = {(seed, epoch): tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9


def test_order_is_pinned():
    """A run is resumed in the order it was begun, whatever the version of NumPy."""
    order = pipeline.epoch_order(10, seed=7, epoch=2)
    assert order.tolist() == [1, 5, 3, 4, 6, 9, 0, 8, 2, 7]


@pytest.mark.parametrize("skipped", [0, 1, 3, 4])
def test_skipping_resumes_within_an_epoch(arrays, skipped):
    def batches(skip_batches):
        return numbers(
            batches_in_memory(arrays, batch_size=5, seed=2, epoch=1, skip_batches=skip_batches)
        )

    assert batches(skipped) == batches(0)[skipped:]


@pytest.mark.parametrize("num_shards", [1, 2, 3])
@pytest.mark.parametrize("skipped", [0, 2])
def test_shards_together_are_the_global_batches(arrays, num_shards, skipped):
    def batches(**sharding):
        return numbers(
            batches_in_memory(
                arrays, batch_size=6, seed=5, epoch=3, skip_batches=skipped, **sharding
            )
        )

    shards = [batches(num_shards=num_shards, shard=shard) for shard in range(num_shards)]
    assert all(len(batch) == 6 // num_shards for shard in shards for batch in shard)
    together = [flat(parts) for parts in zip(*shards, strict=True)]
    assert together == batches()


@pytest.mark.parametrize("num_shards", [1, 2, 3])
def test_shards_in_memory_are_those_of_the_global_batches(arrays, num_shards):
    def batches(**shards):
        sizes = {"batch_size": 6, "seed": 2, "epoch": 1, "skip_batches": 1}
        return list(batches_in_memory(arrays, **sizes, **shards))

    whole = batches()
    parts = [batches(num_shards=num_shards, shard=shard) for shard in range(num_shards)]
    for number, (x, context) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([p[number][0] for p in parts]), x)
        np.testing.assert_array_equal(np.concatenate([p[number][1] for p in parts]), context)


def test_a_shard_of_clips_is_cut_where_the_global_batch_is():
    clips = np.zeros((4, 8), np.int16)
    for row, length in enumerate((1, 2, 5, 8)):
        clips[row, :length] = 1
    shards = [
        next(
            batches_in_memory(
                Arrays(clips), batch_size=4, seed=0, epoch=0, bucket_size=2, num_shards=4, shard=s
            )
        )[0]
        for s in range(4)
    ]
    assert [x.shape for x in shards] == [(1, 8)] * 4


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_contexts_stay_with_their_rows_and_dtypes_are_kept(arrays, dtype):
    rows = Arrays(arrays.x[:, :1].astype(dtype), arrays.context)
    for x, context in batches_in_memory(rows, batch_size=5, seed=0, epoch=0):
        assert x.dtype == dtype
        np.testing.assert_array_equal(context, 10 * x[:, 0].astype(int))
    (x, context), *_ = batches_in_memory(Arrays(arrays.x), batch_size=5, seed=0, epoch=0)
    assert (x.shape, context) == ((5, 2), None)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 5, "num_shards": 2}, "multiple of the number of shards"),
        ({"batch_size": 4, "num_shards": 2, "shard": 2}, "0 <= shard < 2; got 2"),
        ({"batch_size": 5, "seed": -1}, "seed and epoch >= 0; got -1 and 0"),
        ({"batch_size": 5, "epoch": -2}, "got 0 and -2"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_sizes_that_do_not_fit(arrays, sizes, message):
    with pytest.raises(ConfigError, match=message):
        next(batches_in_memory(arrays, **{"seed": 0, "epoch": 0, **sizes}))


@pytest.mark.parametrize(("rows", "expected"), [(10, 2), (11, 2), (4, 0)])
def test_steps_per_epoch(rows, expected):
    assert pipeline.steps_per_epoch(rows, 5) == expected


def test_tfds_dataset_gives_the_rows_of_load_arrays(tiny, tiny_dir):
    arrays = load_arrays(tiny, "train", data_dir=tiny_dir)
    rows = pipeline.tfds_dataset(tiny, "train", data_dir=tiny_dir)
    assert rows.element_spec[1] == tf.TensorSpec((), tf.int32)
    x, context = zip(*rows.as_numpy_iterator(), strict=True)
    np.testing.assert_array_equal(np.stack(x), arrays.x)
    np.testing.assert_array_equal(np.stack(context), arrays.context)

    unconditional = dataclasses.replace(tiny, context="")
    x = list(pipeline.tfds_dataset(unconditional, "train", data_dir=tiny_dir).as_numpy_iterator())
    np.testing.assert_array_equal(np.stack(x), arrays.x)

    some = dataclasses.replace(tiny, labels=(1,))
    x, context = zip(*pipeline.tfds_dataset(some, "train", data_dir=tiny_dir), strict=True)
    np.testing.assert_array_equal(np.stack(x), arrays.x[arrays.context == 1])
    assert {int(label) for label in context} == {1}


def test_tfds_dataset_has_more_train_rows_behind_its_own(tiny, tiny_dir):
    more = dataclasses.replace(tiny, more_train="zoo_tiny_images")
    arrays = load_arrays(more, "train", data_dir=tiny_dir)
    x, context = zip(*pipeline.tfds_dataset(more, "train", data_dir=tiny_dir), strict=True)
    np.testing.assert_array_equal(np.stack(x), arrays.x)
    np.testing.assert_array_equal(np.stack(context), arrays.context)
    assert len(list(pipeline.tfds_dataset(more, "test", data_dir=tiny_dir))) == 5


def test_tfds_dataset_refuses_what_is_not_there(tiny, tiny_dir):
    with pytest.raises(DataError, match="no feature 'audio'"):
        pipeline.tfds_dataset(
            dataclasses.replace(tiny, feature="audio"), "train", data_dir=tiny_dir
        )
