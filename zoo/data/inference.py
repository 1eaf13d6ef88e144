"""What the columns of a table are, told from their values (`zoo.core.columns`).

    texts                         dates where all of them are ISO 8601, else categories
    truth values, or 0 and 1      boolean
    whole numbers                 counts, where none is negative, else integers
    numbers above 0, skewed       positive: skewness above 2, and less of it in the logarithm
    other numbers                 real; heavy, where Hill's estimate of the tail index is below 3 or
                                  a value lies 20 times as far out as the middle two thirds

A kind that the user gives stands in place of these, as "bounded:0:1" or "circular:24" does with
its numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.core.columns import KINDS, Column
from zoo.core.encoding import days_of, missing_cells, text_of
from zoo.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["hill_index", "infer_columns", "measured"]

MOST_CATEGORIES = 1000
HEAVY_INDEX = 3.0  # below it the third moment is infinite
_FAR_OUT = 20.0
_TAIL_SHARE = 0.02
_SKEWED = 2.0
_LARGEST_INTEGER = 2**22


def infer_columns(
    frame: pd.DataFrame, kinds: Mapping[str, str] | None = None, *, missing: bool = False
) -> tuple[Column, ...]:
    """The columns of a table, in its order, measured on all of its rows.

    kinds: of some columns, {name: kind}.   missing: whether cells may be missing.

    Raises InvalidInputError, with the column and what mends it, for columns that are constant, of
    mixed types, names or numbers of rows, or not of the kind that was given.
    """
    kinds = dict(kinds or {})
    if unknown := [name for name in kinds if name not in frame.columns]:
        raise InvalidInputError(
            f"No column {unknown[0]!r}; the table has {', '.join(frame.columns)}."
        )
    if not missing:
        _refuse_missing(frame)
    columns = []
    for name in frame.columns:
        values = _plain(frame[name])
        there = ~missing_cells(values)
        column = _column(str(name), values[there], np.flatnonzero(there), kinds.get(name, ""))
        columns.append(dataclasses.replace(column, missing=bool(missing and not there.all())))
    return tuple(columns)


def _plain(series: Any) -> np.ndarray:
    """A column of a frame as NumPy values: categories as their texts, missing cells as None."""
    dtype = str(series.dtype)
    if dtype == "category" or dtype.startswith(("string", "Int", "UInt", "Float", "boolean")):
        return np.asarray(series.astype(object))
    return np.asarray(series)


def _refuse_missing(frame: pd.DataFrame) -> None:
    counts = {name: int(missing_cells(_plain(frame[name])).sum()) for name in frame.columns}
    if found := {name: count for name, count in counts.items() if count}:
        text = ", ".join(f"{name}: {count:,}" for name, count in found.items())
        raise InvalidInputError(
            f"The table has missing cells ({text} of {len(frame):,}). Fill them in, leave those "
            "rows or columns out (--drop NAME), or learn from the cells that are there: "
            "--missing marginalise."
        )


def _column(name: str, values: np.ndarray, rows: np.ndarray, given: str) -> Column:
    if not len(values):
        raise InvalidInputError(f"Column {name!r} is empty: leave it out (--drop {name}).")
    kind, *numbers = given.split(":")
    if kind and kind not in KINDS:
        raise InvalidInputError(
            f"Column {name!r}: expected one of {', '.join(KINDS)}; got {kind!r}."
        )
    if kind in ("category", "boolean"):
        return _categories(name, values, kind)
    if kind == "date":
        return _dates(name, values, rows)
    if values.dtype.kind == "b":
        return _categories(name, values, "boolean")
    if values.dtype.kind == "M":
        return _dates(name, values, rows)
    if values.dtype.kind not in "fiu":
        if not kind and not _mixed(name, values, rows):
            return _texts(name, values)
        values = _as_numbers(name, values, rows, kind)
    return _number(name, values.astype(np.float64), kind, numbers)


def _texts(name: str, values: np.ndarray) -> Column:
    first = days_of(values[:100])
    if np.isfinite(first).all() and np.isfinite(days := days_of(values)).all():
        return _of_days(name, days)
    return _categories(name, values, "category")


def _mixed(name: str, values: np.ndarray, rows: np.ndarray) -> bool:
    """Whether all are numbers. Raises InvalidInputError where some are, and most of the others."""
    numeric = np.array([_is_number(value) for value in values])
    if numeric.all() or not numeric.any():
        return bool(numeric.all())
    if isinstance(values[0], bool | np.bool_) and not any(isinstance(v, str) for v in values):
        return False
    odd = int(np.argmin(numeric)) if numeric.mean() > 0.5 else int(np.argmax(numeric))
    most, few = ("numbers", "texts") if numeric.mean() > 0.5 else ("texts", "numbers")
    count = int(min(numeric.sum(), (~numeric).sum()))
    raise InvalidInputError(
        f"Column {name!r} holds {most}, and {count:,} {few} among {len(values):,} cells; row "
        f"{rows[odd]} (counted from 0) is the first, {values[odd]!r}. Mend it, or take all of them "
        f"as texts: --type {name}=category."
    )


def _is_number(value: Any) -> bool:
    if isinstance(value, bool | np.bool_):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str) or "_" not in value


def _as_numbers(name: str, values: np.ndarray, rows: np.ndarray, kind: str) -> np.ndarray:
    bad = np.array([not _is_number(value) for value in values])
    if bad.any():
        first = int(np.argmax(bad))
        raise InvalidInputError(
            f"Column {name!r} is to be {kind}; row {rows[first]} (counted from 0) holds "
            f"{values[first]!r}."
        )
    return np.array([float(value) for value in values])


def _categories(name: str, values: np.ndarray, kind: str) -> Column:
    texts = [text_of(value) for value in values]
    if kind == "boolean":
        known = {"true", "false", "yes", "no", "0", "1"}
        if odd := {text.lower() for text in texts} - known:
            raise InvalidInputError(
                f"Column {name!r} is to be boolean, true or false; it holds {min(odd)!r}."
            )
        return Column(name=name, kind="boolean", categories=("false", "true"))
    found = sorted(set(texts), key=lambda text: (len(text), text) if text.isdigit() else (0, text))
    if len(found) < 2:
        raise InvalidInputError(
            f"Column {name!r} is {found[0]!r} in every row, and says nothing: leave it out (--drop "
            f"{name})."
        )
    if len(found) > MOST_CATEGORIES or (len(found) == len(texts) and len(texts) > 20):
        raise InvalidInputError(
            f"Column {name!r} has {len(found):,} different texts in {len(texts):,} rows: as a name "
            f"of rows it has no distribution to learn. Leave it out (--drop {name}), or group its "
            f"values (at most {MOST_CATEGORIES:,})."
        )
    return Column(name=name, kind="category", categories=tuple(found))


def _dates(name: str, values: np.ndarray, rows: np.ndarray) -> Column:
    days = days_of(values)
    bad = ~np.isfinite(days)
    if bad.any():
        first = int(np.argmax(bad))
        raise InvalidInputError(
            f"Column {name!r} is to be a date, such as 2024-12-31; row {rows[first]} (counted from "
            f"0) holds {values[first]!r}."
        )
    return _of_days(name, days)


def _of_days(name: str, days: np.ndarray) -> Column:
    _refuse_constant(name, days)
    column = Column(name=name, kind="date", whole=bool((days == np.round(days)).all()))
    return measured(column, days)


def _number(name: str, values: np.ndarray, kind: str, numbers: list[str]) -> Column:
    if not np.isfinite(values).all():
        raise InvalidInputError(
            f"Column {name!r} holds infinity in {int((~np.isfinite(values)).sum()):,} cells: leave "
            "out those rows."
        )
    _refuse_constant(name, values)
    whole = bool((values == np.round(values)).all())
    if not kind:
        kind = _kind_of_numbers(name, values, whole=whole)
        if kind == "boolean":
            return Column(name=name, kind="boolean", categories=("false", "true"))
    fields = _parameters(name, kind, numbers)
    column = Column(name=name, kind=kind, **fields)  # type: ignore[arg-type]
    _check_values(column, values)
    return measured(column, values)


def _refuse_constant(name: str, values: np.ndarray) -> None:
    if (values == values[0]).all():
        raise InvalidInputError(
            f"Column {name!r} is {values[0]:g} in every row, and has no density: leave it out "
            f"(--drop {name})."
        )


def _kind_of_numbers(name: str, values: np.ndarray, *, whole: bool) -> str:
    if whole:
        if set(np.unique(values[:1000])) <= {0.0, 1.0} and set(np.unique(values)) == {0.0, 1.0}:
            return "boolean"
        steps = np.diff(values)
        if len(values) > 20 and (steps == steps[0]).all():
            raise InvalidInputError(
                f"Column {name!r} numbers the rows ({values[0]:g}, {values[1]:g}, …), and has no "
                f"distribution to learn: leave it out (--drop {name}), or say what it is (--type "
                f"{name}=real)."
            )
        if np.abs(values).max() < _LARGEST_INTEGER:
            return "count" if values.min() >= 0 else "integer"
    if values.min() > 0.0:
        skewness, of_logs = _skewness(values), _skewness(np.log(values))
        if skewness > _SKEWED and abs(of_logs) < skewness:
            return "positive"
    return "real"


def _parameters(name: str, kind: str, numbers: list[str]) -> dict[str, Any]:
    """The numbers behind a kind that the user gave: bounds, or a period and where it begins."""
    expected = {"bounded": "bounded:0:1", "circular": "circular:24 or circular:360:-180"}
    try:
        given = [float(number) for number in numbers]
        if kind == "bounded":
            low, high = given
            return {"minimum": low, "maximum": high}
        if kind == "circular":
            period, *start = given
            return {"period": period, "minimum": start[0] if start else 0.0}
        if kind == "count" and given:
            return {"minimum": given[0]}
        if given:
            raise ValueError
    except (ValueError, IndexError):
        raise InvalidInputError(
            f"Column {name!r}: expected {expected.get(kind, kind)}; got "
            f"{':'.join([kind, *numbers])}."
        ) from None
    return {"minimum": 0.0} if kind == "count" else {}


def _check_values(column: Column, values: np.ndarray) -> None:
    """Raises InvalidInputError for values outside the support of the column's kind."""
    low, high = -np.inf, np.inf
    inside = np.ones(len(values), bool)
    words = "a whole number"
    if column.kind in ("count", "integer"):
        low = -_LARGEST_INTEGER if column.minimum is None else column.minimum
        high = _LARGEST_INTEGER
        inside = (values == np.round(values)) & (values >= low) & (values <= high)
        words = f"a whole number of {low:g} or more, up to 2**22"
    elif column.kind == "positive":
        inside, words = values > 0.0, "above 0"
    elif column.kind == "bounded":
        low, high = float(column.minimum or 0.0), float(column.maximum or 0.0)
        inside = (values > low) & (values < high)
        words = f"between {low:g} and {high:g}, the bounds excluded"
    elif column.kind == "circular":
        low = float(column.minimum or 0.0)
        high = low + float(column.period or 0.0)
        inside, words = (values >= low) & (values < high), f"at least {low:g} and below {high:g}"
    if not inside.all():
        first = int(np.argmin(inside))
        raise InvalidInputError(
            f"Column {column.name!r}, {column.kind}, must be {words}; row {first} (of those that "
            f"are there, counted from 0) holds {values[first]:g}, as {int((~inside).sum()):,} of "
            f"{len(values):,} do not fit. Give it another kind (--type {column.name}=real)."
        )


def measured(column: Column, values: np.ndarray) -> Column:
    """The column with the location, the scale and the tails of these values.

    Of a heavy one the median and half the range of the middle two thirds, else the mean and the
    standard deviation, in the coordinate of its kind.
    """
    if column.is_categorical or column.kind == "circular":
        return column
    y = np.asarray(values, np.float64)
    if column.kind == "positive":
        y = np.log(y)
    elif column.kind == "bounded":
        low, high = float(column.minimum or 0.0), float(column.maximum or 0.0)
        y = np.log(y - low) - np.log(high - y)
    low, middle, high = np.quantile(y, [1 / 6, 0.5, 5 / 6])
    half_range = 0.5 * (high - low)
    far = np.abs(y - middle).max() > _FAR_OUT * half_range > 0.0
    heavy = far or hill_index(y) < HEAVY_INDEX
    location, scale = (middle, half_range) if heavy else (y.mean(), y.std())
    if scale <= 0.0:  # most values are one and the same
        scale = y.std()
    return dataclasses.replace(
        column, location=float(location), scale=float(scale), heavy=bool(heavy)
    )


def hill_index(values: np.ndarray) -> float:
    """Hill's estimate of the tail index, of the heavier of both tails; infinity for few values.

    k / sum_i log(|x_(i)| / |x_(k)|) over the k values farthest from the median: 2 % of them, at
    least 20 (Hill 1975).
    """
    gaps = values - np.median(values)
    found = np.inf
    for side in (gaps[gaps > 0.0], -gaps[gaps < 0.0]):
        count = max(20, int(_TAIL_SHARE * len(side)))
        if len(side) >= 20 * count:
            largest = np.sort(side)[-count - 1 :]
            total = np.log(largest[1:] / largest[0]).sum()
            found = min(found, count / total if total > 0.0 else np.inf)
    return float(found)


def _skewness(values: np.ndarray) -> float:
    gaps = values - values.mean()
    return float((gaps**3).mean() / max(values.std() ** 3, 1e-300))
