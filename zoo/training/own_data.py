"""A model of a user's own table: columns told, rows split, a recipe written, a run trained."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zoo import loading
from zoo.core.columns import Column
from zoo.core.encoding import encoded
from zoo.core.recipe import SGD, Optimizer, Recipe, Table, override
from zoo.data import own_rows
from zoo.data.arrays import Arrays
from zoo.data.frames import as_frame, read_frame
from zoo.data.inference import infer_columns
from zoo.errors import InvalidInputError
from zoo.training.claim import claim
from zoo.training.records import TrainingResult
from zoo.training.train import train

__all__ = ["FEWEST_ROWS", "fit", "fit_table", "recipe_of_table", "split_rows"]

FEWEST_ROWS = 50
ROWS_FOLDER = "rows"
_STEPS = 8000
_SHARES = (0.8, 0.1, 0.1)
# Train rows at most, and then: units, dropout, weight decay.
_SIZES = (
    (1_000, 32, 0.2, 1.0),
    (5_000, 64, 0.1, 1.0),
    (50_000, 128, 0.05, 0.3),
    (math.inf, 256, 0.0, 0.1),
)

Progress = Callable[[int, int, dict[str, float]], None]
Missing = Literal["refuse", "marginalise"]


def fit(
    data: Any, out: str | os.PathLike[str], *, progress: Progress | None = None, **options: Any
) -> Any:
    """A model of a table, trained, with the best weights of its run; the folder `out` holds it.

    `fit_table` says what data and options are. `zoo.load(out)` gives the same model again, and
    every command takes the folder.
    """
    fit_table(data, out, progress=progress, **options)
    return loading.load(Path(out))


def fit_table(
    data: Any,
    out: str | os.PathLike[str],
    *,
    name: str = "",
    kinds: Mapping[str, str] | None = None,
    context: Iterable[str] = (),
    drop: Iterable[str] = (),
    split: str = "rows",
    missing: Missing = "refuse",
    minutes: float = math.inf,
    assignments: Iterable[str] = (),
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainingResult:
    """Trains a `TableMADE` of a table in the folder `out`.

    Args:
        data: A file (`zoo.data.frames.SUFFIXES`), a data frame, a mapping of columns, or numbers
            [rows, columns].
        out: The run's folder, as of `zoo train`; the split rows lie in its folder `rows`.
        name: Of the model; that of the folder without.
        kinds: {column: kind} where `zoo.data.inference` is not to tell it: "category",
            "bounded:0:1", "circular:24", …
        context: Names of columns that the row is conditioned on.
        drop: Names of columns to leave out.
        split: "rows": 80, 10 and 10 %, by a hash of the row's content; "time:COLUMN": the last
            10 % of that column's order are the test rows, the 10 % before them the validation rows;
            "COLUMN": a column that holds train, validation or test, and is no part of the row.
        missing: "refuse" missing cells, or "marginalise": learn from the cells that are there.
        minutes: The time of the training, at most.
        assignments: "path=value" changes of the recipe, as of `zoo train --set`.
        seed: Of the run.
        overwrite: As of `zoo train`.
        progress: As of `training.train`.

    Raises InvalidInputError for what is no table of at least FEWEST_ROWS rows, and what
    `infer_columns` and `training.train` raise.
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
    context, drop = list(context), list(drop)
    _check_names(frame, [*context, *drop])
    parts, frame = split_rows(frame.drop(columns=drop), split)
    columns = infer_columns(frame, kinds, missing=missing == "marginalise")
    event = tuple(column for column in columns if column.name not in context)
    conditions = tuple(column for column in columns if column.name in context)
    if not event:
        raise InvalidInputError("Every column is context: leave some to learn.")
    arrays = _arrays(frame, event, conditions)
    if parts is None:
        parts = _by_content(arrays)
    splits = {part: _take(arrays, rows) for part, rows in parts.items()}
    _check_splits(splits)
    table = own_rows.write(folder / ROWS_FOLDER, name or folder.name, splits, origin)
    recipe = recipe_of_table(table, event, conditions, splits["train"].rows, seed=seed)
    return train(
        override(recipe, assignments),
        folder,
        name=name or folder.name,
        max_seconds=60.0 * minutes,
        progress=progress,
        overwrite=overwrite,
    )


def recipe_of_table(
    table: Table,
    columns: tuple[Column, ...],
    context: tuple[Column, ...],
    rows: int,
    *,
    seed: int = 0,
) -> Recipe:
    """A recipe of a sensible size for so many train rows.

    The network grows with the rows, and dropout and weight decay fall. It takes some `_STEPS` steps
    on a cosine, keeps the averaged weights of the best validation, and ends when twenty
    validations bring nothing.
    """
    units, dropout, decay = next(size for most, *size in _SIZES if rows <= most)
    batch_size = int(min(max(16, 2 ** round(math.log2(rows / 50))), 512))
    epochs = max(2, math.ceil(_STEPS / max(1, rows // batch_size)))
    return Recipe(
        family="table_made",
        config={
            "event_shape": [len(columns)],
            "columns": [column.to_dict() for column in columns],
            "context_columns": [column.to_dict() for column in context],
            "num_units": units,
            "num_blocks": 2,
            "dropout": dropout,
        },
        data=table,
        training=SGD(
            optimizer=Optimizer(
                learning_rate=2e-3,
                weight_decay=decay,
                clip_norm=10.0,
                warmup_steps=100,
                schedule="cosine",
            ),
            batch_size=batch_size,
            max_epochs=epochs,
            validate_every=100,
            patience=20,
            ema_decay=0.99,
            jit_compile=True,
            seed=seed,
        ),
        notes="Written by `zoo fit`.",
    )


def split_rows(frame: Any, split: str) -> tuple[dict[str, np.ndarray] | None, Any]:
    """The rows' places by split, None for "rows", and the frame without a column of splits.

    split: as of `fit_table`.
    """
    if split == "rows":
        return None, frame
    kind, separator, column = split.partition(":")
    if kind == "time" and separator:
        _check_names(frame, [column])
        order = np.argsort(np.asarray(frame[column]), kind="stable")
        ends = np.round(np.cumsum(_SHARES[:2]) * len(order)).astype(int)
        train, validation, test = np.split(order, ends)
        return {"train": train, "validation": validation, "test": test}, frame
    _check_names(frame, [split])
    words = np.array([str(value).strip().lower() for value in frame[split]])
    parts = {name: np.flatnonzero(words == name) for name in own_rows.SPLITS}
    if odd := sorted(set(words) - set(own_rows.SPLITS)):
        raise InvalidInputError(
            f"Column {split!r} is to say train, validation or test for every row; it holds "
            f"{odd[0]!r}."
        )
    return parts, frame.drop(columns=[split])


def _by_content(arrays: Arrays) -> dict[str, np.ndarray]:
    """Rows by a hash of their content: equal rows lie in one split, whatever their order."""
    whole = arrays.x if arrays.context is None else np.concatenate([arrays.x, arrays.context], 1)
    whole = np.ascontiguousarray(whole)
    hashes = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in whole]
    places = np.frombuffer(b"".join(hashes), "<u8") / 2.0**64
    edges = np.cumsum(_SHARES[:2])
    numbers = np.searchsorted(edges, places, side="right")
    return {name: np.flatnonzero(numbers == i) for i, name in enumerate(own_rows.SPLITS)}


def _arrays(frame: Any, columns: tuple[Column, ...], context: tuple[Column, ...]) -> Arrays:
    x = encoded(frame, columns).astype(np.float32)
    return Arrays(x, encoded(frame, context).astype(np.float32) if context else None)


def _take(arrays: Arrays, rows: np.ndarray) -> Arrays:
    return Arrays(arrays.x[rows], None if arrays.context is None else arrays.context[rows])


def _check_names(frame: Any, names: list[str]) -> None:
    if lacking := [name for name in names if name not in frame.columns]:
        raise InvalidInputError(
            f"No column {lacking[0]!r}; the table has {', '.join(frame.columns)}."
        )


def _check_splits(splits: Mapping[str, Arrays]) -> None:
    total = sum(part.rows for part in splits.values())
    if total < FEWEST_ROWS:
        raise InvalidInputError(
            f"The table has {total} rows, and a model of it would learn them by heart: give at "
            f"least {FEWEST_ROWS}."
        )
    if empty := [name for name, part in splits.items() if not part.rows]:
        raise InvalidInputError(f"The split leaves no {empty[0]} rows of {total}.")
