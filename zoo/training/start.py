"""Weights that a run starts from: those of a model that shares some or all of its layers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo import checkpointing, loading
from zoo.errors import TrainingError

__all__ = ["assign_shared", "origin"]


def _named(weights: Sequence[Any]) -> dict[tuple[Any, ...], Any]:
    """The weights by path and shape; those with both in common are numbered."""
    named: dict[tuple[Any, ...], Any] = {}
    seen: Counter[tuple[Any, ...]] = Counter()
    for weight in weights:
        # The path of a weight that is of no layer begins with its model's name.
        key = (weight.path if weight.trainable else weight.name, weight.shape)
        named[*key, seen[key]] = weight
        seen[key] += 1
    return named


def assign_shared(model: Any, source: Any) -> None:
    """Gives the model's weights the values of the source's of the same path and shape.

    What only the model has stays fresh: further layers, an output layer of another size.
    Raises TrainingError where the model lacks a trained weight of the source that is not of its
    output layer.
    """
    own, values = _named(model.trainable_weights), _named(source.trainable_weights)
    lacking = [k for k in values if k not in own and not k[0].startswith("output/")]
    if lacking:
        path, shape, _ = lacking[0]
        raise TrainingError(
            f"{model.name} cannot start from {source.name}: it lacks {len(lacking)} of its "
            f"{len(values)} weights, {path} {list(shape)} the first."
        )
    own |= _named(model.non_trainable_weights)
    for key, value in (values | _named(source.non_trainable_weights)).items():
        if key in own:
            own[key].assign(value)


def origin(initial_weights: str | os.PathLike[str], start: str) -> dict[str, str] | None:
    """What a run starts from: its folder's name and the weights' SHA-256; None for nothing."""
    if not initial_weights and not start:
        return None
    weights = Path(initial_weights or loading.resolve(start) / checkpointing.WEIGHTS_FILE)
    return {"name": weights.absolute().parent.name, "sha256": checkpointing.sha256_of(weights)}
