"""Datasets come back as stored, from the pinned version, and from nowhere else."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from zoo.data import sources
from zoo.data.sources import Arrays, load_arrays
from zoo.errors import DataError
from zoo.registry.entry import LJSPEECH

SPLIT_ROWS = {
    "mnist": (50_000, 10_000, 10_000),
    "fashion_mnist": (50_000, 10_000, 10_000),
    "cifar10": (45_000, 5_000, 10_000),
    "magic": (15_216, 1_902, 1_902),
}
EVENT_SHAPES = {
    "mnist": (28, 28, 1),
    "fashion_mnist": (28, 28, 1),
    "cifar10": (32, 32, 3),
    "magic": (10,),
}
# Mean and standard deviation of all train pixels / 255, as published for each dataset.
PUBLISHED_STATISTICS = {
    "mnist": ([0.1307], [0.3081]),
    "fashion_mnist": ([0.2860], [0.3530]),
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
}


@pytest.fixture
def empty_dirs(tmp_path, monkeypatch):
    """TFDS_DATA_DIR and ZOO_CACHE that hold nothing."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_rows_come_as_stored(tiny, tiny_dir):
    train = load_arrays(tiny, "train", data_dir=tiny_dir)
    validation = load_arrays(tiny, "validation", data_dir=tiny_dir)
    test = load_arrays(tiny, "test", data_dir=tiny_dir)

    assert (train.rows, validation.rows, test.rows) == (9, 3, 5)
    for arrays in (train, validation, test):
        assert arrays.x.dtype == np.uint8
        assert arrays.x.shape == (arrays.rows, 2, 2, 1)
        assert arrays.context.dtype == np.int32
        # Pixel p of row r is 4 r + p and its label r % 3, so each image tells its own row.
        row = arrays.x[:, 0, 0, 0] // 4
        np.testing.assert_array_equal(arrays.context, row % 3)
        np.testing.assert_array_equal(
            arrays.x.reshape(-1, 4) - 4 * row[:, None], [[0, 1, 2, 3]] * len(row)
        )
    rows = [set((arrays.x[:, 0, 0, 0] // 4).tolist()) for arrays in (train, validation, test)]
    assert rows[0] | rows[1] == set(range(12))
    assert rows[2] == set(range(12, 17))


def test_the_order_is_the_same_each_time(tiny, tiny_dir):
    first = load_arrays(tiny, "train", data_dir=tiny_dir)
    second = load_arrays(tiny, "train", data_dir=tiny_dir)
    whole = load_arrays(dataclasses.replace(tiny, train="train"), "train", data_dir=tiny_dir)
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.x, whole.x[:9])


def test_no_context_unless_declared(tiny, tiny_dir):
    unconditional = dataclasses.replace(tiny, context="")
    assert load_arrays(unconditional, "test", data_dir=tiny_dir).context is None


def test_labels_keep_the_rows_of_their_classes(tiny, tiny_dir):
    whole = load_arrays(tiny, "train", data_dir=tiny_dir)
    kept = np.isin(whole.context, (0, 2))
    some = load_arrays(dataclasses.replace(tiny, labels=(2, 0)), "train", data_dir=tiny_dir)
    np.testing.assert_array_equal(some.x, whole.x[kept])
    np.testing.assert_array_equal(some.context, whole.context[kept])

    unconditional = dataclasses.replace(tiny, context="", labels=(2, 0))
    rows = load_arrays(unconditional, "train", data_dir=tiny_dir)
    assert rows.context is None
    np.testing.assert_array_equal(rows.x, some.x)


def test_more_train_rows_follow_those_of_train_alone(tiny, tiny_dir):
    more = dataclasses.replace(tiny, more_train="zoo_tiny_images")
    own = load_arrays(tiny, "train", data_dir=tiny_dir)
    whole = load_arrays(dataclasses.replace(tiny, train="train"), "train", data_dir=tiny_dir)
    both = load_arrays(more, "train", data_dir=tiny_dir)
    np.testing.assert_array_equal(both.x, np.concatenate([own.x, whole.x]))
    np.testing.assert_array_equal(both.context, np.concatenate([own.context, whole.context]))
    for split in ("validation", "test"):
        np.testing.assert_array_equal(
            load_arrays(more, split, data_dir=tiny_dir).x,
            load_arrays(tiny, split, data_dir=tiny_dir).x,
        )
    unconditional = load_arrays(dataclasses.replace(more, context=""), "train", data_dir=tiny_dir)
    assert unconditional.context is None
    np.testing.assert_array_equal(unconditional.x, both.x)


def test_more_train_rows_must_be_there_and_alike(tiny, tiny_dir, monkeypatch):
    absent = dataclasses.replace(tiny, more_train="zoo_more_images")
    with pytest.raises(DataError, match=r"zoo_more_images 1\.0\.0 is not prepared"):
        load_arrays(absent, "train", data_dir=tiny_dir)
    load, open_builder = sources.load_arrays, sources.open_builder

    def opened(dataset, **options):
        return None if dataset.name == "zoo_more_images" else open_builder(dataset, **options)

    def wider(dataset, split, **options):
        if dataset.name == "zoo_more_images":
            return Arrays(np.zeros((4, 3, 3, 1), np.uint8), np.zeros(4, np.int32))
        return load(dataset, split, **options)

    monkeypatch.setattr(sources, "open_builder", opened)
    monkeypatch.setattr(sources, "load_arrays", wider)
    with pytest.raises(
        DataError, match=r"rows of zoo_more_images cannot follow .*\(3, 3, 1\).*not.*\(2, 2, 1\)"
    ):
        sources.load_arrays(absent, "train", data_dir=tiny_dir)


def test_data_without_classes_refuses_labels():
    with pytest.raises(DataError, match=r"ljspeech has no classes; got labels \[3\]"):
        load_arrays(dataclasses.replace(LJSPEECH, labels=(3,)), "train")


@pytest.mark.parametrize(
    ("change", "split", "message"),
    [
        ({}, "dev", "train, validation, test; got 'dev'"),
        ({"validation": ""}, "validation", "declares no validation split"),
        ({"test": "evaluation"}, "test", "no split 'evaluation'; its splits are"),
        ({"test": "test[5:]"}, "test", "has no rows"),
        ({"feature": "audio"}, "test", "no feature 'audio'; it has image, label"),
        ({"context": "colour"}, "test", "no feature 'colour'"),
        ({"labels": (1, 7, -1)}, "test", "1.0.0 has the labels 0..2; got [7, -1]"),
        ({"labels": (2,), "test": "test[:1]"}, "test", "test, has one of the labels [2]"),
    ],
    ids=[
        "split",
        "empty split string",
        "TFDS split",
        "no rows",
        "feature",
        "context",
        "labels",
        "no such row",
    ],
)
def test_what_is_not_there_is_named(tiny, tiny_dir, change, split, message):
    with pytest.raises(DataError, match=message.replace("[", r"\[")):
        load_arrays(dataclasses.replace(tiny, **change), split, data_dir=tiny_dir)


def test_absent_data_says_what_to_do(tiny, empty_dirs):
    assert not sources.available(tiny)
    with pytest.raises(
        DataError, match=r"not prepared in .*tfds build zoo_tiny_images.*download=True"
    ):
        load_arrays(tiny, "train")
    assert not (empty_dirs / "tfds").exists()


def test_another_version_is_refused(tiny, tiny_dir):
    newer = dataclasses.replace(tiny, version="2.0.0")
    assert sources.available(tiny, data_dir=tiny_dir)
    assert not sources.available(newer, data_dir=tiny_dir)
    with pytest.raises(DataError, match=r"found version 1\.0\.0, which is not the pinned one"):
        load_arrays(newer, "train", data_dir=tiny_dir)


def test_a_renamed_folder_does_not_pass_for_another_version(tiny, tiny_dir, tmp_path):
    shutil.copytree(tiny_dir / tiny.name / "1.0.0", tmp_path / tiny.name / "2.0.0")
    newer = dataclasses.replace(tiny, version="2.0.0")
    with pytest.raises(DataError, match=r"files say they are zoo_tiny_images 1\.0\.0"):
        load_arrays(newer, "train", data_dir=tmp_path)


def test_a_truncated_file_is_refused(tiny, tiny_dir, tmp_path):
    shutil.copytree(tiny_dir, tmp_path, dirs_exist_ok=True)
    (path,) = (tmp_path / tiny.name / "1.0.0").glob("*-test.tfrecord*")
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match="cannot be read"):
        load_arrays(tiny, "test", data_dir=tmp_path)


def test_missing_rows_are_noticed(tiny, tiny_dir, tmp_path):
    shutil.copytree(tiny_dir, tmp_path, dirs_exist_ok=True)
    info = tmp_path / tiny.name / "1.0.0" / "dataset_info.json"
    content = json.loads(info.read_text())
    for split in content["splits"]:
        if split["name"] == "test":
            split["shardLengths"] = ["6"]
    info.write_text(json.dumps(content))
    with pytest.raises(DataError, match="expected to contain 6 elements"):
        load_arrays(tiny, "test", data_dir=tmp_path)


def test_a_failed_download_is_a_data_error(tiny, empty_dirs):
    nowhere = dataclasses.replace(tiny, name="zoo_no_such_dataset")
    with pytest.raises(DataError, match="could not be downloaded and prepared"):
        load_arrays(nowhere, "train", download=True)


def test_where_data_is_looked_for(tiny, tiny_dir, empty_dirs, monkeypatch):
    assert sources.find_prepared(tiny) is None
    shutil.copytree(tiny_dir, empty_dirs / "cache" / "tensorflow_datasets")
    assert sources.find_prepared(tiny) == (
        empty_dirs / "cache" / "tensorflow_datasets" / tiny.name / "1.0.0"
    )
    monkeypatch.setenv("TFDS_DATA_DIR", str(tiny_dir))
    assert sources.find_prepared(tiny) == tiny_dir / tiny.name / "1.0.0"
    assert sources.find_prepared(tiny, data_dir=empty_dirs / "elsewhere") is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ZOO_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a/tensorflow_datasets"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/zoo/tensorflow_datasets"),
        ({}, "/home/someone/.cache/zoo/tensorflow_datasets"),
    ],
    ids=["ZOO_CACHE", "XDG_CACHE_HOME", "home"],
)
def test_the_cache_follows_the_environment(environment, expected, monkeypatch):
    for name in ("ZOO_CACHE", "XDG_CACHE_HOME", "TFDS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert sources.data_dirs() == [Path("/home/someone/tensorflow_datasets"), Path(expected)]


def test_arrays_hold_one_context_a_row():
    with pytest.raises(DataError, match="3 rows and 2 contexts"):
        Arrays(np.zeros((3, 1)), np.zeros(2, np.int32))


def test_take_keeps_rows_and_contexts_together():
    arrays = Arrays(np.arange(5.0), np.arange(5, dtype=np.int32) * 2)
    taken = arrays.take(3)
    np.testing.assert_array_equal(taken.x, [0, 1, 2])
    np.testing.assert_array_equal(taken.context, [0, 2, 4])
    assert arrays.take(99).rows == 5
    assert Arrays(np.arange(5.0)).take(2).context is None


@pytest.mark.parametrize("name", SPLIT_ROWS)
def test_real_splits(name, real_arrays, real_datasets):
    train, *others = SPLIT_ROWS[name]
    for split, rows in zip(("validation", "test"), others, strict=True):
        arrays = real_arrays(name, split)
        assert arrays.x.shape == (rows, *EVENT_SHAPES[name])
        assert arrays.x.dtype == (np.float32 if name == "magic" else np.uint8)
        assert arrays.context.dtype == np.int32
        assert arrays.context.shape == (rows,)
    builder = sources.open_builder(real_datasets[name])
    assert builder.info.splits[real_datasets[name].train].num_examples == train


@pytest.mark.parametrize(
    "name", ["mnist", "fashion_mnist", pytest.param("cifar10", marks=pytest.mark.slow)]
)
def test_real_images_have_the_published_statistics(name, real_arrays):
    x = np.concatenate([real_arrays(name, split).x for split in ("train", "validation")])
    values = np.arange(256) / 255
    for channel, mean, deviation in zip(
        range(x.shape[-1]), *PUBLISHED_STATISTICS[name], strict=True
    ):
        share = np.bincount(x[..., channel].ravel(), minlength=256) / x[..., channel].size
        assert share @ values == pytest.approx(mean, abs=5.1e-5)
        spread = np.sqrt(share @ (values - share @ values) ** 2)
        assert spread == pytest.approx(deviation, abs=5.1e-5)
