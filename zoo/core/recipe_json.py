"""Recipes as JSON, and those that older versions wrote.

Format 2 is nested, as `Recipe` is; a value of one of several kinds has its name under "kind".
Format 1, which has no "format", is flat: every setting of data, objective and training is a field
of the recipe. Published `recipe.json` of both are read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

from zoo.core.data import Data
from zoo.core.objective import Objective
from zoo.core.recipe import (
    SGD,
    Binarise,
    Default,
    Descent,
    Distillation,
    Flips,
    NegativeELBO,
    Optimizer,
    PatchSymmetries,
    Recipe,
    ReverseKL,
    Rows,
    Shifts,
    Target,
    of_kind,
)
from zoo.core.training import Augmentation, Training
from zoo.errors import ConfigError

__all__ = ["FORMAT", "digest", "from_dict", "to_dict"]

FORMAT = 2


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain JSON values (tuples become lists)."""
    return {"format": FORMAT, **_plain(recipe)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = {"kind": value.kind} if hasattr(value, "kind") else {}
        return {
            **kind,
            **{f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)},
        }
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return json.loads(json.dumps(value))


def digest(recipe: Recipe) -> str:
    """The SHA-256 of the recipe's JSON, less its notes: equal for runs of equal weights."""
    values = {**to_dict(recipe), "notes": "", "paper": ""}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def from_dict(values: Mapping[str, Any]) -> Recipe:
    """The recipe of `to_dict`'s output, of this format or of an older one.

    Raises ConfigError for unknown or missing fields, and for a newer format.
    """
    try:
        if values.get("format", 1) == 1:
            return _from_format_1({k: v for k, v in values.items() if k != "format"})
        if values["format"] != FORMAT:
            raise ConfigError(
                f"A recipe of format {values['format']!r}; this version of the zoo reads 1 to "
                f"{FORMAT}. Upgrade the zoo."
            )
        return _from_format_2({k: v for k, v in values.items() if k != "format"})
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"Not a recipe of this version: {error}.") from error


def _from_format_2(values: dict[str, Any]) -> Recipe:
    data, training = dict(values["data"]), dict(values["training"])
    if data.get("kind") == Target.kind:
        data["draws"] = of_kind(Data, data["draws"], "data.draws")
    if "optimizer" in training:
        training["optimizer"] = Optimizer(**training["optimizer"])
    if training.get("descent") is not None:
        training["descent"] = Descent(**training["descent"])
    if "augment" in training:
        changes = training["augment"]
        training["augment"] = tuple(of_kind(Augmentation, change, "augment") for change in changes)
    after = values.get("after")
    return Recipe(
        **{
            **values,
            "data": of_kind(Data, data, "data"),
            "objective": of_kind(Objective, values["objective"], "objective"),
            "training": of_kind(Training, training, "training"),
            "after": None if after is None else _from_format_2(after),
        }
    )


# Fields of format 1 that are fields of `SGD` under the same name.
_TRAINING = (
    *("batch_size", "max_epochs", "validate_every", "patience", "ema_decay", "l2"),
    *("conditioner_dtype", "jit_compile", "initialization_rows", "validation_rows"),
    *("bucket_size", "seed", "frozen"),
)
_OWN = ("family", "config", "start", "paper", "notes")


def _from_format_1(values: dict[str, Any]) -> Recipe:
    take = values.pop
    rows = Rows(**take("dataset"))
    training = {name: take(name) for name in _TRAINING if name in values}
    if "optimizer" in values:
        training["optimizer"] = Optimizer(**take("optimizer"))
    training["augment"] = _augment_of_format_1(values)
    energy, distillation = take("energy", ""), take("distillation", None)
    annealing, steps = take("annealing", "kl"), take("annealing_steps", 0)
    objective: Objective = Default()
    if distillation is not None:
        objective = Distillation(**distillation)
    elif energy:
        objective = ReverseKL(annealing_steps=steps)
    elif steps:
        objective = NegativeELBO(annealing=annealing, annealing_steps=steps)
    own = {name: take(name) for name in _OWN if name in values}
    if values:
        raise TypeError(f"it has no {', '.join(sorted(values))}")
    data = Target(energy=energy, draws=rows) if energy else rows
    return Recipe(
        **cast(Any, own), data=data, objective=objective, training=SGD(**cast(Any, training))
    )


def _augment_of_format_1(values: dict[str, Any]) -> tuple[Augmentation, ...]:
    """In the order in which they are done."""
    found: list[Augmentation] = []
    if values.pop("horizontal_flips", False):
        found.append(Flips())
    if pixels := values.pop("shift_pixels", 0):
        found.append(Shifts(pixels=pixels))
    if values.pop("patch_symmetries", False):
        found.append(PatchSymmetries())
    if values.pop("dynamic_binarization", False):
        found.append(Binarise())
    return tuple(found)
