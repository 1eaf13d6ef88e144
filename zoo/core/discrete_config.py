"""What the configs of models of integers have: the number of classes, and nothing of reals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zoo.core.columns import Column
from zoo.core.config import StoredConfig
from zoo.core.space import Space
from zoo.errors import ConfigError

__all__ = ["DiscreteConfig"]


@dataclass(frozen=True, kw_only=True)
class DiscreteConfig(StoredConfig):
    """num_classes: data are the integers 0..num_classes - 1, stored as uint8 up to 256 of them.

    Of a table it is that of the column with the most values: a count's range is 0..maximum.
    """

    num_classes: int = 256

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built, a preprocessing and a context."""
        super().__post_init__()
        if self.num_classes < 2:
            raise ConfigError(f"num_classes must be at least 2; got {self.num_classes}.")
        levels, whitening = self.preprocessing.num_levels, self.preprocessing.whitening
        if levels or whitening != "none" or self.context_size:
            raise ConfigError(
                "A flow of integers has no preprocessing and no context: leave out both; got "
                f"{self.preprocessing} and context_size={self.context_size}."
            )

    @classmethod
    def takes_column(cls, column: Column) -> bool:
        """Categories, booleans, and counts whose largest value is known."""
        if column.missing:
            return False
        whole = column.is_whole and (column.minimum or 0.0) >= 0.0 and column.kind != "date"
        return column.is_categorical or (whole and column.maximum is not None)

    @classmethod
    def fields_of_columns(cls, columns: Sequence[Column]) -> dict[str, Any]:
        """num_classes."""
        return {"num_classes": 1 + max(map(_largest, columns))}

    @property
    def largest(self) -> tuple[int, ...] | int:
        """The largest value of each column, or of all dimensions."""
        return tuple(map(_largest, self.columns)) if self.columns else self.num_classes - 1

    def data_space(self, dtype: str = "float32") -> Space:
        """Integers as the dataset stores them; `dtype` is of real numbers, which they are not."""
        del dtype
        image = len(self.event_shape) == 3
        return Space(
            shape=self.event_shape,
            dtype="uint8" if self.num_classes <= 256 else "int32",
            meaning="integers as the dataset stores them",
            unit="grey level" if image else "",
            minimum=0,
            maximum=self.num_classes - 1,
            medium="image" if image else "features",
            example=0 if self.columns else self.num_classes // 2,
            columns=self.columns,
        )


def _largest(column: Column) -> int:
    return len(column.categories) - 1 if column.is_categorical else int(column.maximum or 0)
