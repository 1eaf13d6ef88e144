"""What the configs of models in any order have: integers of images or vectors, or columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zoo.bases.columns import Mixture
from zoo.core.columns import Column
from zoo.core.config import ModelConfig, StoredConfig
from zoo.core.space import Space
from zoo.errors import ConfigError
from zoo.models.any_order.heads import ColumnHeads, Heads, LevelHeads

__all__ = ["AnyOrderConfig"]


@dataclass(frozen=True, kw_only=True)
class AnyOrderConfig(StoredConfig):
    """Either num_classes or columns.

    num_classes: features are the integers 0 .. num_classes - 1, stored as uint8 up to 256 of them.
    columns: of a table, in the order in which they are stored.
    num_components, mixture: of the numbers among the columns.
    """

    num_classes: int = 0
    num_components: int = 20
    mixture: Mixture = "gaussian"

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built, and features that are not told."""
        super().__post_init__()
        if bool(self.columns) == bool(self.num_classes) or self.num_classes == 1:
            raise ConfigError(
                "Say what the features are: num_classes of 2 or more, for integers, or columns, "
                f"for a table; got num_classes={self.num_classes} and {len(self.columns)} columns."
            )
        levels, whitening = self.preprocessing.num_levels, self.preprocessing.whitening
        if levels or whitening != "none" or self.context_size:
            raise ConfigError(
                "A model in any order has no preprocessing and no context: leave out both; got "
                f"{self.preprocessing} and context_size={self.context_size}."
            )
        if self.num_components < 1:
            raise ConfigError(f"num_components must be at least 1; got {self.num_components}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The config of `to_dict`'s output; of a table event_shape may be left out."""
        columns = values.get("columns", ())
        shape = {"event_shape": (len(columns),)} if columns else {}
        return super().from_dict({**shape, **values})

    @classmethod
    def takes_column(cls, column: Column) -> bool:
        """Whether a column of a table may be one of the model's: any."""
        del column
        return True

    def data_space(self, dtype: str = "float32") -> Space:
        """Integers as the dataset stores them, or a number a column."""
        if self.columns:
            return Space(
                shape=self.event_shape,
                dtype=dtype,
                meaning="numbers of the columns; of a category its number",
                columns=self.columns,
            )
        image = len(self.event_shape) == 3
        return Space(
            shape=self.event_shape,
            dtype="uint8" if self.num_classes <= 256 else "int32",
            meaning="integers as the dataset stores them",
            unit="grey level" if image else "",
            minimum=0,
            maximum=self.num_classes - 1,
            medium="image" if image else "features",
            example=self.num_classes // 2,
        )

    def heads(self) -> Heads:
        """The conditionals of the features."""
        if self.columns:
            return ColumnHeads(self.columns, self.num_components, self.mixture)
        return LevelHeads(self.event_size, self.num_classes)
