"""The model and the objective of a recipe."""

from __future__ import annotations

from typing import Any

from zoo import loading
from zoo.core.recipe import Recipe
from zoo.errors import ConfigError
from zoo.models import build
from zoo.objectives import Objective, objective_of
from zoo.training.augmentation import check_augmentation

__all__ = ["build_model", "build_objective"]


def build_model(recipe: Recipe, name: str) -> Any:
    """The recipe's model with fresh weights, its conditioners in the recipe's precision.

    Raises ConfigError for augmentations that its rows cannot undergo, for a precision that its
    preprocessing cannot do with, and for a `frozen` that freezes nothing or everything.
    """
    training = recipe.sgd
    narrow = training.conditioner_dtype == "mixed_bfloat16"  # TF32 is a matter of the accelerator
    policy = training.conditioner_dtype if narrow else ""
    model = build(recipe.family, recipe.config, conditioner_dtype=policy, name=name)
    check_augmentation(training.augment, model)
    multiplies = model.config.preprocessing.whitening not in ("none", "standardise")
    if training.conditioner_dtype == "tensorfloat32" and multiplies:
        raise ConfigError(
            "TF32 would round the whitening's matrix products, too, which are part of the density: "
            "set conditioner_dtype to float32 or mixed_bfloat16."
        )
    if training.frozen:
        model.freeze(training.frozen)
    return model


def build_objective(recipe: Recipe, model: Any) -> Objective:
    """What the recipe minimises, for its model, with the teacher's weights where it has one."""
    return objective_of(
        recipe.objective, model, data=recipe.data, load=lambda name: loading.load(name)
    )
