"""Tables of numbers as CSV files: a header, one line a row, empty cells for missing values."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["read_csv", "write_csv"]

MISSING = ("", "nan", "na", "?")


def read_csv(
    path: Path, columns: int, *, allow_missing: bool = False
) -> tuple[np.ndarray, list[str]]:
    """(float32 rows [n, columns], header) of a CSV file; missing cells are NaN.

    A first line that is no row of numbers is the header; without one it is x0, x1 and so on.
    Missing is a cell that is empty, "nan", "NA" or "?".

    Raises InvalidInputError for no rows, another number of columns, a cell that is no finite
    number, and a missing one unless `allow_missing`.
    """
    import numpy as np

    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = [line for line in csv.reader(stream) if any(cell.strip() for cell in line)]
    except FileNotFoundError as error:
        raise InvalidInputError(f"No file {path}.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{path} cannot be read as .csv ({error}).") from error
    header = [f"x{index}" for index in range(columns)]
    if lines and not all(_is_number(cell) for cell in lines[0]):
        header, lines = lines[0], lines[1:]
    if not lines or len(header) != columns:
        raise InvalidInputError(
            f"Expected rows of {columns} numbers in {path}; it has {len(lines)} rows of "
            f"{len(header)}."
        )
    rows = np.empty([len(lines), columns], np.float32)
    for number, line in enumerate(lines):
        if len(line) != columns:
            raise InvalidInputError(
                f"Expected {columns} numbers in row {number} of {path}; it has {len(line)}."
            )
        for column, cell in enumerate(line):
            missing = cell.strip().lower() in MISSING
            if not _is_number(cell) or (missing and not allow_missing):
                raise InvalidInputError(
                    f"Expected a number in row {number}, column {header[column]} of {path}; got "
                    f"{cell!r}."
                )
            rows[number, column] = math.nan if missing else float(cell)
    return rows, header


def _is_number(cell: str) -> bool:
    if cell.strip().lower() in MISSING:
        return True
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def write_csv(path: Path | None, rows: np.ndarray, header: list[str] | None = None) -> None:
    """One line a row, its event flattened; under x0, x1, … without a header.  None: to stdout."""
    flat = rows.reshape([len(rows), -1])
    lines = [header or [f"x{index}" for index in range(flat.shape[1])], *flat.tolist()]
    if path is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows(lines)
        return
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(lines)
