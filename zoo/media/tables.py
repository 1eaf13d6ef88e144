"""Tables of numbers as CSV files: a header, one line a row, empty cells for missing values."""

from __future__ import annotations

import csv
import math
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["is_missing", "numbers_of", "read_cells", "read_csv", "write_csv"]

MISSING = frozenset(
    ("", "nan", "+nan", "-nan", "na", "n/a", "<na>", "#n/a", "#na", "?", "null", "none")
)
LARGEST = 3.4028235e38  # of float32
# What `float` takes and is none here: 1_000, and the digits of other scripts.
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity)", re.ASCII | re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*", re.ASCII)


def read_csv(
    path: Path,
    columns: int,
    *,
    names: Sequence[str] = (),
    allow_missing: bool = False,
    dtype: str = "float32",
) -> tuple[np.ndarray, list[str]]:
    """(rows [n, columns], header) of a CSV file; missing cells are NaN.

    `read_cells` and `numbers_of` after one another; raises what they raise.
    """
    lines, header = read_cells(path, columns, names=names)
    return numbers_of(lines, header, path, allow_missing=allow_missing, dtype=dtype), header


def numbers_of(
    lines: list[list[str]],
    header: list[str],
    path: Path,
    *,
    allow_missing: bool = False,
    dtype: str = "float32",
) -> np.ndarray:
    """The cells of `read_cells` as [n, columns] of a float dtype; missing ones are NaN.

    Missing is a cell of MISSING, in small or large letters: empty, "nan", "NA", "null", "?" and so
    on. Warns, by row and column, of numbers that lose digits before the point in the dtype.

    Raises InvalidInputError, with the place in `path`, for a cell that is no finite float32, and
    for a missing one unless `allow_missing`.
    """
    import numpy as np

    from zoo.ops.rounding import warn_of_rounding

    rows = np.empty([len(lines), len(header)], np.float64)
    for number, line in enumerate(lines):
        for column, cell in enumerate(line):
            missing = is_missing(cell)
            value = math.nan if missing else _number(cell)
            if (missing and not allow_missing) or (not missing and not abs(value) <= LARGEST):
                raise InvalidInputError(
                    f"Expected a number in row {number}, column {header[column]} of {path}; got "
                    f"{cell!r}.{_advice(cell)}"
                )
            rows[number, column] = value
    warn_of_rounding(rows, np.dtype(dtype), str(path), names=header)
    return rows.astype(dtype)


def _advice(cell: str) -> str:
    if "_" in cell and math.isfinite(_number(cell.replace("_", ""))):
        return f" Write {cell.strip().replace('_', '')}."
    if _DECIMAL_COMMA.fullmatch(cell):
        decimal = cell.strip().replace(",", ".")
        return f" Write decimals with a point, {decimal}, and thousands without a mark."
    return ""


def read_cells(
    path: Path, columns: int, *, names: Sequence[str] = ()
) -> tuple[list[list[str]], list[str]]:
    """(the cells of every row as they stand, header) of a CSV file.

    The header is a first line of names, without a number; where there is none it is x0, x1 and so
    on. Blank lines are passed over; a line of empty cells is a row.
    names: those of the columns, where they are known: a header that has them in another order has
    its columns taken by name, with a warning.

    Raises InvalidInputError for no rows, for another number of columns, for a header with some of
    the names and not the others, and for a first line that may be names or a row: numbers that
    count up above others that have decimals (`_header`).
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = [line for line in csv.reader(stream) if len(line) > 1 or "".join(line).strip()]
    except FileNotFoundError as error:
        raise InvalidInputError(f"No file {path}.") from error
    except (OSError, UnicodeError, csv.Error) as error:
        raise InvalidInputError(
            f"{path} cannot be read as .csv in UTF-8 ({error}). Where it is in another encoding: "
            f"`iconv -f UTF-16 -t UTF-8 {path.name} > out.csv`."
        ) from error
    header = [f"x{index}" for index in range(columns)]
    if lines and (found := _header(lines, path, columns)):
        header, lines = found, lines[1:]
    if not lines or len(header) != columns:
        raise InvalidInputError(
            f"Expected rows of {columns} numbers in {path}; it has {len(lines)} rows of "
            f"{len(header)}.{_separator(header, lines)}"
        )
    for number, line in enumerate(lines):
        if len(line) != columns:
            raise InvalidInputError(
                f"Expected {columns} numbers in row {number} of {path}; it has {len(line)}."
                f"{_separator(line)}"
            )
    order = _order(header, names, path)
    return [[line[column] for column in order] for line in lines], [header[i] for i in order]


def _order(header: list[str], names: Sequence[str], path: Path) -> list[int]:
    """Where the columns of these names stand under the header; as they are, if it has none."""
    given = [cell.strip().lower() for cell in header]
    wanted = [name.lower() for name in names]
    if not set(given) & set(wanted) or given == wanted:
        return list(range(len(header)))
    if set(given) != set(wanted):
        missing = [name for name in names if name.lower() not in given]
        others = [cell for cell in header if cell.strip().lower() not in wanted]
        raise InvalidInputError(
            f"Expected the columns {', '.join(names)} in {path}; it lacks {', '.join(missing)} "
            f"and has {', '.join(others)}."
        )
    warnings.warn(
        f"{path} has its columns in another order than the model; they are taken by their names.",
        stacklevel=3,
    )
    return [given.index(name) for name in wanted]


def _header(lines: list[list[str]], path: Path, columns: int) -> list[str] | None:
    """The first line, where it is names, of any number; None where it is a row.

    Raises InvalidInputError where it may be either, by what stands in the lines below.
    """
    first, below = lines[0], lines[1:]
    named = f"give the file a first line of names (`sed -i '1i x0,x1,…' {path.name}`)"
    if all(map(is_missing, first)):
        return None
    if any(not math.isnan(_number(cell)) for cell in first):
        counts = [int(cell) for cell in first if cell.strip().isdecimal()]
        up = range(counts[0], counts[0] + len(first)) if counts else range(0)
        decimals = below and all(map(_has_decimals, below))
        if len(first) > 1 and decimals and counts == list(up):
            raise InvalidInputError(
                f"The first line of {path}, {', '.join(first)[:40]}, may be names or a row: put "
                f"names with letters in its place (`sed -i '1s/.*/x0,x1,…/' {path.name}`), or, if "
                f"it is a row, {named}."
            )
        return None
    names = [cell.strip() for cell in first if cell.strip()] if len(first) == columns else []
    lettered = all(any(letter.isalpha() for letter in name) for name in names)
    if not lettered or len(set(names)) < len(names):
        raise InvalidInputError(
            "Expected numbers, or names that differ and have letters, in the first line of "
            f"{path}; got {', '.join(first)[:40]}. Mend the row, or {named}."
        )
    return first


def _has_decimals(line: list[str]) -> bool:
    numbers = [cell for cell in line if not is_missing(cell)]
    return all(not math.isnan(_number(cell)) for cell in numbers) and "." in "".join(numbers)


def _separator(*lines: Any) -> str:
    """What to do about a table whose lines are parted by something else than commas."""
    text = str(lines)
    for mark, name in ((";", "semicolons"), ("\\t", "tabs")):
        if mark in text:
            return (
                f" It seems to be parted by {name}: write it with commas between the numbers, and "
                "points for decimals."
            )
    return ""


def is_missing(cell: str) -> bool:
    """Whether a cell says that its value is not known."""
    return cell.strip().lower() in MISSING


def _number(cell: str) -> float:
    """The cell's number; NaN where it is none."""
    return float(cell) if _NUMBER.fullmatch(cell.strip()) else math.nan


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
