"""The table of models: name, family, recipe, paper. Importable without TensorFlow.

One module a family. Each system has one recipe that is the paper's; what is trained on two CPU
cores is a `replace` of it. Weights are pinned by sha256 in the package data file `pins.json`; a
name without pins has a recipe and an architecture, and no published weights.
"""

from __future__ import annotations

import difflib
import functools
import importlib.resources
import json
from typing import Any

from zoo.errors import UnknownModelError
from zoo.registry import energies, idf, maf, nice, nsf, realnvp, vae, wavenet
from zoo.registry.entry import Entry

__all__ = ["ENTRIES", "Entry", "get", "pins"]

ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for family in (nice, realnvp, maf, nsf, vae, wavenet, energies, idf)
    for entry in family.ENTRIES
}


def get(name: str) -> Entry:
    """The entry of that name. Raises UnknownModelError, with close matches, for none."""
    if name in ENTRIES:
        return ENTRIES[name]
    close = difflib.get_close_matches(str(name), ENTRIES, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise UnknownModelError(
        f"No model named {name!r}.{hint} zoo.list_models() shows all {len(ENTRIES)}."
    )


@functools.cache
def pins() -> dict[str, dict[str, Any]]:
    """name -> {"version": int, "files": files} of every published checkpoint.

    files: {file: {"sha256", "size"}}.
    """
    text = importlib.resources.files("zoo").joinpath("pins.json").read_text(encoding="utf-8")
    return json.loads(text)
