"""What a row is: of data, of latents, of a context, of any input or output of a signature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from zoo.core.columns import Column

__all__ = ["Medium", "Space"]

Medium = Literal["features", "image", "audio"]


@dataclass(frozen=True, kw_only=True)
class Space:
    """The rows of one array, without the batch.

    shape: of one row.
    minimum, maximum: the inclusive range of values; None for no bound. Floats must be finite.
    medium: how a person looks at a row.   rate: samples per second of audio, else 0.
    example: a value in the range, with which warm-up requests are filled.
    columns: of a table whose numbers stand for something, what; () where they are just numbers.
    """

    shape: tuple[int, ...]
    dtype: str
    meaning: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    medium: Medium = "features"
    rate: int = 0
    example: float = 0.0
    columns: tuple[Column, ...] = ()

    @property
    def is_integer(self) -> bool:
        """Whether values are integers: they have a mass, not a density."""
        return "int" in self.dtype

    @property
    def levels(self) -> int:
        """How many values there are, 0..levels - 1: grey levels, labels; 0 where not so many."""
        bounded = self.is_integer and self.minimum == 0 and self.maximum is not None
        return int(self.maximum or 0) + 1 if bounded else 0

    @property
    def measure(self) -> Literal["density", "mass", "mixed"]:
        """What a probability of such rows is: a mass of integers, of columns what they are."""
        if not self.columns:
            return "mass" if self.is_integer else "density"
        masses = [column.has_mass for column in self.columns]
        return "mass" if all(masses) else "mixed" if any(masses) else "density"

    @property
    def size(self) -> int:
        """Numbers in a row."""
        return math.prod(self.shape)
