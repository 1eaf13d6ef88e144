"""Makes Keras know the zoo's classes after `import zoo`, without importing TensorFlow or Keras.

`keras.saving.load_model` finds a class by its registered name ("zoo>NICE"), and a class registers
itself when its module is imported. `import zoo` is light and imports no model, so it announces the
names instead: the first lookup of one imports the module, which then registers the real class.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import wrapt

__all__ = ["announce"]

PACKAGE = "zoo"
"""What the zoo's classes give to `keras.saving.register_keras_serializable`."""


def announce() -> None:
    """Announces the model classes to Keras: now if it is imported, else as soon as it is."""
    wrapt.register_post_import_hook(_add_names, "keras")


def _add_names(keras: ModuleType) -> None:
    from zoo.models import FAMILIES

    known = keras.saving.get_custom_objects()
    for target in FAMILIES.values():
        known.setdefault(f"{PACKAGE}>{target.partition(':')[2]}", _Announced(target))


class _Announced:
    """Stands for a class that is not imported yet; `target` is "module:class"."""

    def __init__(self, target: str) -> None:
        self._target = target

    def from_config(self, config: dict[str, Any]) -> Any:
        """What the class itself makes of `config`; importing it replaces this entry."""
        module, _, name = self._target.partition(":")
        return getattr(importlib.import_module(module), name).from_config(config)
