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

from zoo.core.nesting import MAX_DEPTH, depth
from zoo.core.recipe import Recipe
from zoo.core.recipe_json import from_dict, to_dict
from zoo.errors import FormatError, TrainingError
from zoo.store.files import MAX_JSON_BYTES, check_file, replacing
from zoo.training.records import HISTORY_FIELDS, STAGE_FIELDS

__all__ = ["PREVIOUS_FILE", "STATE_FILE", "load_latest", "load_state", "save_state"]

STATE_FILE = "state.npz"
PREVIOUS_FILE = "state.previous.npz"
STATE_VERSION = 1

_COUNTS = ("step", "best_step", "validations_without_gain", "nats_count")
_SUMS = ("seconds", "nats_sum")

# What may change between a run and its resumption.
FREE_FIELDS = ("max_epochs", "layers", "patience", "notes", "paper", "after")


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
        check_file(path)
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            meta = _meta(file)
            if meta.get("version") != STATE_VERSION:
                raise FormatError(
                    f"{path} has state version {meta.get('version')}; this zoo reads "
                    f"{STATE_VERSION}."
                )
            counters, history, other = _checked(meta)
            keys = sorted(key for key in file.files if key != "meta")
            if [tuple(v.shape) for v in variables] != [_shape(file, key) for key in keys]:
                arrays = None
            else:
                arrays = [file[key] for key in keys]
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(
            f"{path} cannot be read: {error}. Start again in another --out."
        ) from error
    mine, theirs = _fields(recipe), _fields(other)
    different = [k for k in mine if k not in FREE_FIELDS and mine[k] != theirs.get(k)]
    if different:
        raise TrainingError(
            f"{path} belongs to a recipe with other {', '.join(different)}; "
            "a run resumes under its own recipe, with the --set that it was started with."
        )
    if arrays is None or any(array.dtype.kind not in "fiub" for array in arrays):
        raise FormatError(f"{path} holds {len(keys)} arrays that are not this recipe's variables.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return counters, history


# What is read of a state is what `save_state` writes, or it is refused: it may be forged.


def _shape(file: Any, key: str) -> tuple[int, ...]:
    """An array's shape, from its header: it has no memory yet."""
    with file.zip.open(f"{key}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, _ = read(member)
        return tuple(shape)


def _meta(file: Any) -> dict[str, Any]:
    """The JSON in a state. Raises ValueError for more than a run writes."""
    (size,) = _shape(file, "meta")
    if size > MAX_JSON_BYTES:
        raise ValueError(f"its record has {size:,} bytes")
    document = bytes(file["meta"])
    if depth(document) > MAX_DEPTH:
        raise ValueError(f"its record is nested more than {MAX_DEPTH} levels deep")
    meta = json.loads(document)
    if not isinstance(meta, dict):
        raise ValueError("its record is no object")
    return meta


def _checked(meta: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]], Recipe]:
    """Counters, history and recipe. Raises ValueError or KeyError where one is of another form."""
    counters, history = dict(meta["counters"]), meta["history"]
    counters["best_validation_nats"] = float(counters["best_validation_nats"])
    for name in _COUNTS:
        value = counters["step"] if name == "step" else counters.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"its {name} is {value!r}")
    for name in _SUMS:
        if not isinstance(counters.get(name, 0.0), int | float):
            raise ValueError(f"its {name} is {counters[name]!r}")
    if not all(isinstance(name, str) for name in counters.get("hardware", [])):
        raise ValueError("its hardware is no list of names")
    rows = isinstance(history, list) and all(isinstance(row, dict) for row in history)
    known = [set(fields) for fields in (HISTORY_FIELDS, STAGE_FIELDS)]
    if not rows or not any(all(row.keys() <= names for row in history) for names in known):
        raise ValueError("its history is no list of validations")
    return counters, history, from_dict(meta["recipe"])


def _fields(recipe: Recipe) -> dict[str, Any]:
    """The recipe's fields as JSON, those of its training among them."""
    values = to_dict(recipe)
    return {**values.pop("training"), **values}
