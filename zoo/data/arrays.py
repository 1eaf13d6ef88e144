"""Rows in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.errors import DataError

__all__ = ["Arrays"]


@dataclass(frozen=True)
class Arrays:
    """The rows of a split, in the dataset's stored order.

    Attributes:
        x: [rows, ...event shape], of the stored dtype.
        context: int32 [rows], or rows of numbers; None for unconditional data.
    """

    x: np.ndarray
    context: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.context is not None and len(self.context) != len(self.x):
            raise DataError(
                f"Expected one context for each row: {len(self.x)} rows and "
                f"{len(self.context)} contexts came."
            )

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.x)

    def take(self, count: int) -> Arrays:
        """The first `count` rows (all of them where there are fewer)."""
        context = None if self.context is None else self.context[:count]
        return Arrays(self.x[:count], context)
