"""Pinning a release in a source checkout, or leaving what was pinned."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import CheckpointError, PublishError
from zoo.exporting import deployment
from zoo.store import locate, pins
from zoo.store.files import write_text_atomic
from zoo.store.hashes import read_sha256sums

__all__ = ["checkout", "is_pinned", "pin", "version_of"]


def checkout() -> Path:
    """The root of the source checkout that this package lies in. Raises PublishError for none."""
    root = locate.PACKAGE.parent
    if not (root / "pyproject.toml").is_file():
        raise PublishError(
            "Names of the registry are released in a source checkout, and this is an installed "
            "package: publish the run's folder instead, zoo publish FOLDER --to ADDRESS."
        )
    return root


def version_of(name: str, *, again: bool, given: int | None) -> int:
    """The version to pin. Raises PublishError where a run would replace a released one."""
    pinned = pins.pins().get(name, {}).get("version", 0)
    if again:
        return given or pinned or 1
    if pinned and (given or 0) <= pinned:
        raise PublishError(
            f"{name} {pinned} is released: give these weights --version {pinned + 1}"
        )
    return given or 1


def is_pinned(folder: Path) -> bool:
    """Whether the folder's files, as its `SHA256SUMS` lists them, are those pinned for its name."""
    try:
        listed = read_sha256sums(folder)
    except CheckpointError:
        return False
    pinned = [known["files"] for known in pins.pins().values()]
    return any({name: file["sha256"] for name, file in files.items()} == listed for files in pinned)


def pin(root: Path, name: str, folder: Path, version: int) -> None:
    """Writes the name's pins, and the servers' list of models, both or none."""
    served = root / "export" / "models.config"
    with _restored(pins.PINS_FILE), _restored(served):
        write_text_atomic(served, deployment.models_config(sorted({*pins.pins(), name})))
        pins.pin(name, folder, version)


@contextlib.contextmanager
def _restored(path: Path) -> Iterator[None]:
    """After an error in the block the file is as it was."""
    before = path.read_bytes() if path.is_file() else None
    try:
        yield
    except BaseException:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)
        raise
