"""Rows into train, validation and test rows: by their content, by time, or as a column says."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.data.arrays import Arrays
from zoo.data.own_rows import SPLITS
from zoo.errors import InvalidInputError

__all__ = ["SHARES", "by_column", "by_content", "by_groups", "check_names"]

SHARES = (0.8, 0.1, 0.1)
_ROWS_AT_ONCE = 2**16


def by_content(arrays: Arrays) -> dict[str, np.ndarray]:
    """Rows by a hash of their content: equal rows lie in one split, whatever their order.

    A row stays in its split when others come or go; shares are those of `SHARES` in expectation.
    """
    places = np.empty(arrays.rows)
    for start in range(0, arrays.rows, _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        rows = arrays.x[part]
        if arrays.context is not None:
            rows = np.concatenate([rows, arrays.context[part]], 1)
        places[part] = [_place(row.tobytes()) for row in np.ascontiguousarray(rows)]
    numbers = np.searchsorted(np.cumsum(SHARES[:2]), places, side="right")
    return {name: np.flatnonzero(numbers == i) for i, name in enumerate(SPLITS)}


def by_groups(groups: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Rows by a hash of the group that they are of, such as a file's content.

    The groups in the order of their hashes: a tenth of them, at least one, is for validation, as
    many for the test; rows of one group lie in one split.
    """
    places = np.array([_place(group) for group in groups])
    order = np.unique(places)
    held = max(1, round(SHARES[1] * len(order)))
    edges = [order[-2 * held], order[-held]] if len(order) > 2 * held else [np.inf, np.inf]
    numbers = np.searchsorted(edges, places, side="right")
    return {name: np.flatnonzero(numbers == i) for i, name in enumerate(SPLITS)}


def by_column(frame: Any, split: str) -> tuple[dict[str, np.ndarray] | None, Any]:
    """The rows' places by split, and the frame without a column of splits.

    split: "rows", for which the places are None; "time:COLUMN", whose last tenth are the test rows,
        the tenth before them the validation rows; or a column that holds train, validation or test.
    Raises InvalidInputError for other columns and other words.
    """
    if split == "rows":
        return None, frame
    kind, separator, column = split.partition(":")
    if kind == "time" and separator:
        check_names(frame, [column])
        order = np.argsort(np.asarray(frame[column]), kind="stable")
        ends = np.round(np.cumsum(SHARES[:2]) * len(order)).astype(int)
        train, validation, test = np.split(order, ends)
        return {"train": train, "validation": validation, "test": test}, frame
    check_names(frame, [split])
    words = np.array([str(value).strip().lower() for value in frame[split]])
    parts = {name: np.flatnonzero(words == name) for name in SPLITS}
    if odd := sorted(set(words) - set(SPLITS)):
        raise InvalidInputError(
            f"Column {split!r} is to say train, validation or test for every row; it holds "
            f"{odd[0]!r}."
        )
    return parts, frame.drop(columns=[split])


def check_names(frame: Any, names: list[str]) -> None:
    """Raises InvalidInputError for names that are no columns of the frame."""
    if lacking := [name for name in names if name not in frame.columns]:
        raise InvalidInputError(
            f"No column {lacking[0]!r}; the table has {', '.join(frame.columns)}."
        )


def _place(content: bytes) -> float:
    """A number in [0, 1) that the content decides."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") / 2.0**64
