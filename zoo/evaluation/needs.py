"""What a model can do and what its recipe brings: the words that metrics and cards need."""

from __future__ import annotations

from typing import Any

from zoo.core.capabilities import Bijective, Encodes, Infers, Samples, Scores, Steps
from zoo.core.recipe import Distillation, Recipe, Target

__all__ = ["capabilities_of", "things_of"]

CAPABILITIES = (Scores, Samples, Encodes, Bijective, Infers, Steps)


def capabilities_of(model: Any) -> frozenset[str]:
    """The names of the capabilities of a model, or of a class of models."""
    kind = model if isinstance(model, type) else type(model)
    return frozenset(found.__name__ for found in CAPABILITIES if issubclass(kind, found))


def things_of(recipe: Recipe) -> frozenset[str]:
    """What a recipe brings beside rows: a "target", a "teacher"."""
    things = {
        "target": isinstance(recipe.data, Target),
        "teacher": isinstance(recipe.objective, Distillation),
    }
    return frozenset(name for name, there in things.items() if there)
