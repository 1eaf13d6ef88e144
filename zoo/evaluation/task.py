"""What a function of the table of metrics gets, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from zoo.core.recipe import Recipe
from zoo.data.sources import Arrays

__all__ = ["Measured", "Task"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A model to be measured on rows.

    batch_size: rows at a time.   seed: of all noise.
    progress: called with (rows done, rows in all).
    """

    model: Any
    rows: Arrays
    recipe: Recipe | None = None
    batch_size: int = 200
    seed: int = 0
    progress: Callable[[int, int], None] | None = None

    def parts(self, size: int = 0) -> Iterator[slice]:
        """The rows in parts of `size`, of `batch_size` for 0; each is reported when it is done."""
        size = size or self.batch_size
        for start in range(0, self.rows.rows, size):
            stop = min(start + size, self.rows.rows)
            yield slice(start, stop)
            self.report(stop, self.rows.rows)

    def report(self, done: int, total: int) -> None:
        """Calls `progress`, where there is one."""
        if self.progress is not None:
            self.progress(done, total)


class Measured(NamedTuple):
    """{name: {"value", "two_standard_errors", …}}, and how it was measured, in words."""

    metrics: dict[str, Any]
    protocol: str
