"""What a row is: of data, of latents, of a context, of any input or output of a signature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Medium", "Space"]

Medium = Literal["features", "image", "audio", "points", "tokens"]


@dataclass(frozen=True, kw_only=True)
class Space:
    """The rows of one array, without the batch.

    shape: of one row; None for an axis of any size.
    minimum, maximum: the inclusive range of values; None for no bound. Floats must be finite.
    medium: how a person looks at a row.   rate: samples per second of audio, else 0.
    example: a value in the range, with which warm-up requests are filled.
    """

    shape: tuple[int | None, ...]
    dtype: str
    meaning: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    medium: Medium = "features"
    rate: int = 0
    example: float = 0.0

    @property
    def is_integer(self) -> bool:
        """Whether values are integers: they have a mass, not a density."""
        return "int" in self.dtype
