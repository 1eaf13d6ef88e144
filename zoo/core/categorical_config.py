"""What the configs of models of categories have: how many each feature has, or its columns."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.core.columns import Column
from zoo.core.config import StoredConfig
from zoo.core.space import Space
from zoo.errors import ConfigError

__all__ = ["CategoricalConfig"]

MOST_CLASSES = 2**15


@dataclass(frozen=True, kw_only=True)
class CategoricalConfig(StoredConfig):
    """Features with finitely many values, in no order; one of the two says how many.

    num_classes: values of each feature, 0..num_classes - 1; one entry is that of all.
    columns: of a table, with finitely many values each; a row holds the places of their texts.
    """

    num_classes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raises ConfigError for classes that are none, a preprocessing and a context."""
        if isinstance(self.num_classes, int):
            object.__setattr__(self, "num_classes", (self.num_classes,))
        super().__post_init__()
        if bool(self.num_classes) == bool(self.columns):
            raise ConfigError(
                "Give num_classes, such as 4 or [2, 3, 4], or the columns of a table; got "
                f"{'both' if self.columns else 'neither'}."
            )
        if not self.columns and len(self.num_classes) not in (1, self.event_size):
            raise ConfigError(
                f"num_classes must be one number, or one for each of {self.event_size} features; "
                f"got {len(self.num_classes)}."
            )
        if not all(2 <= n < MOST_CLASSES for n in self.num_classes):
            raise ConfigError(
                f"num_classes must be at least 2 and below {MOST_CLASSES}; got {self.num_classes}."
            )
        levels, whitening = self.preprocessing.num_levels, self.preprocessing.whitening
        if levels or whitening != "none" or self.context_size:
            raise ConfigError(
                "A flow of categories has no preprocessing and no context: leave out both; got "
                f"{self.preprocessing} and context_size={self.context_size}."
            )

    @classmethod
    def takes_column(cls, column: Column) -> bool:
        """Whether a column of a table may be one of the model's: one with finitely many values."""
        top = column.maximum
        counted = column.is_whole and column.minimum in (None, 0.0) and column.kind != "date"
        finite = counted and top is not None and 0.0 < top < MOST_CLASSES
        return not column.missing and (column.is_categorical or finite)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """How many values each of the D features has."""
        if self.columns:
            return tuple(len(c.categories) or int(c.maximum or 0) + 1 for c in self.columns)
        return self.num_classes * (self.event_size if len(self.num_classes) == 1 else 1)

    @property
    def most_classes(self) -> int:
        """K, the largest number of values of a feature."""
        return max(self.class_counts)

    def data_space(self, dtype: str = "float32") -> Space:
        """Integers as the dataset stores them; `dtype` is of real numbers, which they are not."""
        del dtype
        image = len(self.event_shape) == 3
        return Space(
            shape=self.event_shape,
            dtype="uint8" if self.most_classes <= 256 else "int32",
            meaning="places of the columns' texts in their lists of categories"
            if self.columns
            else "integers as the dataset stores them",
            unit="grey level" if image else "",
            minimum=0,
            maximum=self.most_classes - 1,
            medium="image" if image else "features",
            columns=self.columns,
        )
