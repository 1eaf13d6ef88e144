"""A user's own rows, split and kept in a folder of NumPy files that a run reads again and again.

    rows.json        name, version, where the rows came from and how they were split
    train.npz        x [rows, columns], and context where there is one; validation.npz, test.npz

The version is the beginning of a SHA-256 over the rows themselves: a recipe that names it can learn
from, and be judged on, nothing else.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.data import Table
from zoo.data.arrays import Arrays
from zoo.errors import CheckpointError, DataError
from zoo.store.files import read_json, write_json_atomic

__all__ = ["INFO_FILE", "SPLITS", "Prepared", "available", "read", "write"]

INFO_FILE = "rows.json"
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A folder of files as rows.

    x: [rows, ...].   labels: int32 [rows], or None.   groups: by which rows are split, one each.
    account: how files became rows, in words.   broken: files that were left out, and why.
    rate: samples per second of clips, else 0.
    """

    x: np.ndarray
    labels: np.ndarray | None
    groups: tuple[bytes, ...]
    account: str
    broken: tuple[str, ...] = ()
    rate: int = 0

    @property
    def repeated(self) -> int:
        """Rows that equal one before them."""
        return len(self.x) - len({row.tobytes() for row in self.x})


def write(
    folder: Path,
    table: Table,
    arrays: Arrays,
    parts: Mapping[str, np.ndarray],
    origin: Mapping[str, Any],
) -> Table:
    """Writes the rows of the three splits; returns the table with its place and version.

    parts: the rows' places in `arrays`, by split; one split is in memory at a time.
    origin: plain values that say where they came from, for people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    missing = False
    for split in SPLITS:
        x = arrays.x[parts[split]]
        content = {"x": x}
        if arrays.context is not None:
            content["context"] = arrays.context[parts[split]]
        missing |= x.dtype.kind == "f" and bool(np.isnan(x).any())
        for part in content.values():
            digest.update(f"{split} {part.shape} {part.dtype.str}".encode())
            digest.update(np.ascontiguousarray(part).data)
        with (folder / f"{split}.npz").open("wb") as stream:
            np.savez(stream, allow_pickle=False, **content)
    version = digest.hexdigest()[:12]
    counts = {split: len(parts[split]) for split in SPLITS}
    write_json_atomic(
        folder / INFO_FILE, {"name": table.name, "version": version, "rows": counts, **origin}
    )
    return dataclasses.replace(
        table, version=version, folder=str(folder.resolve()), missing=missing
    )


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
