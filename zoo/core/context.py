"""What a model's rows are conditioned on: a label, numbers, an image, columns of a table.

    context_size=10                            a label 0..9
    context={"shape": (3,)}                    three real numbers
    context={"shape": (8, 8, 1)}               an image of real numbers
    context={"shape": (28, 28, 1), "num_levels": 256}    an image as a dataset stores it
    context={"columns": [{"name": "year", "kind": "real", ...}, ...]}    columns of a table

Networks see a vector: indicators of a label, numbers that are standardised, features of columns,
or what an embedding makes of any of them (`zoo.layers.context`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from zoo.core.checked import check_words
from zoo.core.columns import Column, column_of
from zoo.core.config import ModelConfig
from zoo.core.space import Space
from zoo.errors import ConfigError

__all__ = ["ConditionedConfig", "ConditionerConfig", "Context"]

MAX_SIZE = 2**22  # numbers of one
IMAGE_UNITS = (64,)  # of an image's embedding, where nothing else is asked for


@dataclass(frozen=True, kw_only=True)
class Context:
    """A condition that is no label, and how networks see the condition, of any kind.

    shape: of one, (3,) or (8, 8, 1); () for a label, for columns and for none.
    num_levels: of integers 0..num_levels - 1, which networks see in [-1, 1]; 0 for real numbers.
    columns: of a table, as `zoo.core.columns` has them.
    whitening: "standardise" gives real numbers the mean 0 and the deviation 1 of the rows to start
        from, those of an image by channel; columns and levels have coordinates of their own.
    units: layers of an embedding, the last of which networks see; () for the condition itself, and
        for (64,) of an image, which passes convolutions first.
    network: a Keras layer in the place of these layers, as `keras.saving` makes JSON of it.
    """

    shape: tuple[int, ...] = ()
    num_levels: int = 0
    columns: tuple[Column, ...] = ()
    whitening: Literal["none", "standardise"] = "standardise"
    units: tuple[int, ...] = ()
    network: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Raises ConfigError for what is no condition."""
        for name in ("shape", "units"):
            object.__setattr__(self, name, _sizes(getattr(self, name), name))
        object.__setattr__(self, "columns", tuple(map(column_of, self.columns)))
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise ConfigError(f"Columns of a context need names that differ; got {names}.")
        if self.shape and self.columns:
            raise ConfigError("A context has a shape or columns, not both.")
        if self.num_levels and (not self.shape or not 2 <= self.num_levels <= 256):
            raise ConfigError(
                "num_levels of a context is 0, or 2 to 256 of integers of a shape; got "
                f"{self.num_levels} and shape {self.shape}."
            )
        if self.units and self.network:
            raise ConfigError("An embedding has units or a network of its own, not both.")
        if not isinstance(self.network, dict):
            raise ConfigError(
                f"The network of a context is a Keras layer as JSON; got {self.network!r}. "
                "zoo.create(family, embedding=layer, ...) makes it."
            )
        if math.prod(self.shape) > MAX_SIZE:
            raise ConfigError(
                f"A context has at most {MAX_SIZE:,} numbers; got the shape {self.shape}."
            )
        check_words(self)

    @property
    def is_image(self) -> bool:
        """Whether it is an image [h, w, channels], which an embedding of its own sees."""
        return len(self.shape) == 3

    @property
    def embedding_units(self) -> tuple[int, ...]:
        """`units`, with those of an image filled in."""
        return self.units or (IMAGE_UNITS if self.is_image and not self.network else ())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Context:
        """The context of `to_dict`'s output. Raises ConfigError for fields that do not fit."""
        known = [item.name for item in dataclasses.fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(
                f"A context has no {', '.join(unknown)}; its fields: {', '.join(known)}."
            )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Its fields that are not the defaults, as JSON."""
        found: dict[str, Any] = {}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if value not in (item.default, (), {}):
                found[item.name] = list(value) if isinstance(value, tuple) else value
        if self.columns:
            found["columns"] = [column.to_dict() for column in self.columns]
        return found

    def space(self, dtype: str) -> Space | None:
        """Its rows; None without a shape and columns.   dtype: of real numbers."""
        meaning = "what the density is conditioned on"
        if self.columns:
            return Space(
                shape=(len(self.columns),),
                dtype=dtype,
                meaning="numbers of the columns that the density is conditioned on",
                columns=self.columns,
            )
        if not self.shape:
            return None
        medium: Literal["image", "features"] = "image" if self.is_image else "features"
        if not self.num_levels:
            return Space(shape=self.shape, dtype=dtype, meaning=meaning, medium=medium)
        return Space(
            shape=self.shape,
            dtype="uint8",
            meaning=meaning,
            unit="grey level",
            minimum=0,
            maximum=self.num_levels - 1,
            medium=medium,
            example=self.num_levels // 2,
        )


def _sizes(value: Any, name: str) -> tuple[int, ...]:
    """Positive integers as a tuple. Raises ConfigError for others."""
    sizes = tuple(value) if isinstance(value, list | tuple) else (value,)
    if any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in sizes):
        raise ConfigError(f"{name} of a context must hold positive integers; got {value!r}.")
    return sizes


@dataclass(frozen=True, kw_only=True)
class ConditionedConfig(ModelConfig):
    """A config of a model that may be conditioned on anything.

    context: what a row is conditioned on, where it is no label of `context_size`, and how networks
        see either.
    """

    context: Context = field(default_factory=Context)

    def __post_init__(self) -> None:
        """Raises ConfigError for two conditions, and for an embedding of none."""
        super().__post_init__()
        given = self.context.shape or self.context.columns
        if given and self.context_size:
            raise ConfigError(
                "A row is conditioned on labels (context_size) or on another context, not on both; "
                f"got context_size={self.context_size} and {self.context.to_dict()}. Columns may "
                "hold a label beside numbers: {'name': …, 'kind': 'category', 'categories': […]}."
            )
        if not given and not self.context_size and self.context != Context():
            raise ConfigError(
                "The context has neither a shape nor columns, and there are no labels to embed; "
                f"got {self.context.to_dict()}. Give its shape, such as (3,)."
            )

    @property
    def is_conditional(self) -> bool:
        """Whether there is a condition, of whatever kind."""
        return self.context_space() is not None

    def context_space(self, dtype: str = "float32") -> Space | None:
        """The condition of a row; None for an unconditional model."""
        return self.context.space(dtype) or super().context_space(dtype)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; a context that is not the default's."""
        values = super().to_dict()
        del values["context"]
        context = self.context.to_dict()
        return {**values, "context": context} if context else values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The config of `to_dict`'s output. Raises ConfigError for fields that do not fit."""
        context = values.get("context")
        if isinstance(context, Mapping):
            values = {**values, "context": Context.from_dict(context)}
        return super().from_dict(values)


@dataclass(frozen=True, kw_only=True)
class ConditionerConfig(ConditionedConfig):
    """A config of a flow whose conditioners may be a network of the user's own.

    network: a Keras layer as `keras.saving` makes JSON of it (`zoo.networks.custom`); {} for the
        family's own networks, whose sizes are else of no effect.
    """

    network: dict[str, Any] = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; a network where there is one."""
        values = super().to_dict()
        if not self.network:
            del values["network"]
        return values
