"""What is published: the version and the SHA-256 of every file, in the package's `pins.json`.

Callers write `pins.pins()`, through the module.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from zoo.errors import InvalidInputError
from zoo.store.files import write_json_atomic
from zoo.store.hashes import write_sha256sums

__all__ = ["PINS_FILE", "of_version", "pin", "pins"]

PINS_FILE = Path(__file__).resolve().parents[1] / "pins.json"


@functools.cache
def pins() -> dict[str, dict[str, Any]]:
    """name -> {"version": int, "files": files} of every published checkpoint.

    files: {file: {"sha256", "size"}}.   A name that is absent has no published weights.
    "earlier", where there is one: {version: files} of the versions before, which a host may keep.
    """
    return json.loads(PINS_FILE.read_text(encoding="utf-8"))


def of_version(name: str, version: int | None) -> dict[str, Any] | None:
    """The pin of a published version, {"version", "files"}; None for a name without weights.

    version: None for the newest. Raises InvalidInputError for one that is not pinned.
    """
    newest = pins().get(name)
    if newest is None or version in (None, newest["version"]):
        return newest
    earlier = newest.get("earlier", {})
    if isinstance(version, int) and str(version) in earlier:
        return {"version": version, "files": earlier[str(version)]}
    known = ", ".join([*sorted(earlier, key=int), str(newest["version"])])
    raise InvalidInputError(
        f"The installed zoo pins version {known} of {name}; got version={version!r}. Another "
        "release of density-zoo pins others, and what lies at an address is loaded by its hash: "
        "zoo.load('https://…', sha256=…)."
    )


def pin(name: str, folder: Path, version: int) -> None:
    """Writes a folder's `SHA256SUMS`, and the name's entry in `pins.json` with the same hashes.

    The pins of another version before it are kept as earlier ones.
    """
    files = write_sha256sums(folder)
    known = json.loads(PINS_FILE.read_text(encoding="utf-8"))
    before = known.get(name, {})
    earlier = dict(before.get("earlier", {}))
    if before and before["version"] != version:
        earlier[str(before["version"])] = before["files"]
    earlier.pop(str(version), None)
    known[name] = {"version": version, "files": files, **({"earlier": earlier} if earlier else {})}
    write_json_atomic(PINS_FILE, dict(sorted(known.items())))
    pins.cache_clear()
