"""Which families can learn from a user's rows, and the config of one that can.

Nothing is listed: a family is asked. A config that it refuses, or whose rows are others, says no.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoo.core.capabilities import capabilities_of
from zoo.core.columns import Column
from zoo.core.config import ModelConfig, described
from zoo.errors import ConfigError, InvalidInputError
from zoo.models import FAMILIES, complete_config, model_class

__all__ = ["clips_config", "config_of", "pictures_config", "table_config"]

Builder = Callable[[str], ModelConfig]


def config_of(family: str, builder: Builder, rows: str) -> ModelConfig:
    """The config of the family for such rows.

    builder: family -> its config; raises ConfigError where the family does not take the rows.
    rows: what they are, "pictures of 32 x 32".
    Raises InvalidInputError with the reason and the families that can, UnknownModelError for none.
    """
    model_class(family)
    try:
        return builder(family)
    except ConfigError as error:
        others = [name for name in FAMILIES if _builds(builder, name)]
        advice = f"Families that can: {', '.join(others)}." if others else "No family can."
        raise InvalidInputError(
            f"--family {family} cannot learn from {rows}: {error} {advice}"
        ) from error


def _builds(builder: Builder, family: str) -> bool:
    try:
        builder(family)
    except ConfigError:
        return False
    return True


def table_config(
    family: str,
    columns: Sequence[Column],
    context: Sequence[Column],
    largest: Mapping[str, float],
    wishes: Mapping[str, Any],
) -> ModelConfig:
    """Of a table of these columns, under those of the context.

    largest: the largest value of some columns, which becomes their maximum where the family takes
        them with one alone.   wishes: of `completed`.
    """
    cls = model_class(family).config_class
    taken: list[Column] = []
    odd: list[Column] = []
    for column in columns:
        known = column
        if not cls.takes_column(column) and column.name in largest and column.maximum is None:
            known = dataclasses.replace(column, maximum=largest[column.name])
        (taken if cls.takes_column(known) else odd).append(known)
    if odd:
        words = ", ".join(f"{column.name} ({described(column)})" for column in odd)
        raise ConfigError(f"it takes no columns like {words}.")
    values: dict[str, Any] = {"columns": [column.to_dict() for column in taken]}
    if context:
        values["context_columns"] = [column.to_dict() for column in context]
        if not {"context", "context_columns"} & _fields(family):
            raise ConfigError("it is conditioned on no columns.")
    return completed(
        family,
        wishes,
        event_shape=(len(taken),),
        preprocessing={},
        **values,
        **cls.fields_of_columns(taken),
    )


def pictures_config(
    family: str, shape: tuple[int, ...], wishes: Mapping[str, Any], classes: int
) -> ModelConfig:
    """Of uint8 pictures [height, width, channels].   wishes: of `completed`."""
    config = completed(family, {**wishes, **labels(classes)}, event_shape=shape)
    space = config.data_space()
    if (space.medium, space.levels, space.shape) != ("image", 256, shape):
        raise ConfigError(f"{family} is no model of pictures of 256 grey levels.")
    return config


def clips_config(
    family: str, size: int, rate: int, wishes: Mapping[str, Any], classes: int
) -> ModelConfig:
    """Of int16 clips [samples], by families that score all samples of a clip in one pass."""
    if "Steps" not in capabilities_of(model_class(family)):
        raise ConfigError(f"{family} is no model that learns from samples one after another.")
    wishes = {**wishes, **labels(classes), "sample_rate": rate}
    return completed(family, wishes, event_shape=(size,))


def labels(classes: int) -> dict[str, Any]:
    """What configs have of labels 0..classes - 1; {} for none."""
    return {"context_size": classes, "context_factors": (classes,)} if classes else {}


def completed(family: str, wishes: Mapping[str, Any], **values: Any) -> ModelConfig:
    """The family's config of these values, with those of the wishes that it has a field for."""
    fields = _fields(family)
    known = {name: value for name, value in wishes.items() if name in fields}
    return complete_config(family, **known, **values)


def _fields(family: str) -> set[str]:
    return {field.name for field in dataclasses.fields(model_class(family).config_class)}
