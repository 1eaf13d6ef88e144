"""What is published: the version and the SHA-256 of every file, in the package's `pins.json`.

Callers write `pins.pins()`, through the module.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from zoo.store.files import write_json_atomic
from zoo.store.hashes import write_sha256sums

__all__ = ["PINS_FILE", "pin", "pins"]

PINS_FILE = Path(__file__).resolve().parents[1] / "pins.json"


@functools.cache
def pins() -> dict[str, dict[str, Any]]:
    """name -> {"version": int, "files": files} of every published checkpoint.

    files: {file: {"sha256", "size"}}.   A name that is absent has no published weights.
    """
    return json.loads(PINS_FILE.read_text(encoding="utf-8"))


def pin(name: str, folder: Path, version: int) -> None:
    """Writes a folder's `SHA256SUMS`, and the name's entry in `pins.json` with the same hashes."""
    files = write_sha256sums(folder)
    known = json.loads(PINS_FILE.read_text(encoding="utf-8"))
    known[name] = {"version": version, "files": files}
    write_json_atomic(PINS_FILE, dict(sorted(known.items())))
    pins.cache_clear()
