"""Handwritten digits of 8 x 8 pixels (UCI 80, the test file): a TFDS builder of our own.

1,797 images of digits by 13 writers, 64 counts from 0 to 16 each, and the digit. E. Alpaydin and
C. Kaynak, Optical Recognition of Handwritten Digits; https://doi.org/10.24432/C50P49, CC BY 4.0.

Splits are fixed, by index in the file's order, as Tomczak divides them (arXiv:2011.15056): the
first 1,000 rows train, the next 350 validation, the last 447 test. The file is part of UCI 80 and
is called its test set; `optdigits` of other collections holds these rows among 5,620.

Source of the rows:

- `digits.csv.gz` of the PyPI package scikit-learn, in the package where it is installed
  (`pip install density-zoo[digits]`) or in `$ZOO_RAW_DATA/digits`; it is read as a file, no code of
  scikit-learn is imported, and it is checked by SHA-256;
- else the zip file at UCI (`URL`), whose `optdigits.tes` holds the same rows.

UCI publishes no checksum, so that wherever rows come from, their numbers are checked by SHA-256.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from zoo.data import building
from zoo.errors import DataError

__all__ = [
    "NAME",
    "SPLITS",
    "URL",
    "VERSION",
    "Digits",
    "local_source",
    "prepare",
    "read_rows",
    "rows_of",
]

NAME, VERSION = "digits", "1.0.0"
URL = "https://archive.ics.uci.edu/static/public/80/optical+recognition+of+handwritten+digits.zip"
SPLITS = {"train": slice(0, 1000), "validation": slice(1000, 1350), "test": slice(1350, 1797)}

_FILE = "digits.csv.gz"
_FILE_SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
# Of the rows as uint8 [1797, 65], in C order.
_ROWS_SHA256 = "68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2"


class Digits(tfds.core.GeneratorBasedBuilder):
    """TFDS builder: {"image": uint8 [8, 8, 1], "label": 0..9}."""

    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "1,000, 350 and 447 rows, by index."}

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Handwritten digits: how many of 4 x 4 pixels are on, in 8 x 8 blocks.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            license="CC BY 4.0",
            disable_shuffling=True,  # rows stay in the file's order
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        path = local_source()
        if path is None:
            path = Path(dl_manager.download_and_extract(URL)) / "optdigits.tes"
        images, labels = read_rows(path)
        return {
            name: self._generate_examples(images[rows], labels[rows])
            for name, rows in SPLITS.items()
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield row, {"image": image, "label": int(label)}


def local_source(name: str = NAME) -> Path | None:
    """scikit-learn's file of the rows on this machine; None where there is none."""
    del name
    spec = importlib.util.find_spec("sklearn")
    roots = [Path(root, "datasets", "data") for root in _locations(spec)]
    raw = building.raw_folder(NAME)
    for root in [*roots, raw] if raw else roots:
        if (root / _FILE).is_file():
            return root / _FILE
    return None


def _locations(spec: Any) -> list[str]:
    return list(spec.submodule_search_locations or ()) if spec else []


def read_rows(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The rows of `digits.csv.gz`, or of `optdigits.tes`.

    Returns:
        images uint8 [1797, 8, 8, 1] and labels uint8 [1797].

    Raises:
        DataError: the file is not the pinned one, or its rows are not UCI's.
    """
    content = path.read_bytes()
    if path.name == _FILE:
        found = hashlib.sha256(content).hexdigest()
        if found != _FILE_SHA256:
            raise DataError(
                f"Expected {path} to be that of scikit-learn 1.9 (SHA-256 {_FILE_SHA256}); its "
                f"SHA-256 is {found}."
            )
        content = gzip.decompress(content)
    return rows_of(content, f"1,797 rows of UCI 80's test file in {path}", _ROWS_SHA256)


def rows_of(content: bytes, expected: str, sha256: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, 8, 8, 1] and labels uint8 [n] of lines of 65 integers.

    Raises DataError for lines that are none, or whose rows have another SHA-256 than this one.
    """
    try:
        lines = content.decode("ascii").split()
        rows = np.array([[int(n) for n in line.split(",")] for line in lines], np.uint8)
    except (ValueError, OverflowError) as error:
        raise DataError(f"Expected rows of 65 integers, the {expected}: {error}.") from error
    found = hashlib.sha256(rows.tobytes()).hexdigest()
    if found != sha256:
        raise DataError(
            f"Expected the {expected} (SHA-256 {sha256}); got {list(rows.shape)} with {found}."
        )
    return rows[:, :64].reshape(-1, 8, 8, 1), rows[:, 64]


def prepare(
    name: str = NAME, *, data_dir: str | Path | None = None, download: bool = False
) -> Path:
    """Prepares the dataset where it is absent; returns its directory. Raises DataError."""
    return building.prepare(
        Digits,
        name=name,
        version=VERSION,
        source=f"scikit-learn's {_FILE}, which pip install 'density-zoo[digits]' brings too",
        data_dir=data_dir,
        download=download or local_source() is not None,
    )
