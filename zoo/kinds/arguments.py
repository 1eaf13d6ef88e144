"""What Keras' `fit` and its like are given as x, y and validation_data, where these are arrays.

Keras takes a tuple or a list for the inputs of a model with several, and y for targets. The models
here have one input, and y is its context.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo.core.checks import WEIGHTS_ALONE, refuse_mask
from zoo.errors import InvalidInputError

__all__ = ["as_arrays"]


def as_arrays(arguments: Mapping[str, Any], method: str, *, conditional: bool) -> dict[str, Any]:
    """The arguments of `method`, lists of numbers as arrays.

    Datasets and generators stay as they are. Raises InvalidInputError, with the right call, for
    tuples and dictionaries as x, a y that the model does not take, and one that it lacks.
    """
    found = dict(arguments)
    x = found["x"] = _rows(found.get("x"), "x", f"{method}(x, context)")
    if not _is_array(x):
        return found
    _check_context(found.get("y"), f"{method}(x)", f"{method}(x, context)", conditional=conditional)
    given = found.get("validation_data")
    if given is None or not (isinstance(given, tuple | list) or _is_array(given)):
        return found
    parts = tuple(given) if isinstance(given, tuple | list) else (given,)
    if isinstance(given, list) and not any(map(_is_array, given)):
        parts = (_rows(given, "validation_data", "validation_data=(x, context)"),)
    context = parts[1] if len(parts) > 1 else None
    right = ("validation_data=x", "validation_data=(x, context)")
    _check_context(context, *right, conditional=conditional)
    found["validation_data"] = parts[0] if len(parts) == 1 else parts
    return found


def _rows(x: Any, name: str, right: str) -> Any:
    """x, or the array of a list of rows."""
    if isinstance(x, Mapping):
        raise InvalidInputError(
            f"Expected an array in {name}; got a dictionary with {sorted(map(str, x))}. Give one "
            f"of its arrays, and another as the context: {right}."
        )
    if not isinstance(x, tuple | list):
        return x
    refuse_mask(x, name)
    try:
        array = np.asarray(x) if isinstance(x, list) else None
    except ValueError:  # arrays of several lengths
        array = None
    if array is None or array.dtype.kind not in "fiub":
        raise InvalidInputError(
            f"Expected an array in {name}; got a {type(x).__name__} of {len(x)}. Arrays are "
            f"arguments of their own: {right}. Pairs are the elements of a tf.data.Dataset."
        )
    return array


def _check_context(context: Any, without: str, with_it: str, *, conditional: bool) -> None:
    if isinstance(context, Mapping) and set(context) == {WEIGHTS_ALONE}:
        return  # none: Keras' own call for the validation of a weighted `fit`
    if context is not None and not conditional:
        raise InvalidInputError(
            "This model is unconditional: it learns from x alone, and -log p(x) has no targets. "
            f"Give {without}."
        )
    if context is None and conditional:
        raise InvalidInputError(
            f"This model is conditional: give the context of each row, {with_it}."
        )


def _is_array(x: Any) -> bool:
    return (hasattr(x, "shape") and hasattr(x, "dtype")) or hasattr(x, "to_numpy")
