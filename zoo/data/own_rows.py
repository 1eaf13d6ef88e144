"""A user's own rows, split and kept in a folder of NumPy files that a run reads again and again.

    rows.json        name, version, where the rows came from and how they were split
    train.npz        x [rows, columns], and context where there is one; validation.npz, test.npz

The version is the beginning of a SHA-256 over the rows themselves: a recipe that names it can learn
from, and be judged on, nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.data import Table
from zoo.data.arrays import Arrays
from zoo.errors import CheckpointError, DataError
from zoo.store.files import read_json, write_json_atomic

__all__ = ["INFO_FILE", "available", "read", "write"]

INFO_FILE = "rows.json"
SPLITS = ("train", "validation", "test")


def write(
    folder: Path, name: str, splits: Mapping[str, Arrays], origin: Mapping[str, Any]
) -> Table:
    """Writes the rows of the three splits; returns what a recipe calls them.

    origin: plain values that say where they came from, for people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        arrays = splits[split]
        parts = {"x": arrays.x}
        if arrays.context is not None:
            parts["context"] = arrays.context
        with (folder / f"{split}.npz").open("wb") as stream:
            np.savez(stream, allow_pickle=False, **parts)
    version = _version(splits)
    counts = {split: splits[split].rows for split in SPLITS}
    values = {"name": name, "version": version, "rows": counts, **origin}
    write_json_atomic(folder / INFO_FILE, values)
    missing = any(np.isnan(splits[split].x).any() for split in SPLITS)
    return Table(name=name, version=version, folder=str(folder.resolve()), missing=bool(missing))


def _version(splits: Mapping[str, Arrays]) -> str:
    digest = hashlib.sha256()
    for split in SPLITS:
        for part in (splits[split].x, splits[split].context):
            if part is not None:
                digest.update(f"{split} {part.shape} {part.dtype.str}".encode())
                digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:12]


def available(table: Table) -> bool:
    """Whether the rows lie in their folder."""
    return (Path(table.folder) / INFO_FILE).is_file()


def read(table: Table, split: str) -> Arrays:
    """The rows of a split. Raises DataError where they are not there, or are others by now."""
    folder = Path(table.folder)
    advice = (
        f"Prepare them again with `zoo fit`, or, where the folder was moved, give its new place: "
        f"--set data.folder={folder.name}."
    )
    if split not in SPLITS:
        raise DataError(f"Expected a split out of {', '.join(SPLITS)}; got {split!r}.")
    if not available(table):
        raise DataError(f"The rows of {table.name} are not in {folder}. {advice}")
    try:
        found = read_json(folder / INFO_FILE).get("version")
        with np.load(folder / f"{split}.npz", allow_pickle=False) as content:
            arrays = Arrays(content["x"], content.get("context"))
    except (OSError, ValueError, KeyError, CheckpointError) as error:
        raise DataError(f"The rows of {table.name} in {folder} are damaged: {error}.") from error
    if found != table.version:
        raise DataError(
            f"Expected the rows {table.name}:{table.version} in {folder}; they are "
            f"{table.name}:{found}. {advice}"
        )
    return arrays
