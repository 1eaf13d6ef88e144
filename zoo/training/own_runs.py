"""A run on a user's own rows: written to its folder, split, and trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.recipe import Recipe, Table, override
from zoo.data import own_rows
from zoo.data.arrays import Arrays
from zoo.errors import InvalidInputError
from zoo.training.pacing import train_within
from zoo.training.records import TrainingResult

__all__ = ["FEWEST", "Progress", "blank", "check_parts", "trained"]

FEWEST = {"table": 50, "pictures": 50, "clips": 10}  # rows, pictures, files
ROWS_FOLDER = "rows"

Progress = Callable[[int, int, dict[str, float]], None]


def blank(name: str) -> Table:
    """A table that is not written yet."""
    return Table(name=name, version="", folder="")


def trained(
    recipe: Recipe,
    table: Table,
    folder: Path,
    arrays: Arrays,
    parts: Mapping[str, np.ndarray],
    origin: Mapping[str, Any],
    *,
    minutes: float,
    assignments: Iterable[str],
    progress: Progress | None,
    overwrite: bool,
) -> TrainingResult:
    """Writes the rows, by their places in each split, and trains on them."""
    table = own_rows.write(folder / ROWS_FOLDER, table, arrays, parts, origin)
    return train_within(
        override(dataclasses.replace(recipe, data=table), assignments),
        folder,
        {part: len(rows) for part, rows in parts.items()},
        minutes=minutes,
        name=table.name,
        progress=progress,
        overwrite=overwrite,
    )


def check_parts(parts: Mapping[str, np.ndarray], kind: str, different: int) -> None:
    """different: rows, pictures or files that are not the same."""
    if different < FEWEST[kind]:
        what = {"table": f"The table has {different} rows"}.get(
            kind, f"The folder has {different} different {kind}"
        )
        raise InvalidInputError(
            f"{what}, and a model of them would learn them by heart: give at least {FEWEST[kind]}."
        )
    if empty := [name for name, rows in parts.items() if not len(rows)]:
        total = sum(map(len, parts.values()))
        raise InvalidInputError(f"The split leaves no {empty[0]} rows of {total}.")
