"""A model of a user's own table."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zoo.core.columns import Column
from zoo.core.encoding import encoded
from zoo.data import splitting
from zoo.data.arrays import Arrays
from zoo.data.frames import as_frame, read_frame
from zoo.data.inference import infer_columns
from zoo.errors import InvalidInputError
from zoo.models import model_class
from zoo.training.claim import claim
from zoo.training.own_recipes import recipe_of_table
from zoo.training.own_runs import Progress, blank, check_parts, trained
from zoo.training.records import TrainingResult

__all__ = ["fit_table", "listed"]

Missing = Literal["refuse", "marginalise"]


def fit_table(
    data: Any,
    out: str | os.PathLike[str],
    *,
    name: str = "",
    family: str = "",
    kinds: Mapping[str, str] | None = None,
    context: str | Iterable[str] = (),
    drop: str | Iterable[str] = (),
    split: str = "rows",
    missing: Missing = "refuse",
    minutes: float = math.inf,
    assignments: Iterable[str] = (),
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainingResult:
    """Trains a model of a table in the folder `out`.

    Args:
        data: A file (`zoo.data.frames.SUFFIXES`), a data frame, a mapping of columns, or numbers
            [rows, columns].
        out: The run's folder, as of `zoo train`; the split rows lie in its folder `rows`.
        name: Of the model; that of the folder without.
        family: One that takes the columns; `TableMADE` without, which takes any.
        kinds: {column: kind} where `zoo.data.inference` is not to tell it: "category",
            "bounded:0:1", "circular:24", …
        context: Names of columns that the row is conditioned on.
        drop: Names of columns to leave out.
        split: "rows": 80, 10 and 10 %, by a hash of the row's content; "time:COLUMN": the last
            10 % of that column's order are the test rows, the 10 % before them the validation rows;
            "COLUMN": a column that holds train, validation or test, and is no part of the row.
        missing: "refuse" missing cells, or "marginalise": learn from the cells that are there.
        minutes: The time of the training, at most: fewer epochs, where it does not hold all.
        assignments: "path=value" changes of the recipe, as of `zoo train --set`.
        seed: Of the run.
        overwrite: As of `zoo train`.
        progress: As of `training.train`.

    Raises InvalidInputError for what is no table of at least 50 rows, and what `infer_columns` and
    `training.train` raise.
    """
    folder = Path(out)
    claim(folder, overwrite=overwrite)
    origin: dict[str, Any] = {"split": split}
    if isinstance(data, str | os.PathLike):
        path = Path(data).expanduser()
        frame = read_frame(path)
        with path.open("rb") as stream:
            origin |= {
                "file": path.name,
                "sha256": hashlib.file_digest(stream, "sha256").hexdigest(),
            }
    else:
        frame = as_frame(data)
    context, drop = listed(context), listed(drop)
    splitting.check_names(frame, [*context, *drop])
    parts, frame = splitting.by_column(frame.drop(columns=drop), split)
    columns = infer_columns(frame, kinds, missing=missing == "marginalise")
    event = tuple(column for column in columns if column.name not in context)
    conditions = tuple(column for column in columns if column.name in context)
    if not event:
        raise InvalidInputError("Every column is context: leave some to learn.")
    arrays = _arrays(frame, event, conditions)
    del frame
    if parts is None:
        parts = splitting.by_content(arrays)
    check_parts(parts, "table", arrays.rows)
    largest = {c.name: float(np.nanmax(arrays.x[:, i])) for i, c in enumerate(event)}
    table = blank(name or folder.name)
    recipe = recipe_of_table(
        table,
        event,
        conditions,
        len(parts["train"]),
        largest=largest,
        family=family,
        seed=seed,
    )
    config = model_class(recipe.family).config_class.from_dict(recipe.config)
    arrays = Arrays(arrays.x.astype(config.data_space().dtype, copy=False), arrays.context)
    return trained(
        recipe,
        table,
        folder,
        arrays,
        parts,
        origin,
        minutes=minutes,
        assignments=assignments,
        progress=progress,
        overwrite=overwrite,
    )


def listed(names: str | Iterable[str]) -> list[str]:
    """The names; one by itself is a list of one."""
    return [names] if isinstance(names, str) else list(names)


def _arrays(frame: Any, columns: tuple[Column, ...], context: tuple[Column, ...]) -> Arrays:
    x = encoded(frame, columns, dtype=np.float32)
    return Arrays(x, encoded(frame, context, dtype=np.float32) if context else None)
