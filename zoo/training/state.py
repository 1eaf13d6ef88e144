"""A run's full state in one file: every variable, the counters, the history, the recipe.

The state before the last one is kept beside it, for the day when the last one cannot be read.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.recipe import Recipe
from zoo.core.recipe_json import from_dict, to_dict
from zoo.errors import FormatError, TrainingError
from zoo.store.files import replacing

__all__ = ["PREVIOUS_FILE", "STATE_FILE", "load_latest", "load_state", "save_state"]

STATE_FILE = "state.npz"
PREVIOUS_FILE = "state.previous.npz"
STATE_VERSION = 1

# What may change between a run and its resumption.
FREE_FIELDS = ("max_epochs", "patience", "notes", "paper", "after")


def save_state(
    path: Path,
    variables: Sequence[Any],
    *,
    recipe: Recipe,
    counters: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
) -> None:
    """Writes the state atomically; the one that was there becomes the previous one.

    `variables` are kept by position: names need not be unique.
    """
    arrays = {f"variable_{i:04d}": v.numpy() for i, v in enumerate(variables)}
    meta = {
        "version": STATE_VERSION,
        "counters": {
            **counters,
            "best_validation_nats": repr(counters["best_validation_nats"]),  # may be infinite
        },
        "history": history,
        "recipe": to_dict(recipe),
    }
    meta_bytes = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            np.savez(file, meta=meta_bytes, **arrays)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():  # only now, so that the two are one file for a moment alone
            _keep(path, path.with_name(PREVIOUS_FILE))


def _keep(source: Path, target: Path) -> None:
    """Gives the file `source` a second name, in one move; copies it where names are not linked."""
    with replacing(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(source, temporary)


def load_latest(
    folder: Path, variables: Sequence[Any], *, recipe: Recipe, restore: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """`load_state` of a run's last state, or of the one before where that cannot be read.

    It warns then. restore: also puts the previous state in the place of the damaged one.
    Raises as `load_state`, of the last state, where neither can be read.
    """
    state, previous = folder / STATE_FILE, folder / PREVIOUS_FILE
    try:
        return load_state(state, variables, recipe=recipe)
    except FormatError as error:
        try:
            loaded = load_state(previous, variables, recipe=recipe)
        except FormatError:
            raise error from None
        step = loaded[0]["step"]
        warnings.warn(
            f"{state} cannot be read; going on from the state before it, of step {step:,}.",
            RuntimeWarning,
            stacklevel=2,
        )
        if restore:
            with replacing(state) as temporary:
                shutil.copyfile(previous, temporary)
        return loaded


def load_state(
    path: Path, variables: Sequence[Any], *, recipe: Recipe
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Assigns the state's values to `variables`; returns the counters and the history.

    Raises:
        FormatError: A damaged file, another version, or arrays that are not these variables.
        TrainingError: The state is of another recipe.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            meta = json.loads(bytes(file["meta"]))
            arrays = [file[key] for key in sorted(file.files) if key != "meta"]
    except Exception as error:
        raise FormatError(
            f"{path} cannot be read: {error}. Start again in another --out."
        ) from error
    if meta.get("version") != STATE_VERSION:
        raise FormatError(
            f"{path} has state version {meta.get('version')}; this zoo reads {STATE_VERSION}."
        )
    mine, theirs = _fields(recipe), _fields(from_dict(meta["recipe"]))
    different = [k for k in mine if k not in FREE_FIELDS and mine[k] != theirs.get(k)]
    if different:
        raise TrainingError(
            f"{path} belongs to a recipe with other {', '.join(different)}; "
            "a run resumes under its own recipe, with the --set that it was started with."
        )
    if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
        raise FormatError(
            f"{path} holds {len(arrays)} arrays that are not this recipe's variables."
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    counters = dict(meta["counters"])
    counters["best_validation_nats"] = float(counters["best_validation_nats"])
    return counters, meta["history"]


def _fields(recipe: Recipe) -> dict[str, Any]:
    """The recipe's fields as JSON, those of its training among them."""
    values = to_dict(recipe)
    return {**values.pop("training"), **values}
