"""A model of a user's own data: rows prepared and split, a recipe written, a run trained."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zoo import loading
from zoo.core import recipe_json
from zoo.core.columns import Column
from zoo.core.encoding import encoded
from zoo.core.recipe import Recipe, Table, override
from zoo.data import own_clips, own_pictures, own_rows, splitting
from zoo.data.arrays import Arrays
from zoo.data.folders import Files, files_in, several
from zoo.data.frames import as_frame, read_frame
from zoo.data.inference import infer_columns
from zoo.errors import InvalidInputError, MissingCheckpointError
from zoo.models import model_class
from zoo.store.files import read_object
from zoo.store.folder import RECIPE_FILE
from zoo.training.claim import claim
from zoo.training.own_recipes import recipe_of_clips, recipe_of_pictures, recipe_of_table
from zoo.training.pacing import train_within
from zoo.training.records import TrainingResult
from zoo.training.train import train

__all__ = ["FEWEST", "fit", "fit_clips", "fit_pictures", "fit_table", "resume", "train_on"]

FEWEST = {"table": 50, "pictures": 50, "clips": 10}  # rows, pictures, files
ROWS_FOLDER = "rows"

Progress = Callable[[int, int, dict[str, float]], None]
Missing = Literal["refuse", "marginalise"]


def fit(
    data: Any, out: str | os.PathLike[str], *, progress: Progress | None = None, **options: Any
) -> Any:
    """A model of a table or of a folder of files, with the best weights of its run in `out`.

    `fit_table`, `fit_pictures` and `fit_clips` say what data and options are. `zoo.load(out)` gives
    the same model again, and every command takes the folder.
    """
    train_on(data, out, progress=progress, **options)
    return loading.load(Path(out))


def train_on(data: Any, out: str | os.PathLike[str], **options: Any) -> TrainingResult:
    """`fit_table`, `fit_pictures` or `fit_clips`, by what the data are.

    Raises InvalidInputError for options of another kind of data, and what these raise.
    """
    fitted: Callable[..., TrainingResult] = fit_table
    kind = "a table"
    if isinstance(data, str | os.PathLike) and Path(data).expanduser().is_dir():
        data = files_in(Path(data).expanduser(), tuple(options.pop("context", ())))
        fitted, kind = _FIT[data.kind], data.kind
    known = _keywords(fitted)
    if odd := sorted(options.keys() - known):
        raise InvalidInputError(
            f"{odd[0]} is no option for {kind}, which take{'s' * (fitted is fit_table)} "
            f"{', '.join(sorted(known))}: leave it out."
        )
    return fitted(data, out, **options)


def resume(
    out: str | os.PathLike[str], *, minutes: float = math.inf, progress: Progress | None = None
) -> TrainingResult:
    """Goes on with a run of `train_on` that was stopped, by its own rows and recipe.

    Raises MissingCheckpointError where there is none, and what `training.train` raises.
    """
    folder = Path(out)
    if not (folder / RECIPE_FILE).is_file():
        raise MissingCheckpointError(f"Nothing to resume in {folder}: leave out --resume.")
    recipe = recipe_json.from_dict(read_object(folder / RECIPE_FILE))
    return train(
        recipe,
        folder,
        name=recipe.dataset.name,
        resume=True,
        max_seconds=60.0 * minutes,
        progress=progress,
    )


def _keywords(function: Callable[..., Any]) -> set[str]:
    """The names of a function's options, and of those that it passes on."""
    parameters = inspect.signature(function).parameters.values()
    own = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    passes_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return own | (_keywords(_fit_files) if passes_on else set())


def fit_table(
    data: Any,
    out: str | os.PathLike[str],
    *,
    name: str = "",
    family: str = "",
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
    context, drop = list(context), list(drop)
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
    _check_parts(parts, "table", arrays.rows)
    largest = {c.name: float(np.nanmax(arrays.x[:, i])) for i, c in enumerate(event)}
    table = _blank(name or folder.name)
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
    return _trained(
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


def fit_pictures(
    files: Files,
    out: str | os.PathLike[str],
    *,
    size: str = "",
    mode: own_pictures.Mode = "auto",
    family: str = "",
    skip_broken: bool = False,
    seed: int = 0,
    **options: Any,
) -> TrainingResult:
    """Trains a model of pictures in the folder `out`.

    files: `zoo.data.folders.files_in`; its classes are the labels of a conditional model.
    size, mode, skip_broken: of `zoo.data.own_pictures.prepare`.   family: one that takes them.
    seed, options: name, minutes, assignments, overwrite, progress, as of `fit_table`.
    Raises InvalidInputError for fewer than 50 pictures, and what these raise.
    """
    prepared = own_pictures.prepare(files, size=size, mode=mode, skip_broken=skip_broken)

    def recipe_of(table: Table, rows: int) -> Recipe:
        return recipe_of_pictures(table, prepared.x.shape[1:], rows, family=family, seed=seed)

    return _fit_files(files, prepared, out, recipe_of, **options)


def fit_clips(
    files: Files,
    out: str | os.PathLike[str],
    *,
    rate: int = 0,
    seconds: float = 0.0,
    family: str = "",
    skip_broken: bool = False,
    seed: int = 0,
    **options: Any,
) -> TrainingResult:
    """Trains a model of clips in the folder `out`.

    rate, seconds, skip_broken: of `zoo.data.own_clips.prepare`.   The others: as of `fit_pictures`.
    Raises InvalidInputError for fewer than 10 files, and what these raise.
    """
    prepared = own_clips.prepare(files, rate=rate, seconds=seconds, skip_broken=skip_broken)

    def recipe_of(table: Table, rows: int) -> Recipe:
        size = prepared.x.shape[1]
        return recipe_of_clips(table, size, prepared.rate, rows, family=family, seed=seed)

    return _fit_files(files, prepared, out, recipe_of, **options)


def _fit_files(
    files: Files,
    prepared: own_rows.Prepared,
    out: str | os.PathLike[str],
    recipe_of: Callable[[Table, int], Recipe],
    *,
    name: str = "",
    minutes: float = math.inf,
    assignments: Iterable[str] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainingResult:
    """recipe_of: a table that is not written yet, and its train rows -> the recipe."""
    folder = Path(out)
    claim(folder, overwrite=overwrite)
    _tell(files, prepared)
    parts = splitting.by_groups(prepared.groups)
    _check_parts(parts, files.kind, len(set(prepared.groups)))
    account = prepared.account
    if prepared.repeated:
        account += f" {prepared.repeated:,} equal another one, and lie in one split with it."
    table = dataclasses.replace(_blank(name or folder.name), account=account, classes=files.classes)
    return _trained(
        recipe_of(table, len(parts["train"])),
        table,
        folder,
        Arrays(prepared.x, prepared.labels),
        parts,
        {"split": "by content", "folder": files.folder.resolve().name},
        minutes=minutes,
        assignments=assignments,
        progress=progress,
        overwrite=overwrite,
    )


def _blank(name: str) -> Table:
    """A table that is not written yet."""
    return Table(name=name, version="", folder="")


def _trained(
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


_FIT: dict[str, Callable[..., TrainingResult]] = {"pictures": fit_pictures, "clips": fit_clips}


def _tell(files: Files, prepared: own_rows.Prepared) -> None:
    if prepared.broken:
        warnings.warn(
            f"{len(prepared.broken):,} of {len(files.paths):,} {files.kind} are left out: "
            f"{several(prepared.broken, separator='; ')}.",
            UserWarning,
            stacklevel=5,
        )


def _arrays(frame: Any, columns: tuple[Column, ...], context: tuple[Column, ...]) -> Arrays:
    x = encoded(frame, columns).astype(np.float32)
    return Arrays(x, encoded(frame, context).astype(np.float32) if context else None)


def _check_parts(parts: Mapping[str, np.ndarray], kind: str, different: int) -> None:
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
