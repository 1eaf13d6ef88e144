"""Tables of a user's own, from files: data frames of named columns, as they stand.

.csv and .tsv with a header, .parquet, and .npy or .npz of numbers [rows, columns].
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import extras
from zoo.core.columns import Column
from zoo.core.encoding import decoded
from zoo.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SUFFIXES", "as_frame", "frame_of", "read_frame"]

SUFFIXES = (".csv", ".tsv", ".parquet", ".npy", ".npz")
_MISSING = ("?",)  # beside pandas' own words


def read_frame(path: Path) -> pd.DataFrame:
    """The table in a file.

    Raises InvalidInputError for a file of another kind, one that cannot be read, and a header whose
    names are not there, are numbers or are given twice.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInputError(f"Expected a table, {', '.join(SUFFIXES)}; got {str(path)!r}.")
    if not path.is_file():
        raise InvalidInputError(f"No file {path}.")
    pd = extras.pandas()
    try:
        if suffix in (".npy", ".npz"):
            return as_frame(_array(path))
        if suffix == ".parquet":
            return as_frame(pd.read_parquet(path))
        separator = "\t" if suffix == ".tsv" else ","
        _check_header(path, separator)
        return as_frame(
            pd.read_csv(
                path, sep=separator, na_values=_MISSING, low_memory=False, encoding="utf-8-sig"
            )
        )
    except (OSError, ValueError, UnicodeError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{path} cannot be read as {suffix}: {error}") from error


def as_frame(data: Any) -> pd.DataFrame:
    """A data frame of a frame, a mapping of columns, or numbers [rows, columns] (x0, x1, …)."""
    pd = extras.pandas()
    if isinstance(data, pd.DataFrame):
        frame = data.reset_index(drop=True)
    elif hasattr(data, "to_pandas"):
        frame = data.to_pandas()
    elif isinstance(data, dict):
        frame = pd.DataFrame(data)
    else:
        rows = np.asarray(data)
        if rows.ndim != 2 or rows.dtype.kind not in "fiub":
            raise InvalidInputError(
                "Expected a data frame, or numbers of shape [rows, columns]; got "
                f"{type(data).__name__} of shape {list(rows.shape)} and dtype {rows.dtype}."
            )
        frame = pd.DataFrame(rows, columns=[f"x{i}" for i in range(rows.shape[1])])
    numbered = list(frame.columns) == list(range(len(frame.columns)))  # pandas names no columns
    names = [f"x{name}" if numbered else str(name) for name in frame.columns]
    _check_names(names, "The table")
    frame.columns = names
    return frame


def frame_of(
    rows: Any,
    columns: Sequence[Column],
    *,
    dtypes: Mapping[str, Any] | None = None,
    index: Any = None,
) -> pd.DataFrame:
    """A data frame of rows of numbers [n, columns], with the values that the numbers stand for.

    Categories have pandas' dtype of them, truth values bool, integers int64, dates datetime64, all
    else float64; missing cells are NaN, NaT or pandas' NA.
    dtypes: of the frame that the columns were told from, {name: dtype}, to go back to.
    """
    pd = extras.pandas()
    found = {}
    for column, values in zip(columns, decoded(rows, columns).values(), strict=True):
        series = pd.Series(values, index=index)
        if column.kind == "category":
            series = series.astype(pd.CategoricalDtype(list(column.categories)))
        elif column.kind == "boolean" and series.isna().any():
            series = series.astype("boolean")
        wanted = (dtypes or {}).get(column.name)
        found[column.name] = series if wanted is None else _converted(series, wanted)
    return pd.DataFrame(found, index=index)


def _converted(series: Any, dtype: Any) -> Any:
    """The series as the dtype, which its values came from; as it is where some are missing."""
    if str(series.dtype) == "category":
        if str(dtype) == "category" and [str(c) for c in dtype.categories] == list(
            series.cat.categories
        ):
            return series.cat.rename_categories(list(dtype.categories))
        series = series.astype(object)
    try:
        return series.astype(dtype)
    except (TypeError, ValueError):
        return series


def _array(path: Path) -> np.ndarray:
    content: Any = np.load(path, allow_pickle=False)
    if isinstance(content, np.ndarray):
        return content
    keys = content.files
    key = "x" if "x" in keys else keys[0] if len(keys) == 1 else ""
    if not key:
        raise InvalidInputError(f"{path} needs its rows under the key x; it has {', '.join(keys)}.")
    found: np.ndarray = content[key]
    return found


def _check_header(path: Path, separator: str) -> None:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        first = next(csv.reader(stream, delimiter=separator), [])
    if len(first) == 1 and ";" in first[0]:
        raise InvalidInputError(
            f"{path} seems to be parted by semicolons: write it with commas, and points for "
            "decimals."
        )
    _check_names(first, str(path))


def _check_names(names: list[str], where: str) -> None:
    if not names or any(not name.strip() for name in names):
        raise InvalidInputError(
            f"{where} needs a first line with a name for every column; got {', '.join(names)!r}."
        )
    if numbers := [name for name in names if _is_number(name)]:
        raise InvalidInputError(
            f"{where} begins with {numbers[0]!r} where the name of a column was expected: give it "
            "a first line of names."
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInputError(
            f"{where} has {names.count(twice[0])} columns named {twice[0]!r}: rename all but one."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
