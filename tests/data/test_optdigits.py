"""All optical digits: the authors' split, two sources of the same rows, what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from zoo.data import digits, optdigits
from zoo.data.samples import samples
from zoo.errors import DataError


@pytest.fixture
def real_file() -> Path:
    path = optdigits.local_source()
    if path is None:
        pytest.skip("no optdigits.dat here: pip install 'density-zoo[magic]'")
    return path


def test_the_test_rows_are_those_of_the_digits(real_file):
    images, labels = optdigits.read_rows(real_file)
    assert (images.shape, images.dtype, images.max()) == ((5620, 8, 8, 1), np.uint8, 16)
    assert np.bincount(labels).tolist() == [554, 571, 557, 572, 568, 558, 558, 566, 554, 562]
    other = digits.local_source()
    if other is None:
        pytest.skip("no digits.csv.gz here: pip install 'density-zoo[digits]'")
    tested = optdigits.SPLITS["test"]
    known_images, known_labels = digits.read_rows(other)
    np.testing.assert_array_equal(images[tested], known_images)
    np.testing.assert_array_equal(labels[tested], known_labels)


def test_prepared_rows_are_counts_and_binary_images(real_file, real_arrays, real_datasets):
    images, labels = optdigits.read_rows(real_file)
    test = real_arrays("optdigits", "test")
    np.testing.assert_array_equal(test.x, images[3823:] >= 8)
    np.testing.assert_array_equal(test.context, labels[3823:])
    np.testing.assert_array_equal(samples("optdigits"), test.x[:64])
    assert real_arrays("optdigits", "train").rows == 3440
    assert real_arrays("optdigits", "validation").rows == 383
    from zoo.data.sources import load_arrays

    counts = dataclasses.replace(real_datasets["optdigits"], feature="image", test="test[:5]")
    np.testing.assert_array_equal(load_arrays(counts, "test").x, images[3823:3828])


def test_ucis_two_files_are_read_and_others_refused(real_file, tmp_path, monkeypatch):
    monkeypatch.setattr(optdigits.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("ZOO_RAW_DATA", str(tmp_path))
    lines = real_file.read_text("ascii").splitlines(keepends=True)
    folder = tmp_path / "optdigits"
    folder.mkdir()
    (folder / "optdigits.tra").write_text("".join(lines[:3823]))
    assert optdigits.local_source() is None
    (folder / "optdigits.tes").write_text("".join(lines[3823:]))
    assert optdigits.local_source() == folder
    assert optdigits.read_rows(folder)[0].shape == (5620, 8, 8, 1)
    (folder / "optdigits.tes").write_text("".join(lines[3824:]))
    with pytest.raises(DataError, match=r"5,620 rows.*got \[5619, 65\]"):
        optdigits.read_rows(folder)
    (folder / "optdigits.tes").write_text("1,two\n")
    with pytest.raises(DataError, match="65 integers"):
        optdigits.read_rows(folder)
