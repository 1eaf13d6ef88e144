"""Weights that a run starts from: those of a model that shares some or all of its layers."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from zoo import loading
from zoo.core.recipe_json import digest, from_dict
from zoo.errors import TrainingError
from zoo.store.files import read_object
from zoo.store.folder import RECIPE_FILE, RUN_FILE
from zoo.store.hashes import sha256_of
from zoo.store.weights import WEIGHTS_FILE

__all__ = ["assign_shared", "lineage", "origin"]


def _named(model: Any) -> dict[tuple[Any, ...], Any]:
    """The model's weights by path and shape; those with both in common are numbered."""
    named: dict[tuple[Any, ...], Any] = {}
    seen: Counter[tuple[Any, ...]] = Counter()
    for weight in model.weights:
        # The path of a weight that is of no layer begins with its model's name.
        key = (weight.path.removeprefix(f"{model.name}/"), weight.shape)
        named[*key, seen[key]] = weight
        seen[key] += 1
    return named


def assign_shared(model: Any, source: Any) -> None:
    """Gives the model's weights the values of the source's of the same path and shape.

    What only the model has stays fresh: further layers, an output layer of another size.
    Raises TrainingError where the model lacks a trained weight of the source that is not of its
    output layer, or all of them.
    """
    own, values = _named(model), _named(source)
    trained = [key for key, weight in values.items() if weight.trainable]
    lacking = [key for key in trained if key not in own and not key[0].startswith("output/")]
    if not lacking and not own.keys() & set(trained):  # outputs alone, of another size
        lacking = trained
    if lacking:
        path, shape, _ = lacking[0]
        raise TrainingError(
            f"{model.name} cannot start from {source.name}: it lacks {len(lacking)} of its "
            f"{len(trained)} weights, {path} {list(shape)} the first."
        )
    for key in own.keys() & values.keys():
        own[key].assign(values[key])


def origin(initial_weights: str | os.PathLike[str], start: str) -> dict[str, str] | None:
    """What a run starts from: its folder's name and the weights' SHA-256; None for nothing."""
    if not initial_weights and not start:
        return None
    weights = Path(initial_weights or loading.resolve(start) / WEIGHTS_FILE)
    return {"name": weights.absolute().parent.name, "sha256": sha256_of(weights)}


def lineage(before: Path | None, initial_weights: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The runs that a run's weights come from, first to last, as its record lists them.

    [{"recipe": digest of the stage's recipe, "weights": SHA-256, "hours": of its training, "note":
    what no recipe says, such as what a hand did}].   before: the folder of the stage before.
    initial_weights: a file that no recipe names; its own history is not known.
    """
    if before is not None:
        record = read_object(before / RUN_FILE)
        stage = {
            "recipe": digest(from_dict(read_object(before / RECIPE_FILE))),
            "weights": sha256_of(before / WEIGHTS_FILE),
            "hours": record["train_hours"],
            "note": "",
        }
        return [*record.get("lineage", []), stage]
    if initial_weights:
        note = "weights that were given to the run, of a training that its recipe does not name"
        digest_of_weights = sha256_of(initial_weights)
        return [{"recipe": None, "weights": digest_of_weights, "hours": None, "note": note}]
    return []
