"""What is asked of rows before a model learns from them: NumPy arrays, [rows, ...]."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from zoo.errors import ZooError
from zoo.ops.rounding import place

__all__ = ["check_finite", "warn_of_columns"]

_COLUMNS = 4096  # of a table; more are pictures and clips


def check_finite(
    values: np.ndarray, rows: str, error: type[ZooError], *, may_miss: bool = False
) -> None:
    """Raises `error`, with the row and the column, for NaN and infinity among the rows' numbers.

    Rows and columns are counted from 0.   rows: what they are called, "train rows of power".
    may_miss: NaN is a missing cell, and passes.
    """
    if values.dtype.kind != "f":
        return
    finite = ~np.isinf(values) if may_miss else np.isfinite(values)
    if finite.all():
        return
    bad = ~finite
    found = np.unravel_index(int(np.argmax(bad)), bad.shape)
    raise error(
        f"Expected finite numbers; {place(found)} of the {rows} (counted from 0) holds "
        f"{values[found]}, and {int(bad.sum()):,} of {bad.size:,} numbers there are not finite. "
        "Leave out such rows, or fill them in (`zoo impute`)."
    )


def warn_of_columns(
    x: np.ndarray, rows: str, *, names: Sequence[str] | None = None, stacklevel: int = 3
) -> None:
    """Warns of columns of a table, x [rows, columns], under which no density is bounded.

    Constant ones, and such as equal another one: the rows then lie in a plane.
    names: of the columns; without, they are counted from 0.
    """
    if x.dtype.kind != "f" or x.ndim != 2 or x.shape[1] > _COLUMNS:
        return
    constant = [int(i) for i in np.flatnonzero((x == x[:1]).all(0))]
    called = [str(i) for i in range(x.shape[1])] if names is None else names
    first: dict[bytes, int] = {}
    equal = []
    for i in range(x.shape[1]):
        if i not in constant:
            same = first.setdefault(x[:, i].tobytes(), i)
            if same != i:
                equal.append(f"{called[i]} equals {called[same]}")
    found = []
    if constant:
        found.append(f"constant columns: {', '.join(called[i] for i in constant)}")
    if equal:
        found.append(f"equal columns: {', '.join(equal)}")
    if found:
        counted = " (counted from 0)" if names is None else ""
        how_many = f"{len(x):,} {rows} have" if len(x) > 1 else f"only row of the {rows} has"
        warnings.warn(
            f"The {how_many} {'; '.join(found)}{counted}. The likelihood grows without bound "
            "there, and says nothing of the other columns: leave them out, or give more rows.",
            RuntimeWarning,
            stacklevel=stacklevel,
        )
