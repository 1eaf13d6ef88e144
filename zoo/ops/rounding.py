"""What numbers lose in a narrower dtype, by NumPy alone.

float32 holds whole numbers up to 2^24 = 16,777,216 one by one; beyond, only every second one, then
every fourth. Identifiers, dates written as 20261128 and seconds since 1970 lose their last digits.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

__all__ = ["beyond", "place", "rounded", "warn_of_rounding"]

RESOLVED = 100  # steps of the narrower dtype that a column should span


def place(index: Any, names: list[str] | None = None) -> str:
    """Where a value of [rows, ...] stands: "row 3, column 1"."""
    row, *rest = (int(part) for part in index)
    if not rest:
        return f"row {row}"
    column = names[rest[0]] if names else ", ".join(map(str, rest))
    return f"row {row}, column {column}"


def beyond(values: np.ndarray, dtype: Any) -> tuple[int, ...] | None:
    """The place of the first finite value that is infinite in `dtype`."""
    with np.errstate(over="ignore"):
        found = np.isfinite(values) & np.isinf(values.astype(dtype))
    return tuple(map(int, np.argwhere(found)[0])) if found.any() else None


def rounded(values: np.ndarray, dtype: Any) -> np.ndarray:
    """The places [n, values.ndim] whose digits before the point a float `dtype` does not hold.

    Whole numbers that become others; and others beyond 2^24, where a column [rows] spans fewer
    than RESOLVED of the steps between neighbours.
    """
    limit = 2.0 ** (np.finfo(dtype).nmant + 1)
    nothing = np.zeros([0, values.ndim], int)
    if values.dtype.kind not in "fiu" or np.can_cast(values.dtype, dtype):
        return nothing
    if not values.size or not values.ndim:
        return nothing
    if not (np.fmax.reduce(values, None) > limit or np.fmin.reduce(values, None) < -limit):
        return nothing
    exact = values.astype(np.longdouble)
    exact[~np.isfinite(exact)] = np.nan
    with np.errstate(over="ignore"):
        change = np.abs(exact - exact.astype(dtype))
    whole = exact == np.rint(exact)
    span = np.fmax.reduce(exact, 0) - np.fmin.reduce(exact, 0)
    blurred = (span > 0) & (change * RESOLVED > span)
    return np.argwhere((np.abs(exact) > limit) & (change > 0) & (whole | blurred))


def warn_of_rounding(
    values: np.ndarray, dtype: Any, name: str, *, names: list[str] | None = None
) -> None:
    """Warns, by row and column, of numbers that lose digits in `dtype` (`rounded`)."""
    places = rounded(values, dtype)
    if not len(places):
        return
    first = tuple(places[0])
    more = f" and {len(places) - 1:,} more" if len(places) > 1 else ""
    warnings.warn(
        f"Numbers in {name} lose digits in {np.dtype(dtype).name}: {_text(values[first])} in "
        f"{place(first, names)} becomes {_text(values[first].astype(dtype))}{more}. Subtract an "
        "offset from the column, before training as well.",
        stacklevel=3,
    )


def _text(value: Any) -> str:
    number = value.item()
    return str(int(number)) if number == int(number) else repr(number)
