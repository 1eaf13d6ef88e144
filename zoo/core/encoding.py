"""Tables of named columns as rows of numbers, and back (`zoo.core.columns`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.core.columns import Column
from zoo.errors import InvalidInputError
from zoo.media.tables import write_csv

if TYPE_CHECKING:
    from zoo.core.space import Space

__all__ = [
    "days_of",
    "decoded",
    "encoded",
    "frames_encoded",
    "is_frame",
    "is_missing_value",
    "missing_cells",
    "rows_of",
    "text_of",
    "write_rows",
]

_TRUTHS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "1": 1.0, "0": 0.0}
_DAY = np.timedelta64(1, "D") / np.timedelta64(1, "us")


def is_frame(value: Any) -> bool:
    """Whether the value is a table of named columns: a data frame, or a mapping of arrays."""
    return isinstance(value, Mapping) or (hasattr(value, "columns") and hasattr(value, "dtypes"))


def encoded(
    frame: Any, columns: Sequence[Column], name: str = "the table", dtype: Any = np.float64
) -> np.ndarray:
    """The rows of a data frame, by the columns' names: [rows, columns] of the dtype.

    Further columns are passed over. Raises InvalidInputError for a column that is not there, for
    cells that are no value of their column, and for missing ones where the column allows none.
    """
    present = list(frame.columns) if hasattr(frame, "columns") else list(frame)
    if lacking := [column.name for column in columns if column.name not in present]:
        raise InvalidInputError(
            f"{name} lacks the column {lacking[0]!r}; it has {', '.join(map(str, present))[:200]}."
        )
    lengths = {np.shape(frame[column.name])[:1] for column in columns}
    if len(lengths) > 1:
        raise InvalidInputError(
            f"The columns of {name} have different lengths: "
            f"{', '.join(str(*length) for length in sorted(lengths))}."
        )
    # Column by column: millions of rows fit.
    rows = np.empty([*next(iter(lengths), (0,)), len(columns)], dtype)
    for i, column in enumerate(columns):
        rows[:, i] = _encoded(np.asarray(frame[column.name]), column, name)
    return rows


def rows_of(frame: Any, space: Space, name: str) -> np.ndarray:
    """`encoded` in the space's dtype; integers have 64 bits, so that none is another by chance."""
    dtype = np.int64 if space.is_integer else space.dtype
    return encoded(frame, space.columns, name, dtype)


def frames_encoded(
    arguments: Mapping[str, Any], data: Space, context: Space | None
) -> dict[str, Any]:
    """Keras' arguments with numbers in the place of data frames: of x, of y, of validation_data.

    data, context: a model's spaces; one without columns keeps what it is given. Raises what
    `encoded` raises.
    """

    def numbers(value: Any, space: Space | None, name: str) -> Any:
        if space is None or not space.columns or not is_frame(value):
            return value
        return rows_of(value, space, name)

    def pair(value: Any, name: str) -> Any:
        if not isinstance(value, tuple) or len(value) < 2:
            return numbers(value, data, name)
        rows, given, *others = value
        return (numbers(rows, data, name), numbers(given, context, f"{name}'s context"), *others)

    found = dict(arguments)
    for name in ("x", "validation_data"):
        if name in found:
            found[name] = pair(found[name], name)
    if "y" in found:
        found["y"] = numbers(found["y"], context, "y")
    return found


def _encoded(values: np.ndarray, column: Column, name: str) -> np.ndarray:
    if values.ndim != 1:
        raise InvalidInputError(
            f"Column {column.name!r} of {name} must be one value a row; got shape "
            f"{list(values.shape)}."
        )
    missing = missing_cells(values)
    if missing.any() and not column.missing:
        raise InvalidInputError(
            f"Column {column.name!r} of {name} has {int(missing.sum()):,} missing cells, the first "
            f"in row {int(np.argmax(missing))} (counted from 0), and the model's has none: fill "
            "them in, or leave out such rows."
        )
    found = np.full(len(values), np.nan)
    there = ~missing
    found[there] = _numbers(values[there], np.flatnonzero(there), column, name)
    return found


def _numbers(values: np.ndarray, rows: np.ndarray, column: Column, name: str) -> np.ndarray:
    """The numbers of cells that are there.   rows: their places in the table."""
    if column.is_categorical:
        texts = [text_of(value) for value in values]
        known = {text: float(i) for i, text in enumerate(column.categories)}
        if column.kind == "boolean":
            known = _TRUTHS
            texts = [text.lower() for text in texts]
        numbers = np.array([known.get(text, np.nan) for text in texts])
        expected = ", ".join(column.categories)
        expected = expected if len(expected) <= 200 else f"{expected[:200]}…"
        _refuse(~np.isfinite(numbers), values, rows, column, name, f"one of {expected}")
        return numbers
    if column.kind == "date":
        days = days_of(values)
        _refuse(~np.isfinite(days), values, rows, column, name, "a date, such as 2024-12-31")
        return days
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        numbers = np.array([_number(value) for value in values])
    _refuse(~np.isfinite(numbers), values, rows, column, name, "a finite number")
    return numbers


def _refuse(
    bad: np.ndarray,
    values: np.ndarray,
    rows: np.ndarray,
    column: Column,
    name: str,
    expected: str,
) -> None:
    if bad.any():
        first = int(np.argmax(bad))
        raise InvalidInputError(
            f"Expected {expected} in row {rows[first]} (counted from 0), column {column.name!r} of "
            f"{name}; got {values[first]!r}."
        )


def missing_cells(values: np.ndarray) -> np.ndarray:
    """Which cells are missing: NaN, NaT, None and pandas' NA; bool of the values' shape."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind == "O":
        return np.array([is_missing_value(value) for value in values], bool)
    return np.zeros(values.shape, bool)


def is_missing_value(value: Any) -> bool:
    """Whether one cell is missing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def text_of(value: Any) -> str:
    """A cell as the text of a category: of whole numbers without a point."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def days_of(values: np.ndarray) -> np.ndarray:
    """Days since 1970-01-01 of dates: datetimes, or texts as ISO 8601 writes them; else NaN."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]").astype(np.int64) / _DAY
    days = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        try:
            moment = np.datetime64(str(value).strip().removesuffix("Z"), "us")
        except ValueError:
            continue
        if not np.isnat(moment):
            days[i] = moment.astype(np.int64) / _DAY
    return days


def _number(value: Any) -> float:
    if isinstance(value, str):  # of digits that float takes and no table means, 1_000
        text = value.strip()
        if "_" in text or not text.isascii():
            return np.nan
        value = text
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def decoded(rows: Any, columns: Sequence[Column]) -> dict[str, np.ndarray]:
    """The columns of rows [n, columns] by name, as a person writes their values.

    Texts for categories, bool for booleans, int64 for integers, datetime64 for dates, float64 else;
    missing cells are None among texts and NaN among numbers.
    """
    rows = np.asarray(rows, np.float64)
    return {column.name: _decoded(rows[:, i], column) for i, column in enumerate(columns)}


def _decoded(values: np.ndarray, column: Column) -> np.ndarray:
    missing = np.isnan(values)
    if column.is_categorical:
        names: Any = [False, True] if column.kind == "boolean" else list(column.categories)
        beyond = ~missing & ~np.isin(values, np.arange(len(names)))
        if beyond.any():
            raise InvalidInputError(
                f"Column {column.name!r} has {len(names)} categories, 0..{len(names) - 1}; got "
                f"{values[beyond][0]:g}."
            )
        found = np.array(
            [None if m else names[int(v)] for v, m in zip(values, missing, strict=True)]
        )
        return found.astype(bool) if column.kind == "boolean" and not missing.any() else found
    if column.kind == "date":
        safe = np.where(missing, 0.0, values)
        unit = "D" if column.whole else "s"
        moments = np.round(safe * _DAY).astype("datetime64[us]").astype(f"datetime64[{unit}]")
        moments[missing] = np.datetime64("NaT")
        return moments
    if column.is_whole and not missing.any():
        return values.astype(np.int64)
    return values


def write_rows(path: Path | None, rows: Any, space: Space, names: Sequence[str] = ()) -> None:
    """Rows as CSV: numbers, or a table's columns as a person writes them.   None: to stdout.

    names: of numbers that have some.
    """
    if not space.columns:
        write_csv(path, np.asarray(rows), list(names))
        return
    cells = [np.asarray(values).astype(str) for values in decoded(rows, space.columns).values()]
    write_csv(path, np.stack(cells, axis=1), [column.name for column in space.columns])
