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

__all__ = ["is_missing", "numbers_of", "read_cells", "read_csv", "write_csv"]

MISSING = ("", "nan", "na", "?")
LARGEST = 3.4028235e38  # of float32


def read_csv(
    path: Path, columns: int, *, allow_missing: bool = False
) -> tuple[np.ndarray, list[str]]:
    """(float32 rows [n, columns], header) of a CSV file; missing cells are NaN.

    `read_cells` and `numbers_of` after one another; raises what they raise.
    """
    lines, header = read_cells(path, columns)
    return numbers_of(lines, header, path, allow_missing=allow_missing), header


def numbers_of(
    lines: list[list[str]], header: list[str], path: Path, *, allow_missing: bool = False
) -> np.ndarray:
    """The cells of `read_cells` as float32 [n, columns]; missing ones are NaN.

    Missing is a cell that is empty, "nan", "NA" or "?".

    Raises InvalidInputError, with the place in `path`, for a cell that is no finite float32, and
    for a missing one unless `allow_missing`.
    """
    import numpy as np

    rows = np.empty([len(lines), len(header)], np.float32)
    for number, line in enumerate(lines):
        for column, cell in enumerate(line):
            missing = is_missing(cell)
            value = math.nan if missing else _number(cell)
            if (missing and not allow_missing) or (not missing and not abs(value) <= LARGEST):
                raise InvalidInputError(
                    f"Expected a number in row {number}, column {header[column]} of {path}; got "
                    f"{cell!r}."
                )
            rows[number, column] = value
    return rows


def read_cells(path: Path, columns: int) -> tuple[list[list[str]], list[str]]:
    """(the cells of every row as they stand, header) of a CSV file.

    A first line without a number is the header; without one it is x0, x1 and so on. Blank lines
    are passed over; a line of empty cells is a row.

    Raises InvalidInputError for no rows and for another number of columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = [line for line in csv.reader(stream) if len(line) > 1 or "".join(line).strip()]
    except FileNotFoundError as error:
        raise InvalidInputError(f"No file {path}.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"{path} cannot be read as .csv ({error}).") from error
    header = [f"x{index}" for index in range(columns)]
    first = lines[0] if lines else []
    if all(math.isnan(_number(cell)) for cell in first) and not all(map(is_missing, first)):
        header, lines = first, lines[1:]
    if not lines or len(header) != columns:
        raise InvalidInputError(
            f"Expected rows of {columns} numbers in {path}; it has {len(lines)} rows of "
            f"{len(header)}."
        )
    for number, line in enumerate(lines):
        if len(line) != columns:
            raise InvalidInputError(
                f"Expected {columns} numbers in row {number} of {path}; it has {len(line)}."
            )
    return lines, header


def is_missing(cell: str) -> bool:
    """Whether a cell says that its value is not known."""
    return cell.strip().lower() in MISSING


def _number(cell: str) -> float:
    """The cell's number; NaN where it is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def write_csv(path: Path | None, rows: np.ndarray, header: list[str] | None = None) -> None:
    """One line a row, its event flattened; under x0, x1, … without a header.  None: to stdout.

    Numbers have the fewest digits that read back as the same ones; texts stay as they are.
    """
    flat = rows.reshape([len(rows), -1]).astype(str)
    lines = [header or [f"x{index}" for index in range(flat.shape[1])], *flat.tolist()]
    if path is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows(lines)
        return
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(lines)
