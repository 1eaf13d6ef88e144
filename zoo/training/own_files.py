"""A model of a folder of a user's own files: pictures, or clips."""

from __future__ import annotations

import dataclasses
import math
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from zoo.core.recipe import Recipe, Table
from zoo.data import own_clips, own_pictures, own_rows, splitting
from zoo.data.arrays import Arrays
from zoo.data.folders import Files, several
from zoo.training.claim import claim
from zoo.training.own_recipes import recipe_of_clips, recipe_of_pictures
from zoo.training.own_runs import Progress, blank, check_parts, trained
from zoo.training.records import TrainingResult

__all__ = ["FIT", "fit_clips", "fit_pictures", "fit_prepared"]


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

    return fit_prepared(files, prepared, out, recipe_of, **options)


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

    return fit_prepared(files, prepared, out, recipe_of, **options)


def fit_prepared(
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
    check_parts(parts, files.kind, len(set(prepared.groups)))
    account = prepared.account
    if prepared.repeated:
        account += f" {prepared.repeated:,} equal another one, and lie in one split with it."
    table = dataclasses.replace(blank(name or folder.name), account=account, classes=files.classes)
    return trained(
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


def _tell(files: Files, prepared: own_rows.Prepared) -> None:
    if prepared.broken:
        warnings.warn(
            f"{len(prepared.broken):,} of {len(files.paths):,} {files.kind} are left out: "
            f"{several(prepared.broken, separator='; ')}.",
            UserWarning,
            stacklevel=5,
        )


FIT: dict[str, Callable[..., TrainingResult]] = {"pictures": fit_pictures, "clips": fit_clips}
