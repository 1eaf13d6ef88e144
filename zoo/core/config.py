"""What every model's config has: the event's shape, the preprocessing, the context.

Frozen dataclasses of plain values, JSON both ways; a system's config adds its sizes.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from zoo.core.checked import check_words
from zoo.core.columns import Column, column_of
from zoo.core.space import Medium, Space
from zoo.errors import ConfigError

__all__ = ["ModelConfig", "Preprocessing", "StoredConfig", "described"]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How data become real vectors; part of the model, with its log-det.

    num_levels: grey levels of integer data, dequantised by uniform noise; 0 for real features.
    transform: `zoo.bijectors.preprocessing.PixelScaling`'s, for integer data; "none" for features.
    alpha: the logit's margin.
    whitening: "standardise" (one mean and deviation a dimension), "zca" (a matrix of all
    dimensions), "zca_cor" (one of standardised dimensions, whatever their scales) or "separable" (a
    matrix an axis of the event), fitted by `adapt`.
    """

    num_levels: int = 0
    transform: Literal["none", "unit", "symmetric", "logit"] = "none"
    alpha: float = 0.05
    whitening: Literal["none", "standardise", "zca", "zca_cor", "separable"] = "none"

    def __post_init__(self) -> None:
        """Raises ConfigError for a combination that is no preprocessing."""
        if (self.num_levels == 0) != (self.transform == "none"):
            raise ConfigError(
                "Integer data need num_levels >= 2 and a transform, real features neither; got "
                f"num_levels={self.num_levels}, transform={self.transform!r}."
            )
        if self.num_levels and not 2 <= self.num_levels <= 256:
            raise ConfigError(f"num_levels must be 0 or in [2, 256]; got {self.num_levels}.")
        if not 0.0 < self.alpha < 0.5:
            raise ConfigError(f"alpha must be in (0, 0.5); got {self.alpha}.")
        check_words(self)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What every model's config has; subclasses add the sizes of their system.

    event_shape: of one row of data.   context_size: classes of the conditioning label, 0 for none.
    columns: of a table whose numbers stand for something, one a dimension; () for just numbers.
        Their coordinates (`zoo.core.columns`) take the place of a preprocessing.
    """

    event_shape: tuple[int, ...]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    context_size: int = 0
    columns: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that are no sizes, and columns that do not fit."""
        object.__setattr__(self, "columns", tuple(map(column_of, self.columns)))
        _check_types(self)
        if self.columns:
            self._check_columns()
        if not self.event_shape or any(n < 1 for n in self.event_shape):
            raise ConfigError(f"event_shape must hold positive integers; got {self.event_shape!r}.")
        if self.context_size < 0:
            raise ConfigError(f"context_size must be 0 or more; got {self.context_size}.")
        if any(n < 1 for n in getattr(self, "hidden_units", ())):
            raise ConfigError("hidden_units must be positive integers.")

    def _check_columns(self) -> None:
        if self.event_shape != (len(self.columns),):
            raise ConfigError(
                f"event_shape must be [{len(self.columns)}], a number a column; got "
                f"{list(self.event_shape)}."
            )
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            raise ConfigError(f"Columns need names that differ; got {names}.")
        if odd := [column for column in self.columns if not self.takes_column(column)]:
            words = ", ".join(f"{column.name} ({described(column)})" for column in odd)
            raise ConfigError(f"Such a model takes no column like {words}.")
        if self.preprocessing.num_levels or self.preprocessing.whitening != "none":
            raise ConfigError("Columns say how a table is preprocessed: leave out preprocessing.")

    @classmethod
    def takes_column(cls, column: Column) -> bool:
        """Whether a column of a table may be one of the model's.

        Models that standardise real features take real numbers: any with a density on a line.
        """
        if cls.feature_preprocessing().whitening != "standardise":
            return False
        return not (column.has_mass or column.kind == "circular" or column.missing)

    @classmethod
    def fields_of_columns(cls, columns: Sequence[Column]) -> dict[str, Any]:
        """Further fields that the columns of a table decide; none here."""
        del columns
        return {}

    @property
    def event_size(self) -> int:
        """Number of dimensions D."""
        return int(np.prod(self.event_shape))

    def data_space(self, dtype: str = "float32") -> Space:
        """A row of data as the dataset stores it.   dtype: of a model's real numbers."""
        medium: Medium = "image" if len(self.event_shape) == 3 else "features"
        levels = self.preprocessing.num_levels
        if not levels:
            meaning = "features as the dataset stores them, not standardised"
            return Space(
                shape=self.event_shape,
                dtype=dtype,
                meaning=meaning,
                medium=medium,
                columns=self.columns,
            )
        return Space(
            shape=self.event_shape,
            dtype="uint8",
            meaning="grey levels as the dataset stores them",
            unit="grey level",
            minimum=0,
            maximum=levels - 1,
            medium=medium,
            example=levels // 2,
        )

    def context_space(self, dtype: str = "float32") -> Space | None:
        """The condition of a row; None for an unconditional model."""
        del dtype  # a label
        if not self.context_size:
            return None
        meaning, maximum = "label that the density is conditioned on", self.context_size - 1
        return Space(
            shape=(), dtype="int32", meaning=meaning, unit="class", minimum=0, maximum=maximum
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` takes them back. Of columns what is not the default."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        del values["columns"]
        if self.columns:
            values["columns"] = [column.to_dict() for column in self.columns]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The config of `to_dict`'s output. Raises ConfigError for fields that do not fit."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(
                f"{cls.__name__} has no {', '.join(unknown)}; its fields: "
                f"{', '.join(sorted(known))}."
            )
        converted = {name: _tuples(value) for name, value in values.items()}
        preprocessing = converted.get("preprocessing")
        try:
            if isinstance(preprocessing, Mapping):
                converted["preprocessing"] = Preprocessing(**preprocessing)
            return cls(**converted)
        except TypeError as error:
            raise ConfigError(f"{cls.__name__} cannot be built: {error}.") from error

    @classmethod
    def image_preprocessing(cls) -> Preprocessing:
        """What the system's paper does to uint8 images.

        The default of `zoo.create` for [h, w, c] events.
        """
        return Preprocessing(num_levels=256, transform="logit")

    @classmethod
    def feature_preprocessing(cls) -> Preprocessing:
        """What is done to real features, whatever their scales.

        The default of `zoo.create` for events that are no images.
        """
        return Preprocessing(whitening="standardise")


@dataclass(frozen=True, kw_only=True)
class StoredConfig(ModelConfig):
    """A config of a model that takes integers, categories and columns as they are stored."""

    @classmethod
    def image_preprocessing(cls) -> Preprocessing:
        """None."""
        return Preprocessing()

    @classmethod
    def feature_preprocessing(cls) -> Preprocessing:
        """None: columns have locations and scales of their own."""
        return Preprocessing()


def described(column: Column) -> str:
    """A column's kind in words."""
    return f"{column.kind}, cells missing" if column.missing else column.kind


def _check_types(config: ModelConfig) -> None:
    """Raises ConfigError for a field that is not of its declared type."""
    hints = typing.get_type_hints(type(config))
    for item in dataclasses.fields(config):
        hint, value = hints[item.name], getattr(config, item.name)
        origin = typing.get_origin(hint)
        member: Any = typing.get_args(hint)[0] if origin is tuple else None
        if isinstance(member, type) and dataclasses.is_dataclass(member):
            fits = isinstance(value, tuple) and all(isinstance(part, member) for part in value)
            expected = f"a tuple of {member.__name__}s"
        elif origin is tuple:
            integers = isinstance(value, tuple) and all(_is_integer(n) for n in value)
            fits, expected = integers, "a tuple of integers"
        elif origin is Literal:
            fits, expected = value in typing.get_args(hint), f"one of {typing.get_args(hint)}"
        elif origin is dict:
            fits, expected = isinstance(value, dict), "an object of JSON"
        elif hint is int:
            fits, expected = _is_integer(value), "an integer"
        elif hint is float:
            fits = not isinstance(value, bool) and isinstance(value, int | float)
            fits, expected = fits and math.isfinite(value), "a finite number"
        else:
            fits, expected = isinstance(value, hint), f"a {hint.__name__}"
        if not fits:
            raise ConfigError(f"{item.name} must be {expected}; got {value!r}.")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
