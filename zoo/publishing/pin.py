"""Pins: which files are the published ones of a name, kept in a source checkout."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo import loading, registry
from zoo.errors import PublishError
from zoo.exporting import deployment
from zoo.store.files import write_json_atomic, write_text_atomic

__all__ = ["checkout", "pin", "version_of", "write_pins"]


def checkout() -> Path:
    """The root of the source checkout that this package lies in. Raises PublishError for none."""
    root = Path(loading.__file__).resolve().parent.parent
    if not (root / "pyproject.toml").is_file():
        raise PublishError(
            "Names of the registry are released in a source checkout, and this is an installed "
            "package: publish the run's folder instead, zoo publish FOLDER --to ADDRESS."
        )
    return root


def version_of(name: str, *, again: bool, given: int | None) -> int:
    """The version to pin. Raises PublishError where a run would replace a released one."""
    pinned = registry.pins().get(name, {}).get("version", 0)
    if again:
        return given or pinned or 1
    if pinned and (given or 0) <= pinned:
        raise PublishError(
            f"{name} {pinned} is released: give these weights --version {pinned + 1}"
        )
    return given or 1


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


def pin(root: Path, name: str, version: int, files: dict[str, dict[str, Any]]) -> None:
    """Writes the name's pins, and the servers' list of models, both or none."""
    path, served = root / "zoo" / "pins.json", root / "export" / "models.config"
    pins = json.loads(path.read_text(encoding="utf-8"))
    pins[name] = {"version": version, "files": files}
    with _restored(path), _restored(served):
        write_text_atomic(served, deployment.models_config(sorted(pins)))
        write_pins(path, pins)


def write_pins(path: Path, pins: dict[str, Any]) -> None:
    """Writes the table of pins, which is read anew the next time."""
    write_json_atomic(path, dict(sorted(pins.items())))
    registry.pins.cache_clear()
