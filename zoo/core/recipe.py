"""Recipes: a training run as a frozen value. Importable without TensorFlow.

A recipe names everything that decides the weights: data, model config, objective, training, seed.
Each system has one recipe that is the paper's; what differs is a `variant` of it. The values live
in `zoo.registry`; `zoo.core.recipe_json` makes JSON of them.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from zoo.core.data import Data, Rows, Table, Target
from zoo.core.objective import Default, Distillation, NegativeELBO, Objective, ReverseKL
from zoo.core.training import (
    SGD,
    Augmentation,
    Binarise,
    Descent,
    Flips,
    Greedy,
    Optimizer,
    PatchSymmetries,
    Shifts,
    Training,
)
from zoo.errors import ConfigError

__all__ = [
    "SGD",
    "Binarise",
    "Default",
    "Descent",
    "Distillation",
    "Flips",
    "Greedy",
    "NegativeELBO",
    "Optimizer",
    "PatchSymmetries",
    "Recipe",
    "ReverseKL",
    "Rows",
    "Shifts",
    "Table",
    "Target",
    "override",
    "stages",
    "variant",
]

# Values of several kinds, by the name that JSON and --set have for them.
KINDS: dict[type, dict[str, type]] = {
    base: {cls.kind: cls for cls in classes}
    for base, classes in {
        Data: (Rows, Table, Target),
        Objective: (Default, NegativeELBO, ReverseKL, Distillation),
        Training: (SGD, Greedy),
        Augmentation: (Flips, Shifts, PatchSymmetries, Binarise),
    }.items()
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run, or, with `after`, the last stage of a chain of runs.

    `family` and `config` build the model: what the config leaves out has its class's default, as in
    config.json, not that of `zoo.create`.
    `after`: the run before, from whose weights this one starts. The recipe's own of the same names
    and shapes take their values; further layers are fresh, and so is an output layer of another
    size.   `start`: the same of the published weights of a registered model.
    """

    family: str
    config: Mapping[str, Any]
    data: Rows | Target
    objective: Objective = field(default_factory=Default)
    training: SGD | Greedy
    after: Recipe | None = None
    start: str = ""
    paper: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        """Raises ConfigError for parts that do not go together."""
        if isinstance(self.objective, ReverseKL) != isinstance(self.data, Target):
            raise ConfigError(
                "The objective ReverseKL and the data Target go together; got "
                f"{self.objective.kind} of {self.data.kind}."
            )
        if not isinstance(self.training, SGD) and (
            self.after is not None or self.start or not isinstance(self.objective, Default)
        ):
            raise ConfigError(
                f"A recipe with {self.training.kind} training fits a fresh model by its own "
                "objective: leave out after, start and objective."
            )
        if self.after is not None and self.start:
            raise ConfigError("A recipe goes on `after` a run or from a `start`, not from both.")

    @property
    def dataset(self) -> Rows:
        """The rows that a run reads: the data, or the draws of a target."""
        return self.data.dataset

    @property
    def sgd(self) -> SGD:
        """The training, of a recipe that descends a gradient.

        Raises ConfigError for one that is fitted in stages: it has no step.
        """
        if isinstance(self.training, SGD):
            return self.training
        raise ConfigError(
            f"A {self.family} of this recipe is fitted in stages ({self.training.kind}), each on "
            "all rows: there is no training step that could be shared or exported. "
            "`zoo train` fits it on this machine."
        )


def stages(recipe: Recipe) -> list[Recipe]:
    """The runs of a chain, first to last; the recipe alone where nothing comes before it."""
    before = [] if recipe.after is None else stages(recipe.after)
    return [*before, recipe]


# The parts of a recipe whose fields may be named without them.
_PARTS = ("training", "objective", "data")


def variant(recipe: Recipe, **changes: Any) -> Recipe:
    """The recipe with some fields changed, each named without the part that it is of.

    `variant(recipe, max_epochs=5, optimizer=Optimizer(), notes="…")`: `max_epochs` is a field of
    `training`. Raises ConfigError for a name that no part has.
    """
    parts: dict[str, dict[str, Any]] = {}
    own: dict[str, Any] = {}
    for name, value in changes.items():
        part = _part_of(_values(recipe), name)
        parts.setdefault(part, {})[name] = value
        if not part:
            own[name] = value
    for part in _PARTS:
        if part in parts:
            old = own.get(part, getattr(recipe, part))
            own[part] = dataclasses.replace(old, **parts[part])
    return dataclasses.replace(recipe, **own)


def _part_of(values: Mapping[str, Any], name: str) -> str:
    """The part that has a field of this name; "" for the recipe's own.   values: of its fields."""
    if name in values:
        return ""
    inner = {part: _names(values[part]) for part in _PARTS}
    for part, names in inner.items():
        if name in names:
            return part
    known = ", ".join([*values, *(name for names in inner.values() for name in names)])
    raise ConfigError(f"No field {name!r} in a recipe: {name!r} is none of {known}.")


def _values(recipe: Recipe) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in _names(recipe)}


def _names(value: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(value)]


def override(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """The recipe with `path=value` assignments applied.

    `optimizer.learning_rate=3e-4`, `max_epochs=5`, `config.num_couplings=6`, `augment=["Flips"]`: a
    path may leave out the part, `training`, `objective` or `data`; `dataset` is another word for
    `data`, `model` for `config`. Values are JSON where they parse as JSON, else text; one of
    several kinds is its name, or an object with "kind" and its fields. Whether the parts fit
    together is checked once, after all assignments: another kind of data may need another
    objective.

    Raises ConfigError for a path that does not exist, or a value of another type.
    """
    values = _values(recipe)
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator:
            raise ConfigError(f"Expected PATH=VALUE, such as max_epochs=5; got {assignment!r}.")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        head, *rest = path.strip().split(".")
        head = {"dataset": "data", "model": "config"}.get(head, head)
        if part := _part_of(values, head):
            head, rest = part, [head, *rest]
        if rest:
            values[head] = _assign(values[head], rest, value, path)
        else:
            values[head] = _checked(Recipe, head, value, path)
    return recipe if values == _values(recipe) else Recipe(**values)


def _assign(node: Any, keys: list[str], value: Any, path: str) -> Any:
    head, *rest = keys
    if isinstance(node, Mapping):
        inner = _assign(node.get(head, {}), rest, value, path) if rest else value
        return {**node, head: inner}
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        raise ConfigError(
            f"No field {path!r} in a recipe: {node!r} is a plain value and has no fields."
        )
    names = _names(node)
    if head not in names:
        raise ConfigError(f"No field {path!r} in a recipe: {head!r} is none of {', '.join(names)}.")
    old = getattr(node, head)
    if rest:
        return dataclasses.replace(node, **{head: _assign(old, rest, value, path)})
    return dataclasses.replace(node, **{head: _checked(type(node), head, value, path)})


def of_kind(base: type, value: Any, path: str) -> Any:
    """The value of one of several kinds: itself, its name, or {"kind": name, field: value}."""
    if isinstance(value, base):
        return value
    fields = {"kind": value} if isinstance(value, str) else value
    kinds = KINDS[base]
    if not isinstance(fields, Mapping) or fields.get("kind") not in kinds:
        raise ConfigError(
            f'{path} must be one of {", ".join(kinds)}, or {{"kind": one of them, …}}; '
            f"got {value!r}."
        )
    cls = kinds[fields["kind"]]
    try:
        return cls(**{name: v for name, v in fields.items() if name != "kind"})
    except TypeError as error:
        raise ConfigError(f"{path} is no {fields['kind']}: {error}.") from error


def _of_checked_kind(base: type, value: Any, path: str) -> Any:
    """`of_kind` of JSON: fields have their declared types."""
    cls = KINDS[base].get(value.get("kind", "")) if isinstance(value, Mapping) else None
    return of_kind(base, value, path) if cls is None else _built(cls, value, path)


def _built(cls: type, fields: Mapping[str, Any], path: str) -> Any:
    """A value of a dataclass from an object of JSON, with or without its "kind"."""
    names = {field.name for field in dataclasses.fields(cls)}
    given = {name: value for name, value in fields.items() if name != "kind"}
    if unknown := given.keys() - names:
        raise ConfigError(f"{path} has no {min(unknown)!r}: one of {', '.join(sorted(names))}.")
    try:
        return cls(**{k: _checked(cls, k, v, f"{path}.{k}") for k, v in given.items()})
    except TypeError as error:
        raise ConfigError(f"{path} is no {cls.__name__}: {error}.") from error


def _checked(owner: type, name: str, value: Any, path: str) -> Any:
    """`value` if it has the type that `owner` declares for `name`, an int widened to float."""
    hint: Any = typing.get_type_hints(owner)[name]
    origin = typing.get_origin(hint)
    if origin is Literal:
        if value in typing.get_args(hint):
            return value
        raise ConfigError(f"{path} must be one of {typing.get_args(hint)}; got {value!r}.")
    if hint == tuple[Augmentation, ...]:
        if not isinstance(value, list):
            raise ConfigError(f"{path} must be of type list; got {value!r}.")
        return tuple(_of_checked_kind(Augmentation, item, path) for item in value)
    members = typing.get_args(hint) if origin is types.UnionType else (hint,)
    if type(None) in members:
        if value is None:
            return None
        hint, *_ = members = tuple(member for member in members if member is not type(None))
    for base in KINDS:  # a field of one of several kinds declares their base, or all of them
        if all(isinstance(kind, type) and issubclass(kind, base) for kind in members):
            return _of_checked_kind(base, value, path)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return _built(typing.cast(type, hint), value, path)
    kind = origin if origin not in (None, types.UnionType) else hint
    if kind is tuple:
        kind = list  # in JSON
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    wrong_bool = isinstance(value, bool) and kind is not bool
    if wrong_bool or not isinstance(value, kind):
        name_of_kind = getattr(kind, "__name__", str(kind))
        raise ConfigError(f"{path} must be of type {name_of_kind}; got {value!r}.")
    return value
