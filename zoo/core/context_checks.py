"""Checks of a context that is no label: numbers of a shape, grey levels, columns of a table.

As `zoo.core.checks` checks rows: shapes always, values in eager mode and by assertions in a graph.
Each function raises InvalidInputError, which says what was expected and what came.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from zoo.core import checks
from zoo.core.encoding import encoded, is_frame
from zoo.core.space import Space
from zoo.errors import InvalidInputError

__all__ = ["checked_condition", "numbers_of", "of_rows"]


def checked_condition(context: Any, space: Space | None, rows: int | None) -> Any:
    """The context [rows, *space.shape] as a tensor of the space's dtype; None without a space."""
    if space is None or space.num_labels:
        return checks.checked_context(context, space, rows)
    if context is None:
        raise InvalidInputError(f"This model is conditional: give context, {_words(space)}.")
    if space.columns:
        context = checks.checked_columns(context, space, "context")
    else:
        context = _checked_numbers(context, space)
    if isinstance(rows, int) and context.shape[0] not in (rows, None):
        raise InvalidInputError(f"Expected a context a row: {rows}; got {context.shape[0]}.")
    return context


def of_rows(context: Any, space: Space | None, rows: Any) -> Any:
    """The context of so many draws: one for all is repeated. Nothing is checked."""
    if context is None or space is None:
        return context
    context = numbers_of(context, space)
    if context.shape.rank == len(space.shape):
        context = context[tf.newaxis]
    elif space.num_labels:  # one label for all has no axis
        return context
    return tf.repeat(context, rows, axis=0) if context.shape[0] == 1 else context


def numbers_of(context: Any, space: Space) -> Any:
    """The context as a tensor, real numbers of the space's dtype; of columns a frame does."""
    if is_frame(context) and space.columns:
        context = encoded(context, space.columns, "context")
    return checks.as_tensor(context, "context", None if space.is_integer else space.dtype)


def _words(space: Space) -> str:
    """What a context of the space is, for a message."""
    shape = f"[batch, {', '.join(map(str, space.shape))}]"
    if space.columns:
        names = ", ".join(column.name for column in space.columns)
        return f"the columns {names}, {shape}"
    if space.levels:
        return f"integers 0..{space.levels - 1} of shape {shape}"
    return f"numbers of shape {shape}"


def _checked_numbers(context: Any, space: Space) -> Any:
    context = checks.as_tensor(context, "context", None if space.levels else space.dtype)
    if context.shape.rank == 1 and space.shape == (1,):
        context = context[:, tf.newaxis]
    if context.shape.rank == len(space.shape) and space.shape[-1] == 1 and len(space.shape) == 3:
        context = context[..., tf.newaxis]
    fits = context.shape.rank == len(space.shape) + 1 and context.shape[1:].is_compatible_with(
        space.shape
    )
    if not fits or context.shape[0] == 0:
        shape = context.shape
        found = "an unknown rank" if shape.rank is None else str(shape.as_list())
        one = shape.rank is not None and shape.is_compatible_with(space.shape)
        mend = " One for all rows: np.tile(context, (len(x), 1))." if one else ""
        mend = mend if one and len(space.shape) == 1 else ""
        raise InvalidInputError(f"Expected context as {_words(space)}; got {found}.{mend}")
    if not space.levels:
        return _finite(context)
    if not context.dtype.is_integer:
        raise InvalidInputError(
            f"Expected context as {_words(space)}; got {context.dtype.name}. Floats in [0, 1] "
            f"become levels by np.round({space.levels - 1} * context).astype('uint8')."
        )
    return tf.cast(checks.with_range(context, space.levels, "Context levels"), space.dtype)


def _finite(context: Any) -> Any:
    message = "context holds NaN or infinity; expected finite numbers."
    if not hasattr(context, "numpy"):
        fine = tf.reduce_all(tf.math.is_finite(context))
        with tf.control_dependencies([tf.debugging.Assert(fine, [message])]):
            return tf.identity(context)
    bad = ~np.isfinite(context.numpy())
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise InvalidInputError(f"{message} Row {row} (counted from 0) is the first.")
    return context
