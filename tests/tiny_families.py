"""A tiny recipe and rows for every family: what training has to do with all of them.

A new family needs a line here: tests of replicas and of compiled steps run over all.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tiny_runs
import tiny_steps
from tiny import plain

from zoo import models
from zoo.core.recipe import SGD, Distillation, Optimizer, Recipe, variant

BATCH = 8
_WAVENET = Recipe(
    family="wavenet",
    config=plain("wavenet"),
    data=tiny_runs.RECIPES["maf"].dataset,
    training=SGD(
        optimizer=Optimizer(learning_rate=1e-3, clip_norm=3000.0),
        batch_size=BATCH,
        max_epochs=4,
        ema_decay=0.9,
        jit_compile=True,
    ),
)

RECIPES: dict[str, Recipe] = {
    **{
        family: variant(
            recipe,
            batch_size=BATCH,
        )
        for family, recipe in tiny_steps.TINY.items()
    },
    "wavenet": _WAVENET,
    "parallel_wavenet": variant(
        _WAVENET,
        family="parallel_wavenet",
        config=plain("parallel_wavenet"),
        objective=Distillation(teacher="tiny_teacher", divergence="gaussian", contrastive=0.3),
    ),
}


def without_dropout(recipe: Recipe) -> Recipe:
    """The recipe without what draws by the place in a batch."""
    if "dropout" not in recipe.config:
        return recipe
    return dataclasses.replace(recipe, config={**recipe.config, "dropout": 0.0})


def teacher(*_: Any, **__: Any) -> Any:
    """In place of `zoo.loading.load`: a teacher for the student, the same at every call."""
    config = {**_WAVENET.config, "output": "gaussian"}
    return randomised(models.create("wavenet", **config), seed=9)


def randomised(model: Any, seed: int = 0) -> Any:
    """Every trainable weight drawn anew, small, whatever is drawn for it at its creation."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        scale = 0.5 / np.sqrt(variable.shape[-2]) if len(variable.shape) > 1 else 0.1
        variable.assign((rng.normal(size=variable.shape) * scale).astype("float32"))
    return model


def rows(recipe: Recipe, count: int = BATCH, seed: int = 5) -> tuple[np.ndarray, Any]:
    """(x, context or None), as the dataset would store them."""
    rng = np.random.default_rng(seed)
    space = models.model_class(recipe.family).config_class.from_dict(recipe.config).data_space()
    shape = (count, *space.shape)
    if space.medium == "audio":
        x = rng.integers(-9000, 9000, shape).astype("int16")
    elif space.is_integer:
        x = rng.integers(0, 256, shape).astype("uint8")  # before a recipe's binarisation
    else:
        x = rng.normal(size=shape).astype("float32")
    classes = recipe.config.get("context_size", 0)
    return x, np.arange(count, dtype="int32") % classes if classes else None
