"""What the columns of a table are: kinds, units and codebooks. Importable without NumPy.

A row of a table is a vector of numbers. A column says what its number stands for, in which
coordinate y a density sees it, and whether its values have a density or a mass:

    real       (x - location) / scale; where tails are heavy, asinh of that
    positive   (log x - location) / scale
    bounded    (logit((x - minimum) / (maximum - minimum)) - location) / scale
    circular   2 pi (x - minimum) / period, an angle
    count      integers from `minimum` on: the bin [k - 1/2, k + 1/2] in the coordinate of `real`
    integer    any integers: the same
    date       days since 1970-01-01: `real`, or `integer` where all are whole days
    category   the number of a text in `categories`; boolean has the two texts false and true
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zoo.errors import ConfigError

__all__ = ["KINDS", "Column", "Kind", "column_of"]

Kind = Literal[
    "real", "positive", "bounded", "circular", "count", "integer", "category", "boolean", "date"
]
KINDS: tuple[str, ...] = typing.get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table.

    location, scale: of the coordinate (module's docstring), measured on the rows to learn from.
    heavy: asinh is taken of it.   whole: of a date, whole days.
    minimum, maximum: of the values, inclusive for integers, exclusive for a bounded column; a
    circular one begins at its minimum, 0 where none is given, and has a period.
    missing: cells may be missing, and are NaN.
    """

    name: str
    kind: Kind
    location: float = 0.0
    scale: float = 1.0
    heavy: bool = False
    whole: bool = False
    minimum: float | None = None
    maximum: float | None = None
    period: float | None = None
    categories: tuple[str, ...] = ()
    missing: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError for what describes no column."""
        object.__setattr__(self, "categories", tuple(self.categories))  # a JSON list
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"A column needs a name; got {self.name!r}.")
        if self.kind not in KINDS:
            raise ConfigError(
                f"Column {self.name!r} must be one of {', '.join(KINDS)}; got {self.kind!r}."
            )
        numbers = (self.location, self.scale, self.minimum, self.maximum, self.period)
        given = [number for number in numbers if number is not None]
        if not all(_is_number(number) for number in given) or self.scale <= 0.0:
            raise ConfigError(
                f"Column {self.name!r} needs finite numbers and a scale above 0; got {numbers}."
            )
        if problem := self._problem():
            raise ConfigError(f"Column {self.name!r}, {self.kind}: {problem}.")

    def _problem(self) -> str:
        bounds = self.minimum is not None and self.maximum is not None
        if self.kind == "bounded" and not bounds:
            return "needs its minimum and its maximum"
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            return f"its minimum {self.minimum:g} is not below its maximum {self.maximum:g}"
        if self.kind == "circular" and (self.period is None or self.period <= 0.0):
            return "needs its period, such as 24 or 360"
        if self.kind == "boolean" and self.categories != ("false", "true"):
            return f"has the categories ('false', 'true'); got {self.categories}"
        if self.kind == "category" and len(set(self.categories)) != max(len(self.categories), 1):
            return f"needs categories that differ, at least one; got {self.categories}"
        if self.categories and self.kind not in ("category", "boolean"):
            return "has no categories"
        return ""

    @property
    def is_categorical(self) -> bool:
        """Whether its numbers stand for texts."""
        return self.kind in ("category", "boolean")

    @property
    def is_whole(self) -> bool:
        """Whether its values are integers with a mass, in order."""
        return self.kind in ("count", "integer") or (self.kind == "date" and self.whole)

    @property
    def has_mass(self) -> bool:
        """Whether its values have a probability, and no density."""
        return self.is_categorical or self.is_whole

    def to_dict(self) -> dict[str, Any]:
        """Its fields that are not the defaults, as JSON."""
        found = {}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if value != item.default:
                found[item.name] = list(value) if isinstance(value, tuple) else value
        return found


def column_of(values: Column | Mapping[str, Any]) -> Column:
    """A column, or one of its fields. Raises ConfigError for fields that do not fit."""
    if isinstance(values, Column):
        return values
    try:
        return Column(**values)
    except TypeError as error:
        raise ConfigError(f"Not a column of a table: {values!r} ({error}).") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
