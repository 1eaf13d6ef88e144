"""What to do about an array that is not as a model takes it, where its shape or kind tells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["lacks_channel", "of_container", "of_context", "of_levels", "of_numbers", "of_shape"]


def lacks_channel(found: Sequence[Any], shape: tuple[int, ...]) -> bool:
    """Whether [batch, height, width] came for rows [height, width, 1]."""
    return len(shape) > 1 and shape[-1] == 1 and tuple(found[1:]) == shape[:-1]


def of_shape(found: Sequence[Any], shape: tuple[int, ...], name: str) -> str:
    """How an array of shape `found` becomes [batch, *shape]; "" where nothing is known.

    A sentence with a space before it, as all advice here.
    """
    given: tuple[Any, ...] = tuple(found)
    size = math.prod(shape)
    flat = ", ".join(map(str, (-1, *shape)))
    if any(not n for n in given):  # not known, or none
        return ""
    if given == shape or (len(shape) > 1 and given == shape[:-1] and shape[-1] == 1):
        row = "" if given == shape else " without its channel"
        mend = f"{name}[None]" if given == shape else f"{name}[None, ..., None]"
        return f" It is one row{row}: {mend} is a batch of one."
    if len(shape) == 3 and given[1:] == (shape[-1], *shape[:-1]):
        return f" Its channels come first: np.moveaxis({name}, 1, -1)."
    if len(shape) == 3 and given == (shape[-1], *shape[:-1]):
        return f" It is one row, channels first: np.moveaxis({name}, 0, -1)[None]."
    if len(shape) == 3 and given[1:3] == shape[:2] and shape[-1] == 1 and given[3:] in ((3,), (4,)):
        return " It is in colour, and the model takes grey images: convert them first."
    if len(shape) == 1 and len(given) == 2 and given[0] == size:
        return f" It seems to hold its rows as columns: {name}.T."
    if len(given) > 1 and math.prod(given) % size == 0 and _regroups(given, shape):
        return f" {name}.reshape({flat}) makes rows of it."
    return ""


def _regroups(given: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    """Whether whole axes at the end make a row: those of `shape`, flattened, split, or with 1s."""
    size = math.prod(shape)
    return any(math.prod(given[axis:]) == size for axis in range(1, len(given)))


def of_container(value: Any) -> str:
    """What a value that is no array of numbers is, and how its arrays are given."""
    kind = type(value).__name__
    if isinstance(value, Mapping):
        keys = ", ".join(map(repr, list(value)[:5]))
        return f"it is a dictionary of {keys}. Give one of its arrays."
    if isinstance(value, tuple) and len(value) in (2, 3):
        return (
            f"it is a tuple of {len(value)}. Give x and context as arguments of their own: "
            "(x, context), not ((x, context))."
        )
    if value is not None and not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        return f"it is a {kind}. Take its elements, a batch each: `for x in …`."
    return f"it is {value!r:.40}."


def of_numbers(array: np.ndarray) -> str:
    """How an array of another kind becomes one of numbers, where it can."""
    if array.dtype.names:
        return " numpy.lib.recfunctions.structured_to_unstructured(x) makes rows of its fields."
    if array.dtype.kind == "O" and array.ndim:
        return " If all of them are numbers: x.astype('float64')."
    return ""


def of_levels(values: np.ndarray | None, dtype: str, levels: int, *, continuous: bool) -> str:
    """How numbers become grey levels; `values` where they are known, else None.

    continuous: whether the model has a density of the numbers between them.
    """
    if "float" not in dtype:
        return " x.astype('uint8')." if dtype == "bool" else ""
    known = np.float32(0.5) if values is None else values
    whole = bool((known == np.rint(known)).all())
    if whole and (levels == 2 or np.max(known) > 1):
        mend = " Their values are whole numbers: x.astype('uint8')."
    else:
        mend = f" For floats in [0, 1]: np.round({levels - 1} * x).astype('uint8')."
        mend *= levels > 2
    if continuous:
        mend += (
            " The density of numbers between grey levels, x + u with u in [0, 1), is "
            "model.distribution().log_prob."
        )
    return mend


def of_context(context: Any, size: int) -> str:
    """How labels of another shape or dtype become integers [batch]."""
    shape, eager = context.shape, hasattr(context, "numpy")
    if shape.rank == 2 and shape[1] == 1:
        return " Take the column: context[:, 0]."
    if shape.rank == 2 and shape[1] == size:
        return " Indicators become labels by np.argmax(context, -1)."
    if shape.rank == 0:
        return " One label for all rows: np.full(len(x), label)."
    whole = eager and context.dtype.is_floating and (context.numpy() % 1 == 0).all()
    return " context.astype('int32') makes integers of them." if whole else ""
