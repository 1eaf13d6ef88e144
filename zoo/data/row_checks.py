"""What a run asks of the rows that it is about to learn from."""

from __future__ import annotations

import warnings

import numpy as np

from zoo.data.sources import Arrays
from zoo.errors import DataError

__all__ = ["check_finite", "warn_of_columns"]

_COLUMNS = 4096  # of a table; more are pictures and clips


def check_finite(arrays: Arrays, dataset: str, split: str, *, may_miss: bool = False) -> None:
    """Raises DataError, with the row and the column, for NaN and infinity among the rows' numbers.

    Rows and columns are counted from 0, in the order that the dataset stores.
    may_miss: NaN is a missing cell, and passes.
    """
    for name, values in (("", arrays.x), ("context ", arrays.context)):
        if values is None or values.dtype.kind != "f":
            continue
        bad = np.isinf(values) if may_miss else ~np.isfinite(values)
        if not bad.any():
            continue
        row, *place = (int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
        column = f", {name}column {', '.join(map(str, place))}" if place else ""
        raise DataError(
            f"Expected finite numbers in {dataset}; row {row}{column} of its {split} rows (counted "
            f"from 0) holds {values[(row, *place)]}, and {int(bad.sum()):,} of {bad.size:,} "
            "numbers there are not finite. Leave out such rows, or fill them in (`zoo impute`)."
        )


def warn_of_columns(x: np.ndarray, dataset: str) -> None:
    """Warns of columns of a table, x [rows, columns], under which no density is bounded.

    Constant ones, and such as equal another one: the rows then lie in a plane.
    """
    if x.dtype.kind != "f" or x.ndim != 2 or x.shape[1] > _COLUMNS:
        return
    constant = [int(i) for i in np.flatnonzero((x == x[:1]).all(0))]
    first: dict[bytes, int] = {}
    equal = []
    for i in range(x.shape[1]):
        if i not in constant:
            same = first.setdefault(x[:, i].tobytes(), i)
            if same != i:
                equal.append(f"{i} equals {same}")
    found = []
    if constant:
        found.append(f"constant columns: {', '.join(map(str, constant))}")
    if equal:
        found.append(f"equal columns: {', '.join(equal)}")
    if found:
        warnings.warn(
            f"The {len(x):,} train rows of {dataset} have {'; '.join(found)} (counted from 0). "
            "The likelihood grows without bound there, and says nothing of the other columns: "
            "leave them out.",
            RuntimeWarning,
            stacklevel=3,
        )
