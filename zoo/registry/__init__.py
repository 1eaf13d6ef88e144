"""The table of models: name, family, recipe, paper. Importable without TensorFlow.

One module a family. Each system has one recipe that is the paper's; what is trained on two CPU
cores is a `replace` of it. Published weights are pinned in `zoo.store.pins`; a name without pins
has a recipe and an architecture, and no published weights.
"""

from __future__ import annotations

import difflib
import importlib

from zoo.core.study import Study
from zoo.errors import ConfigError, UnknownModelError
from zoo.registry.entry import Entry

__all__ = ["ENTRIES", "STUDIES", "Entry", "get", "get_study"]

MODULES = (
    *("nice", "realnvp", "maf", "nsf", "vae", "wavenet", "energies", "idf", "any_order"),
    *("ddf", "dtf"),
)
"""A module of entries each, in the order of tables."""

ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for module in MODULES
    for entry in importlib.import_module(f"zoo.registry.{module}").ENTRIES
}

STUDIES: dict[str, Study] = {
    study.name: study
    for module in MODULES
    for study in getattr(importlib.import_module(f"zoo.registry.{module}"), "STUDIES", ())
}
"""What compares entries over seeds: a module declares its own, where it has some."""


def get(name: str) -> Entry:
    """The entry of that name. Raises UnknownModelError, with close matches, for none."""
    if name in ENTRIES:
        return ENTRIES[name]
    close = difflib.get_close_matches(str(name), ENTRIES, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise UnknownModelError(
        f"No model named {name!r}.{hint} zoo.list_models() shows all {len(ENTRIES)}."
    )


def get_study(name: str) -> Study:
    """The study of that name. Raises ConfigError for none."""
    if name in STUDIES:
        return STUDIES[name]
    raise ConfigError(f"No study named {name!r}; there are {', '.join(STUDIES)}.")
