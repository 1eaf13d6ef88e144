"""A model as a checkpoint folder, which `zoo.load` and every command take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zoo.core.recipe import Recipe
from zoo.errors import InvalidInputError
from zoo.store.files import unfinished
from zoo.store.folder import CONFIG_FILE, RECIPE_FILE, save_checkpoint
from zoo.store.hashes import SUMS_FILE, write_sha256sums
from zoo.store.weights import WEIGHTS_FILE

__all__ = ["save"]

WRITTEN = (CONFIG_FILE, WEIGHTS_FILE, RECIPE_FILE, SUMS_FILE)


def save(
    model: Any,
    folder: str | os.PathLike[str],
    *,
    recipe: Recipe | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes a model's config and weights, and their hashes, into a folder; returns it.

    `zoo.load(folder)` is the same model again, and `zoo sample`, `score`, `anomalies --reference`,
    `impute`, `plot`, `export` and `serve` take the folder. `evaluate` and `publish` want to know
    the data as well: give the recipe.

    Args:
        model: Of `zoo.create`, `zoo.load` or `zoo.fit`, trained further or not.
        folder: Made if it does not exist.
        recipe: Of the data and the training, such as `zoo.registry.get(name).recipe`.
        overwrite: Whether a model that lies there may be replaced.

    Raises InvalidInputError for what is no model of the zoo, and for a folder that holds a model,
    without `overwrite`, or anything else.
    """
    family = getattr(model, "family", "")
    if not family or not hasattr(model, "config"):
        raise InvalidInputError(
            f"Expected a model of zoo.create, zoo.load or zoo.fit; got {type(model).__name__}. "
            "Keras saves other models: model.save('m.keras')."
        )
    folder = Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file: give the path of a folder.")
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    others = sorted(present - {*WRITTEN, *(path.name for path in unfinished(folder, WRITTEN))})
    if others:
        raise InvalidInputError(
            f"{folder} holds other things ({', '.join(others[:3])}): give a folder of its own."
        )
    if present & set(WRITTEN) and not overwrite:
        raise InvalidInputError(f"{folder} holds a model: give another folder, or overwrite=True.")
    for name in (SUMS_FILE, RECIPE_FILE):
        (folder / name).unlink(missing_ok=True)
    save_checkpoint(folder, model, family=family, recipe=recipe)
    write_sha256sums(folder, WRITTEN)
    return folder
