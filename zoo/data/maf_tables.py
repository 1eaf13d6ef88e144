"""POWER, GAS, HEPMASS and MINIBOONE: the tables of the MAF paper, as TFDS builders of our own.

Papamakarios, Pavlakou & Murray 2017, arXiv:1705.07057, Appendix D; the preprocessing is that of the
authors' code, row for row, so that figures compare. The rows are stored standardised, as float32:
in these four the paper's space is the data's.

    dataset     columns     train   validation     test    source in the archive's data/
    power             6  1,659,917    184,435   204,928    power/data.npy
    gas               8    852,174     94,685   105,206    gas/ethylene_CO.pickle
    hepmass          21    315,123     35,013   174,987    hepmass/1000_train.csv, 1000_test.csv
    miniboone        43     29,556      3,284     3,648    miniboone/data.npy

Source: the folder `$ZOO_RAW_DATA/<dataset>` with these files, else the authors' archive at Zenodo
(`URL`, 0.8 GB, record 1161203). Numbers of rows and columns are checked. The rows come from the UCI
repository: household power (CC BY 4.0), gas sensors under dynamic mixtures, HEPMASS and MiniBooNE.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from zoo.data import building
from zoo.errors import DataError

__all__ = [
    "NAMES",
    "SHAPES",
    "URL",
    "VERSION",
    "Gas",
    "Hepmass",
    "Miniboone",
    "Power",
    "Table",
    "local_source",
    "prepare",
    "read_gas",
    "read_hepmass",
    "read_miniboone",
    "read_power",
]

VERSION = "1.0.0"
URL = "https://zenodo.org/record/1161203/files/data.tar.gz?download=1"
MAX_CORRELATION = 0.98
MAX_REPEATS = 5
# columns, rows of train, validation and test
SHAPES = {
    "power": (6, 1_659_917, 184_435, 204_928),
    "gas": (8, 852_174, 94_685, 105_206),
    "hepmass": (21, 315_123, 35_013, 174_987),
    "miniboone": (43, 29_556, 3_284, 3_648),
}
NAMES = tuple(SHAPES)


class Table(NamedTuple):
    """The three splits, each float64 [rows, columns], standardised."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """{"features": float32 [columns]}."""

    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "The MAF paper's rows."}

    def _info(self) -> Any:
        return building.rows_info(
            self,
            columns=SHAPES[self.name][0],
            description=f"{self.name.upper()} as the MAF paper prepares it, standardised.",
            homepage="https://zenodo.org/record/1161203",
            licence="of the UCI repository's sets: cite their sources",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        folder = building.raw_folder(self.name)
        if folder is None:
            folder = Path(dl_manager.download_and_extract(URL)) / "data" / self.name
        table = _READERS[self.name](folder)
        found = (table.train.shape[1], *(len(rows) for rows in table))
        if found != SHAPES[self.name]:
            raise DataError(
                f"Expected {self.name} in {folder} to have {SHAPES[self.name]} columns and rows of "
                f"train, validation and test; it has {found}."
            )
        return {
            name: self._generate_examples(rows)
            for name, rows in zip(Table._fields, table, strict=True)
        }

    def _generate_examples(self, rows: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        return building.numbered_rows(rows.astype(np.float32))


class Power(_Builder):
    """Household power consumption: 6 columns."""


class Gas(_Builder):
    """Gas sensors in mixtures of ethylene and CO: 8 columns."""


class Hepmass(_Builder):
    """Particle collisions with a new particle of mass 1000: 21 columns."""


class Miniboone(_Builder):
    """Electron neutrinos of the MiniBooNE experiment: 43 columns."""


def read_power(folder: Path) -> Table:
    """Rows shuffled, two columns dropped, noise added, standardised by train and validation.

    The noise has the width of a column's rounding: 0.001, 0.01, then 1 for the three meters; the
    time has none. Shuffle and noise are those of NumPy's RandomState(42), as the authors drew them.
    """
    data = _array(folder / "data.npy")
    rng = np.random.RandomState(42)
    rng.shuffle(data)
    data = np.delete(data, [1, 3], axis=1)
    rows = len(data)
    voltage = 0.01 * rng.rand(rows, 1)
    intensity = 0.001 * rng.rand(rows, 1)
    meters = rng.rand(rows, 3)
    data += np.hstack([intensity, voltage, meters, np.zeros([rows, 1])])
    return _standardised_by_train_and_validation(*_cut(data))


def read_miniboone(folder: Path) -> Table:
    """Rows as they are, standardised by train and validation together."""
    return _standardised_by_train_and_validation(*_cut(_array(folder / "data.npy")))


def read_gas(folder: Path) -> Table:
    """Three columns dropped, then the first of any with a correlation above 0.98, until none is.

    Standardised by the mean and deviation of all rows.
    """
    columns, data = _frame(folder / "ethylene_CO.pickle")
    dropped = ("Meth", "Eth", "Time")
    missing = [name for name in dropped if name not in columns]
    if missing:
        raise DataError(
            f"Expected the columns {', '.join(dropped)} in {folder / 'ethylene_CO.pickle'}; "
            f"{', '.join(missing)} is not among {', '.join(columns)}."
        )
    data = data[:, [i for i, name in enumerate(columns) if name not in dropped]]
    while True:
        correlated = (np.corrcoef(data.T) > MAX_CORRELATION).sum(1) > 1
        if not correlated.any():
            break
        data = np.delete(data, np.flatnonzero(correlated)[0], axis=1)
    data = (data - data.mean(0)) / data.std(0, ddof=1)
    return Table(*_cut(data))


def read_hepmass(folder: Path) -> Table:
    """Rows of label 1 without it, standardised by train, without columns of repeated values.

    A column goes where its smallest value occurs more than 5 times in train. The last tenth of
    train is validation.
    """
    train = _csv(folder / "1000_train.csv")
    test = _csv(folder / "1000_test.csv", columns=train.shape[1])
    train, test = (rows[rows[:, 0] == 1.0, 1:] for rows in (train, test))
    mean, deviation = train.mean(0), train.std(0, ddof=1)
    train, test = (train - mean) / deviation, (test - mean) / deviation
    kept = (train == train.min(0)).sum(0) <= MAX_REPEATS
    train, test = train[:, kept], test[:, kept]
    validation = len(train) // 10
    return Table(train[:-validation], train[-validation:], test)


_READERS = {
    "power": read_power,
    "gas": read_gas,
    "hepmass": read_hepmass,
    "miniboone": read_miniboone,
}


def _cut(data: np.ndarray) -> Table:
    """The last tenth is test, the last tenth of the rest validation."""
    test = int(0.1 * len(data))
    validation = int(0.1 * (len(data) - test))
    end = len(data) - test
    return Table(data[: end - validation], data[end - validation : end], data[end:])


def _standardised_by_train_and_validation(
    train: np.ndarray, validation: np.ndarray, test: np.ndarray
) -> Table:
    known = np.concatenate([train, validation])
    mean, deviation = known.mean(0), known.std(0)
    return Table(*((rows - mean) / deviation for rows in (train, validation, test)))


def _array(path: Path) -> np.ndarray:
    """A numeric .npy file of two dimensions, as float64. Raises DataError for another."""
    try:
        data = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as .npy: {error}") from error
    return _checked(data, path)


def _csv(path: Path, columns: int | None = None) -> np.ndarray:
    """The numbers below a header line; only the first `columns`, where that is given."""
    try:
        with path.open(encoding="utf-8") as lines:
            count = columns or len(lines.readline().split(","))
        data = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(count), ndmin=2)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{path} cannot be read as numbers with commas: {error}") from error
    return _checked(data, path)


def _checked(data: np.ndarray, path: Path) -> np.ndarray:
    if data.ndim != 2 or data.dtype.kind not in "fiu" or not np.isfinite(data).all():
        raise DataError(
            f"Expected finite numbers [rows, columns] in {path}; got {data.dtype} of shape "
            f"{list(data.shape)}, or NaN."
        )
    return data.astype(np.float64)


# What a pickled table of numbers is made of; anything else is refused unread.
_PICKLED = {
    "DataFrame",
    "BlockManager",
    "Float64Index",
    "Index",
    "Int64Index",
    "RangeIndex",
    "_frombuffer",
    "_new_Index",
    "_reconstruct",
    "_unpickle_block",
    "dtype",
    "ndarray",
    "slice",
    "scalar",
    "__newobj__",
}
_PICKLING_PACKAGES = {"pandas", "numpy", "copyreg", "copy_reg", "builtins", "__builtin__"}


def _frame(path: Path) -> tuple[list[str], np.ndarray]:
    """(column names, float64 [rows, columns]) of a pickled pandas table.

    A pickle can name any function to be called. Only the classes of a table are let through.
    Raises DataError for other pickles, and where pandas is not installed.
    """
    try:
        from pandas.compat.pickle_compat import Unpickler
    except ImportError as error:
        raise DataError(f"Reading {path} needs pandas: pip install pandas.") from error

    class TableUnpickler(Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if name not in _PICKLED or module.partition(".")[0] not in _PICKLING_PACKAGES:
                raise pickle.UnpicklingError(f"it names {module}.{name}, which is no table's")
            return super().find_class(module, name)

    try:
        with path.open("rb") as stream:
            frame = TableUnpickler(stream, encoding="latin1").load()
        names, values = [str(name) for name in frame.columns], frame.to_numpy()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except Exception as error:
        raise DataError(f"{path} cannot be read as a pickled table: {error}") from error
    return names, _checked(values, path)


def local_source(name: str) -> Path | None:
    """`$ZOO_RAW_DATA/<name>` with the table's files, or None."""
    return building.raw_folder(name)


def prepare(name: str, *, data_dir: str | Path | None = None, download: bool = False) -> Path:
    """Prepares one of `NAMES` where it is absent; returns its directory (`building.prepare`)."""
    builders = {"power": Power, "gas": Gas, "hepmass": Hepmass, "miniboone": Miniboone}
    return building.prepare(
        builders[name],
        name=name,
        version=VERSION,
        source=f"those of the MAF archive's data/{name}",
        data_dir=data_dir,
        download=download,
    )
