"""The folder of a published model, wherever it lies; every pinned file is hashed at each load.

Looked for in this order; the first folder found is the one used:

    1. `$ZOO_CHECKPOINTS/<name>`
    2. `checkpoints/<name>` of a source checkout
    3. the copy inside an installed wheel, which carries folders of at most 1 MB
    4. the cache: the caller's, `$ZOO_CACHE`, else `$XDG_CACHE_HOME/zoo`, else `~/.cache/zoo`
    5. a download from `$ZOO_BASE_URL/<name>/<file>` into the cache, unless `ZOO_OFFLINE=1`

Weights are immutable: from version 2 on, the cache and the host name the folder
`<name>.v<version>`. An earlier version than the newest is looked for there alone. What lies at an
address instead (hf://, gs://, https://) is found by `zoo.store.addresses`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import InvalidInputError, MissingCheckpointError, OfflineError
from zoo.store import addresses, downloads, pins
from zoo.store.downloads import cache_dir
from zoo.store.files import check_file
from zoo.store.folder import CONFIG_FILE, METRICS_FILE, RECIPE_FILE, RUN_FILE
from zoo.store.hashes import (
    SUMS_FILE,
    read_sha256sums,
    verify_files,
    verify_listed,
    verify_sha256sums,
)
from zoo.store.weights import WEIGHTS_FILE

__all__ = ["PACKAGE", "given", "given_file", "local_folder", "resolve"]

_LOGGER = logging.getLogger("zoo")

# What is read of a folder that the caller names, and somebody else may have written.
_READ = (SUMS_FILE, CONFIG_FILE, WEIGHTS_FILE, RECIPE_FILE, METRICS_FILE, RUN_FILE)

PACKAGE = Path(__file__).resolve().parents[1]
"""The installed package, beside which a checkout has its `checkpoints/`."""


def local_folder(name: str, version: int | None = None) -> Path | None:
    """The folder on this machine that a load would use; None where there is none. Hashes nothing.

    Raises:
        InvalidInputError: The version is not pinned.
        MissingCheckpointError: `$ZOO_CHECKPOINTS` is set and is not a folder.
    """
    pin = pins.of_version(name, version)
    for folder in _folders(name, pin):
        if folder.is_dir():
            return folder
    if pin is None:
        return None
    cached = cache_dir() / _versioned(name, pin)
    return cached if all((cached / file).is_file() for file in pin["files"]) else None


def resolve(name: str, version: int | None = None) -> Path:
    """The folder with the published files of a model, hashed; downloaded where need be.

    version: None for the newest.

    Raises:
        InvalidInputError: The version is not pinned.
        MissingCheckpointError: No published weights, or the files are nowhere.
        IntegrityError: A file is not the pinned one.
        OfflineError: A download is needed, and is forbidden or not possible.
    """
    pin = pins.of_version(name, version)
    if pin is None:
        raise MissingCheckpointError(
            f"{name} has no published weights. zoo.load({name!r}, weights=False) builds it with "
            f"fresh ones, `zoo train {name}` trains it, and zoo.list_models(pretrained=True) shows "
            "the models that have weights."
        )
    folder = local_folder(name, version)
    if folder is None:
        return _download(name, pin)
    verify_files(folder, pin["files"])
    return folder


def given(path: str | os.PathLike[str], *, sha256: str = "") -> Path:
    """A folder that the caller named, checked against its `SHA256SUMS`, and that against `sha256`.

    Raises:
        InvalidInputError: A file, or a malformed sha256.
        MissingCheckpointError: A listed file is absent; with a sha256, `SHA256SUMS` is.
        IntegrityError: A hash is another one.
        FormatError: A malformed `SHA256SUMS`, or with a sha256 one without config and weights; a
            link, a pipe or a device in the place of a file.
    """
    folder = Path(path).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(
            f"{folder} is a file: give its folder, or zoo.load(NAME, weights=FILE)."
        )
    for file in _READ:
        if os.path.lexists(folder / file):
            check_file(folder / file, links=False)
    if sha256:
        addresses.verify(folder, addresses.checked_sha256(sha256), whole=True)
    elif not verify_sha256sums(folder) and folder.is_dir():
        _not_proven(folder, f"it has no {SUMS_FILE}, which a run gets at its end")
    return folder


def given_file(path: Path) -> Path:
    """A weights file that the caller named, checked against the `SHA256SUMS` beside it.

    Raises:
        IntegrityError: Its hash is another one.
        FormatError: A malformed `SHA256SUMS`.
    """
    listed = read_sha256sums(path.parent) if (path.parent / SUMS_FILE).is_file() else {}
    if path.name in listed:
        verify_listed(path, listed[path.name])
    elif path.is_file():
        _not_proven(path, f"no {SUMS_FILE} beside it lists it")
    return path


def _not_proven(path: Path, why: str) -> None:
    _LOGGER.warning("Nothing proves that %s is whole and unchanged: %s.", path, why)


def _folders(name: str, pin: Mapping[str, Any] | None) -> list[Path]:
    """Candidates before the cache, in order: none of an earlier version."""
    if pin is not None and pin["version"] != pins.pins()[name]["version"]:
        return []
    folders = []
    if chosen := os.environ.get("ZOO_CHECKPOINTS"):
        root = Path(chosen).expanduser()
        if not root.is_dir():
            raise MissingCheckpointError(f"ZOO_CHECKPOINTS is {chosen!r}, which is not a folder.")
        folders.append(root / name)
    if (PACKAGE.parent / "pyproject.toml").is_file():
        folders.append(PACKAGE.parent / "checkpoints" / name)
    return [*folders, PACKAGE / "_checkpoints" / name]


def _versioned(name: str, pin: Mapping[str, Any]) -> str:
    return name if pin["version"] == 1 else f"{name}.v{pin['version']}"


def _download(name: str, pin: Mapping[str, Any]) -> Path:
    """The folder in the cache, with what it lacked fetched; each file hashed once, there or new."""
    remote = _versioned(name, pin)
    folder = cache_dir() / remote
    base = os.environ.get("ZOO_BASE_URL", "").rstrip("/")
    if downloads.is_offline():
        raise OfflineError(
            f"The files of {name} are not on this machine and ZOO_OFFLINE forbids a download. "
            f"Looked in {_places(name, pin, folder)}. Copy the folder to one of them, or unset "
            "ZOO_OFFLINE."
        )
    if not base:
        raise MissingCheckpointError(
            f"The files of {name} are not on this machine (a wheel carries the smallest models "
            f"alone). Looked in {_places(name, pin, folder)}. Point ZOO_CHECKPOINTS at the "
            "checkpoints/ of a checkout, or ZOO_BASE_URL at a host that serves them; or load a "
            "published copy by its address: zoo.load('hf://user/repository', sha256=...), or "
            "gs://, or https://."
        )
    with downloads.filling(folder, what=name):
        there = [file for file in pin["files"] if (folder / file).is_file()]
        verify_files(folder, {file: pin["files"][file] for file in there})
        for file, expected in pin["files"].items():
            if file not in there:
                downloads.fetch(
                    f"{base}/{remote}/",
                    file,
                    sha256=expected["sha256"],
                    size=expected["size"],
                    folder=folder,
                    origin="ZOO_BASE_URL",
                )
    return folder


def _places(name: str, pin: Mapping[str, Any], cached: Path) -> str:
    return ", ".join(str(folder) for folder in [*_folders(name, pin), cached])
