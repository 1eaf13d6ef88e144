"""What a recipe learns from: rows of a dataset, or a target that is known up to a constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from zoo.errors import ConfigError

__all__ = ["Data", "Rows", "Table", "Target"]


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a recipe learns from."""

    kind: ClassVar[str]

    @property
    def dataset(self) -> Rows:
        """The rows that a run reads."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Rows(Data):
    """A TFDS dataset by name and pinned version, and how its rows are split.

    `validation` is always carved from the dataset's own train rows, never from its test rows.
    `labels`: the classes whose rows are kept, by `context`, or by the feature `label` where nothing
    conditions the model; () for all.
    `more_train`: another dataset of the same version and features, whose rows of the split "train"
    are trained on besides; "" for none.
    """

    kind: ClassVar[str] = "Rows"

    name: str
    version: str
    train: str
    validation: str
    test: str
    feature: str = "image"
    context: str = ""  # the feature that conditions the model; "" for none
    labels: tuple[int, ...] = ()
    more_train: str = ""

    def __post_init__(self) -> None:
        """Raises ConfigError for labels that are not integers."""
        labels = tuple(self.labels) if isinstance(self.labels, list | tuple) else (None,)
        if any(type(label) is not int for label in labels):
            raise ConfigError(f"labels must be integers, as [3, 5]; got {self.labels!r}.")
        object.__setattr__(self, "labels", labels)  # a JSON list is a tuple here

    @property
    def dataset(self) -> Rows:
        """Itself."""
        return self

    @property
    def may_miss(self) -> bool:
        """Whether NaN is a missing cell, and no mistake."""
        return False


@dataclass(frozen=True, kw_only=True)
class Table(Rows):
    """Rows of a user's own, split and written to a folder by `zoo.data.own_rows.write`.

    name: what the user calls them.   version: the first digits of a SHA-256 of the rows.
    folder: where they lie.   missing: whether cells may be missing; they are NaN.
    account: how files became rows, in words; "" of a table.   classes: names of the labels.
    """

    kind: ClassVar[str] = "Table"

    folder: str
    train: str = "train"
    validation: str = "validation"
    test: str = "test"
    feature: str = "rows"
    missing: bool = False
    account: str = ""
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises what `Rows` raises."""
        super().__post_init__()
        object.__setattr__(self, "classes", tuple(self.classes))  # a JSON list

    @property
    def may_miss(self) -> bool:
        """`missing`."""
        return self.missing


@dataclass(frozen=True, kw_only=True)
class Target(Data):
    """The density exp(-U) / Z of an energy U of the plane (`zoo.data.targets.plane`).

    energy: U's name.
    draws: exact draws of the density. A run does not learn from them: they name the noise, with the
    seed, and score the model from the other side (`forward_kl`).
    """

    kind: ClassVar[str] = "Target"

    energy: str
    draws: Rows

    @property
    def dataset(self) -> Rows:
        """The draws."""
        return self.draws
