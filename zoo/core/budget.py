"""How large a model may become while it is built from a file that a stranger wrote."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass

from zoo.errors import ZooError

__all__ = ["allowed", "spend"]


@dataclass
class _Budget:
    numbers: int
    arrays: int
    refusal: ZooError


_BUDGET: contextvars.ContextVar[_Budget | None] = contextvars.ContextVar("budget", default=None)


@contextlib.contextmanager
def allowed(numbers: int, arrays: int, refusal: ZooError) -> Iterator[None]:
    """The most numbers, and arrays of them, that may be made in the block; else `refusal`."""
    token = _BUDGET.set(_Budget(numbers, arrays, refusal))
    try:
        yield
    finally:
        _BUDGET.reset(token)


def spend(numbers: int, arrays: int = 1) -> None:
    """Told before arrays are made; raises the refusal where they are too many or too large."""
    budget = _BUDGET.get()
    if budget is None:
        return
    budget.numbers -= numbers
    budget.arrays -= arrays
    if budget.numbers < 0 or budget.arrays < 0:
        raise budget.refusal
