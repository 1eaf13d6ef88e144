"""What a model can do and what its recipe brings: the words that metrics and cards need."""

from __future__ import annotations

from typing import Any

from zoo.core.capabilities import Bijective, Encodes, Infers, Samples, Scores, Steps
from zoo.core.recipe import Recipe

__all__ = ["capabilities_of", "things_of"]

CAPABILITIES = (Scores, Samples, Encodes, Bijective, Infers, Steps)


def capabilities_of(model: Any) -> frozenset[str]:
    """The names of the capabilities of a model, or of a class of models."""
    kind = model if isinstance(model, type) else type(model)
    return frozenset(found.__name__ for found in CAPABILITIES if issubclass(kind, found))


def things_of(recipe: Recipe) -> frozenset[str]:
    """What a recipe brings beside rows: a "target", a "teacher"."""
    things = {"target": recipe.energy, "teacher": recipe.distillation}
    return frozenset(name for name, thing in things.items() if thing)
