"""The table of models: name, family, recipe, paper. Importable without TensorFlow.

One module a family. Each system has one recipe that is the paper's; what is trained on two CPU
cores is a `replace` of it. Published weights are pinned in `zoo.store.pins`; a name without pins
has a recipe and an architecture, and no published weights.
"""

from __future__ import annotations

import difflib
import importlib

from zoo.errors import UnknownModelError
from zoo.registry.entry import Entry

__all__ = ["ENTRIES", "Entry", "get"]

MODULES = ("nice", "realnvp", "maf", "nsf", "vae", "wavenet", "energies", "idf", "any_order")
"""A module of entries each, in the order of tables."""

ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for module in MODULES
    for entry in importlib.import_module(f"zoo.registry.{module}").ENTRIES
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
