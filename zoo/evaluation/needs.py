"""What a recipe brings beside rows: words that metrics and cards need, as capabilities are."""

from __future__ import annotations

from zoo.core.recipe import Distillation, Recipe, Target

__all__ = ["things_of"]


def things_of(recipe: Recipe) -> frozenset[str]:
    """What a recipe brings beside rows: a "target", a "teacher"."""
    things = {
        "target": isinstance(recipe.data, Target),
        "teacher": isinstance(recipe.objective, Distillation),
    }
    return frozenset(name for name, there in things.items() if there)
