"""BSDS300 patches from small images, against the protocol's own words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from zoo.data import bsds300, sources
from zoo.errors import DataError
from zoo.registry.entry import BSDS300


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> Path:
    """`$ZOO_RAW_DATA` with three train images and one test image, and few rows asked for."""
    monkeypatch.setenv("ZOO_RAW_DATA", str(tmp_path / "raw"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "prepared"))
    monkeypatch.setattr(bsds300, "_IMAGES", {"train": 3, "test": 1})
    monkeypatch.setattr(
        bsds300,
        "_SPLITS",
        {
            "bsds300": {
                "train": ("train", 300, 0),
                "validation": ("train", 50, 1),
                "test": ("test", 40, 2),
            },
            "bsds300_extra": {"train": ("train", 500, 3)},
        },
    )
    for split, count in (("train", 3), ("test", 1)):
        folder = tmp_path / "raw" / "bsds300" / split
        folder.mkdir(parents=True)
        for i in range(count):
            shape = (321, 481, 3) if i % 2 else (481, 321, 3)
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{i}.jpg")
    return tmp_path / "raw" / "bsds300"


def test_patches_are_windows_of_the_images(rng: np.random.Generator) -> None:
    """Pixels hold their place: each patch must be eight runs of eight neighbours."""
    images = [
        np.arange(12 * 20, dtype=np.uint8).reshape(12, 20),
        np.arange(9 * 10, dtype=np.uint8).reshape(9, 10) + 100,
    ]
    patches = bsds300.draw_patches(images, 400, rng)
    assert patches.shape == (400, 64)
    assert patches.dtype == np.uint8
    corners = set()
    for patch in patches.reshape(-1, 8, 8).astype(int):
        assert (np.diff(patch, axis=1) % 256 == 1).all()
        steps = np.diff(patch, axis=0) % 256
        assert (steps == 20).all() or (steps == 10).all()
        corners.add((int(steps[0, 0]), int(patch[0, 0])))
    # 5 x 13 places in the one, 2 x 3 in the other: the small image is drawn as often.
    assert {corner for step, corner in corners if step == 10} == {100, 101, 102, 110, 111, 112}
    assert len(corners) > 60


def test_rows_are_dequantised_patches_without_their_mean(rng: np.random.Generator) -> None:
    patches = rng.integers(0, 256, (50, 64), dtype=np.uint8)
    rows = bsds300.to_rows(patches, np.random.default_rng(3))
    noise = np.random.default_rng(3).random((50, 64))
    values = (patches + noise) / 256.0
    expected = (values - values.mean(1)[:, None])[:, :63]
    assert rows.dtype == np.float32
    assert_allclose(rows, expected, atol=1e-7)
    # The last pixel is minus the sum of the others.
    assert_allclose(-rows.sum(1), (values - values.mean(1)[:, None])[:, 63], atol=1e-5)


def test_prepared_splits_come_from_their_images_and_repeat(raw: Path, tmp_path: Path) -> None:
    assert sources.available(BSDS300)
    arrays = {split: sources.load_arrays(BSDS300, split).x for split in sources.SPLITS}
    shapes = {split: x.shape for split, x in arrays.items()}
    assert shapes == {"train": (300, 63), "validation": (50, 63), "test": (40, 63)}
    assert all(x.dtype == np.float32 for x in arrays.values())
    again = tmp_path / "again"
    bsds300.prepare(data_dir=again)
    for split, x in arrays.items():
        assert_array_equal(sources.load_arrays(BSDS300, split, data_dir=again).x, x)
    # No two splits share rows, and the test image is seen by the test split alone.
    images = bsds300.read_images(raw / "test", 1)
    rng = np.random.default_rng(2)
    patches = bsds300.draw_patches(images, 40, rng)
    assert_array_equal(arrays["test"], bsds300.to_rows(patches, rng))
    assert not (arrays["train"][:50] == arrays["validation"]).any()


def test_extra_rows_are_further_draws_from_the_train_images(raw: Path) -> None:
    extra = dataclasses.replace(BSDS300, name="bsds300_extra")
    assert sources.available(extra)
    rows = sources.load_arrays(extra, "train").x
    generator = np.random.default_rng(3)
    patches = bsds300.draw_patches(bsds300.read_images(raw / "train", 3), 500, generator)
    assert_array_equal(rows, bsds300.to_rows(patches, generator))
    with pytest.raises(DataError, match="has no split 'test'"):
        sources.load_arrays(extra, "test")
    both = sources.load_arrays(dataclasses.replace(BSDS300, more_train="bsds300_extra"), "train").x
    assert both.shape == (800, 63)
    assert_array_equal(both[300:], rows)


def test_absent_photographs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_RAW_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"bsds300_extra 1\.0\.0 is not.*whose subfolder bsds300 "):
        bsds300.prepare("bsds300_extra", data_dir=tmp_path / "prepared")


def test_missing_or_wrong_photographs_are_refused(raw: Path) -> None:
    (raw / "train" / "1.jpg").unlink()
    with pytest.raises(DataError, match=r"Expected 3 photographs \*\.jpg in .*; 2 are there"):
        bsds300.read_images(raw / "train", 3)
    (raw / "train" / "1.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read as an image"):
        bsds300.read_images(raw / "train", 3)
    Image.new("RGB", (30, 40)).save(raw / "train" / "1.jpg")
    with pytest.raises(DataError, match="it has 40 x 30"):
        bsds300.prepare()
