"""The 8 x 8 digits: two sources of the same rows, splits by index, what is refused."""

from __future__ import annotations

import dataclasses
import gzip
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from zoo.data import digits, sources
from zoo.data.samples import sample_labels, samples
from zoo.data.sources import load_arrays
from zoo.errors import DataError
from zoo.registry.idf import DIGITS

DATASET = dataclasses.replace(DIGITS, context="label")


@pytest.fixture
def real_file() -> Path:
    path = digits.local_source()
    if path is None:
        pytest.skip("no digits.csv.gz here: pip install 'density-zoo[digits]'")
    return path


@pytest.fixture
def no_source(monkeypatch, tmp_path):
    """A machine without scikit-learn and without raw files."""
    monkeypatch.setattr(digits.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("ZOO_RAW_DATA", str(tmp_path / "raw"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path


def test_the_splits_are_by_index(real_file, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    lines = gzip.decompress(real_file.read_bytes()).decode().split()
    rows = np.array([line.split(",") for line in lines]).astype("uint8")
    splits = [load_arrays(DATASET, name) for name in sources.SPLITS]
    assert [arrays.rows for arrays in splits] == [1000, 350, 447]
    x = np.concatenate([arrays.x for arrays in splits])
    assert (x.dtype, x.shape, x.max()) == (np.uint8, (1797, 8, 8, 1), 16)
    np.testing.assert_array_equal(x.reshape(1797, 64), rows[:, :64])
    labels = np.concatenate([arrays.context for arrays in splits])
    np.testing.assert_array_equal(labels, rows[:, 64])
    np.testing.assert_array_equal(samples("digits"), splits[2].x[:64])
    np.testing.assert_array_equal(sample_labels("digits"), labels[1350:1414])


def test_a_download_is_read_where_there_is_no_source(real_file, no_source, monkeypatch):
    text, folder, asked = gzip.decompress(real_file.read_bytes()), no_source / "zip", []

    def download(manager, url):
        asked.append(url)
        folder.mkdir()
        (folder / "optdigits.tes").write_bytes(text)
        return folder

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", download)
    with pytest.raises(DataError, match=r"download=True"):
        load_arrays(DATASET, "train")
    assert asked == []
    assert not sources.available(DATASET)
    assert load_arrays(DATASET, "test", download=True).rows == 447
    assert asked == [
        "https://archive.ics.uci.edu/static/public/80/optical+recognition+of+handwritten+digits.zip"
    ]
    assert sources.available(DATASET)


def test_scikit_learns_file_is_found_without_importing_it(tmp_path, monkeypatch):
    folder = tmp_path / "sklearn" / "datasets" / "data"
    folder.mkdir(parents=True)
    (tmp_path / "sklearn" / "__init__.py").write_text("raise RuntimeError('not to be imported')")
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    monkeypatch.delenv("ZOO_RAW_DATA", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert digits.local_source() is None
    (folder / "digits.csv.gz").write_bytes(b"other rows")
    assert digits.local_source() == folder / "digits.csv.gz"
    with pytest.raises(DataError, match=r"scikit-learn 1\.9"):
        digits.read_rows(folder / "digits.csv.gz")


def test_raw_files_are_found(real_file, no_source):
    folder = no_source / "raw" / "digits"
    folder.mkdir(parents=True)
    assert digits.local_source() is None
    shutil.copy(real_file, folder)
    assert digits.local_source() == folder / "digits.csv.gz"
    assert sources.available(DATASET)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n", r"1,797 rows.*got \[1, 3\]"),
        ("1,2\n1\n", "Expected rows of 65 integers"),
        ("1,two\n", "Expected rows of 65 integers"),
        ("1,300\n", "Expected rows of 65 integers"),
    ],
)
def test_other_rows_are_refused(tmp_path, text, message):
    path = tmp_path / "optdigits.tes"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        digits.read_rows(path)
