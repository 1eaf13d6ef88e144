"""A model that a config describes is no larger than the weights beside it.

A config of a kilobyte can ask for a billion units. The weights file says how many numbers there
are: sizes in the config are compared with that before anything is built, and every weight and mask
as it is made, before it has memory.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.core import budget
from zoo.errors import ConfigError, FormatError, WeightsMismatchError, ZooError
from zoo.store.blank import variable_of
from zoo.store.folder import CONFIG_FILE
from zoo.store.structure import MAX_VALUES, shapes

__all__ = ["Limit", "limit_of"]

MAX_EVENT = 2**22  # dimensions of a row
_SPARE = 2**16  # numbers, of defaults that a config has and a model does not use
_SPARE_ARRAYS = 64
_NO_SIZES = frozenset({"num_classes", "sample_rate"})


@dataclass(frozen=True)
class Limit:
    """The most numbers and arrays of a model, and of a size in its config; `refusal` else."""

    numbers: int
    arrays: int
    size: int
    refusal: ZooError

    def check(self, config: Mapping[str, Any], folder: Path) -> None:
        """Raises the refusal for a config with a larger size, FormatError for absurd rows."""
        for name, value in config.items():
            items = value if isinstance(value, list) else [value]
            sizes = [n for n in items if isinstance(n, int) and name not in _NO_SIZES]
            if name == "event_shape":
                if math.prod(sizes) > MAX_EVENT:
                    raise FormatError(
                        f"{folder / CONFIG_FILE} describes rows of {math.prod(sizes):,} numbers; "
                        f"at most {MAX_EVENT:,} are read from a file."
                    )
            elif max(sizes, default=0) > self.size:
                raise self.refusal

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While a model is built; raises the refusal before one grows too large."""
        import tensorflow as tf

        def create(next_creator: Any, **kwargs: Any) -> Any:
            if (variable := variable_of(kwargs)) is not None:
                budget.spend(math.prod(variable.shape))
            return next_creator(**kwargs)

        with (
            budget.allowed(self.numbers, self.arrays, self.refusal),
            tf.variable_creator_scope(create),
        ):
            yield


def limit_of(folder: Path, weights: Path | None) -> Limit:
    """The limit of the model that `folder` describes, for a weights file; None for fresh weights.

    Raises FormatError for a file that is no weights file, MissingCheckpointError for none.
    """
    config = folder / CONFIG_FILE
    if weights is None:
        return Limit(
            MAX_VALUES,
            MAX_VALUES,
            MAX_VALUES,
            ConfigError(
                f"{config} describes a model of more than {MAX_VALUES:,} numbers, the most that is "
                "built from a file. zoo.create(family, ...) builds any."
            ),
        )
    found = shapes(weights)
    numbers = sum(map(math.prod, found.values()))
    refusal = WeightsMismatchError(
        f"{config} describes a far larger model than {weights} has numbers for ({numbers:,}). "
        "Nothing was built. One of the two files is another checkpoint's, or forged: restore the "
        "folder."
    )
    # Masks count beside the weights they mask; what is far from fitting is refused, and what is
    # near is compared by name and shape when the weights are read.
    size = numbers + _SPARE
    return Limit(4 * size, 4 * (len(found) + _SPARE_ARRAYS), size, refusal)
