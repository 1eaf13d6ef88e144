"""What a model can do and what its recipe brings: the words that metrics and cards need."""

from __future__ import annotations

from typing import Any

from zoo.core.recipe import Recipe

__all__ = ["capabilities_of", "medium_of", "things_of"]

# capability -> the method that only models with it have
_METHODS = {
    "Scores": "log_prob",
    "Samples": "sample",
    "Encodes": "encode",
    "Bijective": "bijector",
    "Infers": "elbo",
    "Steps": "stepwise_log_prob",
}


def capabilities_of(model: Any) -> frozenset[str]:
    """The names of the capabilities of a model, or of a class of models."""
    kind = model if isinstance(model, type) else type(model)
    return frozenset(
        name for name, method in _METHODS.items() if callable(getattr(kind, method, None))
    )


def medium_of(model: Any) -> str:
    """How a person looks at the model's rows: "image", "audio" or "features"."""
    if model.data_dtype == "int16":
        return "audio"
    return "image" if len(model.config.event_shape) == 3 else "features"


def things_of(recipe: Recipe) -> frozenset[str]:
    """What a recipe brings beside rows: a "target", a "teacher"."""
    things = {"target": recipe.energy, "teacher": recipe.distillation}
    return frozenset(name for name, thing in things.items() if thing)
