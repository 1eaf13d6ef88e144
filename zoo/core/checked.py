"""Checks that settings share: plain values of frozen dataclasses."""

from __future__ import annotations

import functools
import math
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from zoo.errors import ConfigError

__all__ = ["check_numbers", "check_words"]


@functools.cache
def _words(owner: Any) -> dict[str, tuple[str, ...]]:
    """The words that each field of a dataclass takes which is declared as one of several."""
    hints = typing.get_type_hints(owner)
    return {k: typing.get_args(h) for k, h in hints.items() if typing.get_origin(h) is Literal}


def check_words(owner: Any) -> Mapping[str, tuple[str, ...]]:
    """The words that each `Literal` field of `owner` takes. Raises ConfigError for another one."""
    words: dict[str, tuple[str, ...]] = _words(owner.__class__)
    for name, allowed in words.items():
        if getattr(owner, name) not in allowed:
            raise ConfigError(f"{name} must be one of {allowed}; got {getattr(owner, name)!r}.")
    return words


def check_numbers(owner: Any, names: Iterable[str]) -> None:
    """Raises ConfigError for a named field that is negative or not finite."""
    for name in names:
        value = getattr(owner, name)
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"{name} must be a finite number of 0 or more; got {value}.")
