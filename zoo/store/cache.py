"""What lies in the cache, and how it goes.

    <cache>/<name>, <name>.v<version>     published models
    <cache>/sha256/…, revisions/…         what came from addresses (`zoo.store.addresses`)
    <cache>/tensorflow_datasets           prepared datasets, which are listed and never removed here

Anything else there is passed over.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo.errors import OfflineError
from zoo.store import downloads, pins

__all__ = ["Cached", "cached", "remove"]

State = Literal["in use", "partial", "earlier", "not pinned", "address", "datasets"]
_ADDRESSES = ("sha256", "revisions")
_DATASETS = "tensorflow_datasets"


@dataclass(frozen=True, kw_only=True)
class Cached:
    """A folder of the cache.

    state: "in use" by a load of its name; "partial", a download that broke off and will go on;
    "earlier", a version before the newest; "not pinned" by the installed package; of an "address";
    or "datasets".
    """

    name: str
    version: int
    state: State
    size: int
    folder: Path


def cached() -> list[Cached]:
    """What lies in the cache, by name; other things there are passed over."""
    root = downloads.cache_dir()
    found = []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if not folder.is_dir() or folder.is_symlink():
            continue
        if folder.name == _DATASETS:
            found.append(_entry(folder, _DATASETS, 0, "datasets"))
        elif folder.name in _ADDRESSES:
            inner = [path for path in sorted(folder.iterdir()) if path.is_dir()]
            found += [_entry(path, f"{folder.name}/{path.name}", 0, "address") for path in inner]
        elif (split := _named(folder.name)) is not None:
            name, version = split
            found.append(_entry(folder, name, version, _state(folder, name, version)))
    return found


def _named(folder: str) -> tuple[str, int] | None:
    """(name, version) of a folder of a published model."""
    match = re.fullmatch(r"(\w+?)(?:\.v(\d+))?", folder)
    if match is None or (match[1] not in pins.pins() and match[2] is None):
        return None
    return match[1], int(match[2] or 1)


def _state(folder: Path, name: str, version: int) -> State:
    pin = pins.pins().get(name, {"version": 0})
    if str(version) in pin.get("earlier", {}):
        return "earlier"
    if version != pin["version"]:
        return "not pinned"
    return "in use" if all((folder / file).is_file() for file in pin["files"]) else "partial"


def _entry(folder: Path, name: str, version: int, state: State) -> Cached:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Cached(name=name, version=version, state=state, size=size, folder=folder)


def remove(entries: Iterable[Cached]) -> int:
    """Removes the folders, which nobody may be filling; returns the bytes that are free again.

    Raises OfflineError where another process is downloading into one of them.
    """
    import filelock

    freed = 0
    for entry in entries:
        path = entry.folder.with_name(f"{entry.folder.name}.lock")
        try:
            with filelock.FileLock(path, timeout=0):
                shutil.rmtree(entry.folder)
        except filelock.Timeout as error:
            raise OfflineError(
                f"Another process is downloading {entry.name} ({path}): wait for it, or end it."
            ) from error
        path.unlink(missing_ok=True)
        freed += entry.size
    return freed
