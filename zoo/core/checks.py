"""Checks of what users pass in: types and shapes always, values in eager mode.

In a graph, values are checked by assertions, which XLA drops. Each function raises
InvalidInputError, which says what was expected and what came. Every call of a model begins here, so
here a forked child is told that it cannot compute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.core import advice, forks
from zoo.core.encoding import encoded, is_frame, rows_of
from zoo.core.space import Space
from zoo.errors import InvalidInputError
from zoo.ops import rounding

__all__ = [
    "EVALUATION_SEED",
    "WEIGHTS_ALONE",
    "as_array",
    "as_tensor",
    "checked_arrays",
    "checked_columns",
    "checked_context",
    "checked_data",
    "checked_latents",
    "checked_sampling",
    "checked_weights",
    "mask_of",
    "refuse_mask",
    "scalar",
    "seed_tensor",
    "static_number",
    "unpacked",
    "with_range",
]

EVALUATION_SEED = (0, 0)
WEIGHTS_ALONE = "sample weights"
"""Key of a mapping in the place of labels that are none: Keras drops weights without labels."""
MAX_TEMPERATURE = 1e6  # beyond it latents of any flow leave float32


def checked_data(x: Any, space: Space, *, continuous: bool = False) -> Any:
    """x [batch, *space.shape] as a tensor of the space's dtype: grey levels, or features.

    One channel may be left out; of a table, a data frame is rows, too. continuous: the model has a
    density of what lies between levels.
    """
    shape, levels = space.shape, space.levels
    if space.columns and is_frame(x):
        x = rows_of(x, space, "x")
    x = as_tensor(x, "x", None if levels else space.dtype)
    expected = f"[batch, {', '.join(map(str, shape))}]"
    if x.shape.rank == len(shape) and advice.lacks_channel(x.shape, shape):
        x = x[..., tf.newaxis]
    if x.shape.rank != len(shape) + 1 or not x.shape[1:].is_compatible_with(shape):
        mend = "" if x.shape.rank is None else advice.of_shape(x.shape, shape, "x")
        raise InvalidInputError(f"Expected x of shape {expected}; got {_shape_text(x)}.{mend}")
    if x.shape[0] == 0:
        raise InvalidInputError(
            f"Expected x of shape {expected} with at least one row; got an empty batch."
        )
    if levels:
        what = "grey levels" if space.medium == "image" else "classes"
        if not x.dtype.is_integer:
            values, dtype = x.numpy() if _is_eager(x) else None, x.dtype.name
            raise InvalidInputError(
                f"This model takes {what} 0..{levels - 1} as integers ({space.dtype}), as the "
                f"dataset stores them; got {dtype}."
                f"{advice.of_levels(values, dtype, levels, continuous=continuous)}"
            )
        if x.dtype != tf.uint8 or levels < 256:
            x = with_range(x, levels, what.capitalize())
        return tf.cast(x, space.dtype)
    message = "x holds NaN or infinity; the density is defined for finite features."
    if not _is_eager(x):
        return _asserting(x, tf.reduce_all(tf.math.is_finite(x)), message)
    if not np.isfinite(x.numpy()).all():
        raise InvalidInputError(message)
    return x


def checked_columns(x: Any, space: Space, name: str) -> Any:
    """x [batch, columns] as a tensor of the space's dtype, from numbers or from a data frame.

    NaN is a missing cell in columns that allow it.
    """
    if is_frame(x):
        x = encoded(x, space.columns, name)
    x = as_tensor(x, name, space.dtype)
    size = len(space.columns)
    if x.shape.rank != 2 or x.shape[1] not in (size, None) or x.shape[0] == 0:
        names = ", ".join(column.name for column in space.columns)
        raise InvalidInputError(
            f"Expected {name} of shape [batch, {size}], the columns {names}; got {_shape_text(x)}."
        )
    may_miss = np.array([column.missing for column in space.columns])
    if not _is_eager(x):
        fine = tf.math.is_finite(x) | (tf.math.is_nan(x) & may_miss)
        return _asserting(x, tf.reduce_all(fine), f"{name} holds NaN or infinity.")
    values = x.numpy()
    bad = ~(np.isfinite(values) | (np.isnan(values) & may_miss))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InvalidInputError(
            f"Expected a finite number in row {row}, column {space.columns[column].name!r} of "
            f"{name} (counted from 0); got {values[row, column]}."
        )
    return x


def checked_latents(z: Any, space: Space) -> Any:
    """z [batch, latents] as a tensor of the space's dtype."""
    z, size = as_tensor(z, "z", space.dtype), space.size
    if z.shape.rank != 2 or z.shape[1] not in (size, None) or z.shape[0] == 0:
        mend = "" if z.shape.rank is None else advice.of_shape(z.shape, (size,), "z")
        raise InvalidInputError(
            f"Expected latents z of shape [batch, {size}]; got {_shape_text(z)}.{mend}"
        )
    if _is_eager(z) and not np.isfinite(z.numpy()).all():
        raise InvalidInputError("z holds NaN or infinity.")
    return z


def checked_context(context: Any, space: Space | None, rows: int | None) -> Any:
    """Labels [batch] as an int32 tensor; None for an unconditional model (no space)."""
    if space is None:
        if context is not None:
            raise InvalidInputError("This model is unconditional: leave out context.")
        return None
    size = space.levels
    if context is None:
        raise InvalidInputError(
            f"This model is conditional: give context, labels 0..{size - 1}, [batch]."
        )
    context = as_tensor(context, "context", None)
    if not context.dtype.is_integer or context.shape.rank != 1:
        raise InvalidInputError(
            "Expected context as integer labels of shape [batch]; got "
            f"{context.dtype.name} {_shape_text(context)}.{advice.of_context(context, size)}"
        )
    if isinstance(rows, int) and context.shape[0] not in (rows, None):
        raise InvalidInputError(f"Expected one label a row: {rows}; got {context.shape[0]}.")
    return tf.cast(with_range(context, size, "Labels"), tf.int32)


def checked_sampling(num_samples: Any, temperature: Any) -> tuple[Any, Any]:
    """(an int, a float); in a graph a tensor of one number may be either, and is asserted.

    Raises InvalidInputError for a number of samples or a temperature that is none.
    """
    forks.check()
    wanted = "num_samples must be an integer of at least 1"
    if tf.is_tensor(num_samples) and not _is_eager(num_samples):
        if not num_samples.dtype.is_integer or num_samples.shape.rank not in (0, None):
            raise InvalidInputError(f"{wanted}; got {_symbol_text(num_samples)}.")
        num_samples = _asserting(tf.cast(num_samples, tf.int32), num_samples >= 1, f"{wanted}.")
    elif not is_real(num_samples) or num_samples < 1 or int(num_samples) != num_samples:
        raise InvalidInputError(f"{wanted}; got {num_samples!r}.")
    else:
        num_samples = int(num_samples)
    wanted = f"temperature must be a finite number >= 0, at most {MAX_TEMPERATURE:g}"
    if tf.is_tensor(temperature) and not _is_eager(temperature):
        if not temperature.dtype.is_floating or temperature.shape.rank not in (0, None):
            raise InvalidInputError(f"{wanted}; got {_symbol_text(temperature)}.")
        fine = (temperature >= 0.0) & (temperature <= MAX_TEMPERATURE)
        return num_samples, _asserting(temperature, fine, f"{wanted}.")
    if not is_real(temperature) or not 0.0 <= temperature <= MAX_TEMPERATURE:
        raise InvalidInputError(f"{wanted}; got {temperature!r}.")
    return num_samples, float(temperature)


def scalar(value: Any, dtype: Any) -> Any:
    """A number or a tensor of one as a tensor of the dtype."""
    return tf.cast(value, dtype) if tf.is_tensor(value) else tf.constant(value, dtype)


def static_number(num_samples: Any, why: str) -> int:
    """The number, where it is known before the graph runs. Raises InvalidInputError else."""
    if tf.is_tensor(num_samples):
        raise InvalidInputError(
            f"num_samples must be a Python integer here, not a tensor of a tf.function: {why}."
        )
    return int(num_samples)


def unpacked(data: Any, *, conditional: bool) -> tuple[Any, Any, Any]:
    """(x, context or None, sample weights or None) of what Keras' `fit` passes to a step."""
    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    if isinstance(y, Mapping) and set(y) == {WEIGHTS_ALONE}:
        weights, y = y[WEIGHTS_ALONE], None
    if isinstance(x, Mapping):
        raise InvalidInputError(
            "Elements must be x, or (x, context); got a dictionary with "
            f"{sorted(x)}. Map it first: dataset.map(lambda row: row['image'])."
        )
    if y is not None and not conditional:
        raise InvalidInputError(
            "This model is unconditional, and the dataset yields pairs. "
            "Drop the second element: dataset.map(lambda x, y: x), or for weights "
            "dataset.map(lambda x, y, w: (x, None, w))."
        )
    return x, y, weights


def checked_weights(weights: Any, rows: Any, dtype: Any) -> Any:
    """Sample weights [batch] of the dtype; None where there are none.

    rows: of the batch, or None. Raises InvalidInputError for other shapes, negative weights, and
    such as are not finite.
    """
    if weights is None:
        return None
    weights = as_tensor(weights, "sample_weight", dtype)
    if weights.shape.rank == 2 and weights.shape[1] == 1:
        weights = weights[:, 0]
    fits = weights.shape.rank == 1 and (
        None in (rows, weights.shape[0]) or weights.shape[0] == rows
    )
    if not fits:
        raise InvalidInputError(
            f"Expected one sample weight a row, [{'batch' if rows is None else rows}]; got "
            f"{_shape_text(weights)}."
        )
    message = "Sample weights must be finite and at least 0."
    if not _is_eager(weights):
        fine = tf.reduce_all(tf.math.is_finite(weights) & (weights >= 0.0))
        return _asserting(weights, fine, message)
    values = weights.numpy()
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0.0)))
    if wrong.size:
        raise InvalidInputError(f"{message} Row {wrong[0]} has {values[wrong[0]]}.")
    return weights


def as_tensor(value: Any, name: str, dtype: Any) -> Any:
    """A tensor of the value.

    NumPy arrays and lists of numbers are cast to `dtype`, if one is given (`as_array`). Raises
    InvalidInputError for what is no dense array of numbers, ForkedProcessError in a forked child.
    """
    forks.check()
    try:
        if not tf.is_tensor(value):
            return tf.convert_to_tensor(as_array(value, name, dtype))
        if isinstance(value, tf.SparseTensor | tf.RaggedTensor):
            raise InvalidInputError(
                f"Expected a dense array in {name}; got {type(value).__name__}. "
                "tf.sparse.to_dense(x) or x.to_tensor() makes one."
            )
        if dtype is None or value.dtype == dtype:
            return value
        if not (value.dtype.is_integer or value.dtype.is_floating or value.dtype.is_bool):
            raise InvalidInputError(f"Expected numbers in {name}; got dtype {value.dtype.name}.")
        if _is_eager(value) and value.dtype.name in ("float64", "int32", "int64", "uint64"):
            as_array(value.numpy(), name, dtype)  # refuses and warns; the cast has a gradient
        return tf.cast(value, dtype)
    except (ValueError, TypeError) as error:
        if isinstance(error, InvalidInputError):
            raise
        reason = advice.of_container(value) if isinstance(value, tuple | Mapping) else error
        raise InvalidInputError(f"{name} is not an array of numbers: {reason}") from error


def as_array(value: Any, name: str, dtype: Any) -> np.ndarray:
    """A NumPy array of the value in this machine's byte order, cast to `dtype`, if one is given.

    Warns of numbers that lose digits before the point in it (`zoo.ops.rounding`). Raises
    InvalidInputError for masks, for what is no number where a dtype is given, and for numbers that
    the dtype does not reach.
    """
    refuse_mask(value, name)
    if hasattr(value, "detach"):  # a tensor of PyTorch's, wherever it lies
        value = value.detach().cpu()
    array = np.asarray(value)
    if array.ndim == 0 and array.dtype.kind == "O":
        text = advice.of_container(value)
        raise InvalidInputError(f"Expected numbers in {name}: {text}")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if dtype is None:
        return array
    if array.dtype.kind not in "fiub":
        raise InvalidInputError(
            f"Expected numbers in {name}; got dtype {array.dtype}.{advice.of_numbers(array)}"
        )
    target = np.dtype(tf.as_dtype(dtype).as_numpy_dtype)
    if array.dtype == target:
        return array
    if target.kind == "f" and array.dtype.itemsize > 2 and array.dtype.kind != "b":
        if (found := rounding.beyond(array, target)) is not None:
            raise InvalidInputError(
                f"{name} holds {array[found]} in {rounding.place(found)}, beyond {target.name}."
            )
        rounding.warn_of_rounding(array, target, name)
    return array.astype(target)


def checked_arrays(dtype: str, *values: Any) -> None:
    """What Keras' `fit` is given, x first: arrays, tuples of them, and anything else.

    Raises InvalidInputError for masked arrays, ForkedProcessError in a forked child; warns of
    features that lose digits in a float dtype.
    """
    forks.check()
    for index, value in enumerate(values):
        for part in value if isinstance(value, tuple) else (value,):
            name = "x" if index == 0 else "an argument"
            refuse_mask(part, name)
            if isinstance(part, np.ndarray) and part.ndim > 1 and "float" in dtype:
                rounding.warn_of_rounding(part, np.dtype(tf.as_dtype(dtype).as_numpy_dtype), name)


def mask_of(value: Any) -> np.ndarray | None:
    """Where a masked array, or a list of them, is masked; None where nothing is."""
    listed = isinstance(value, list | tuple) and any(
        isinstance(part, np.ma.MaskedArray) for part in value
    )
    if not listed and not isinstance(value, np.ma.MaskedArray):
        return None
    mask = np.ma.getmaskarray(np.ma.asarray(value))
    return mask if mask.any() else None


def refuse_mask(value: Any, name: str) -> None:
    """Raises InvalidInputError for a masked array in which something is masked."""
    mask = mask_of(value)
    if mask is not None:
        where = rounding.place(np.argwhere(mask)[0]) if mask.ndim else "one number"
        raise InvalidInputError(
            f"{name} is masked ({mask.sum():,} values, {where} the first), and masked values have "
            "no density: fill them (x.filled(value)), leave their rows out "
            "(np.ma.compress_rows(x)), or draw them (zoo.tasks.imputation.impute)."
        )


def is_real(value: Any) -> bool:
    """Whether the value is one finite number, and no truth value."""
    number = np.asarray(value)
    return number.ndim == 0 and number.dtype.kind in "iuf" and bool(np.isfinite(number))


def _is_eager(x: Any) -> bool:
    return hasattr(x, "numpy")


def _symbol_text(x: Any) -> str:
    return f"a tensor of {x.dtype.name} {_shape_text(x)}"


def _shape_text(x: Any) -> str:
    return (
        str([None if n is None else int(n) for n in x.shape])
        if x.shape.rank is not None
        else "unknown rank"
    )


def with_range(x: Any, size: int, what: str) -> Any:
    """x, whose values must be in 0..size-1: raises eagerly, asserts in a graph."""
    if not _is_eager(x):
        inside = tf.reduce_all((x >= tf.zeros_like(x)) & (tf.cast(x, tf.int64) < size))
        return _asserting(x, inside, f"{what} must be in 0..{size - 1}.")
    values = x.numpy()
    if values.size and (values.min() < 0 or values.max() >= size):
        raise InvalidInputError(
            f"{what} must be in 0..{size - 1}; got {values.min()}..{values.max()}."
        )
    return x


def _asserting(x: Any, condition: Any, message: str) -> Any:
    """x, after an assertion in the graph (XLA drops assertions)."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(x)


def seed_tensor(seed: Any, default: tuple[int, int] | None) -> Any:
    """int32 [2] from an int of up to 64 bits, a pair, a tensor, or the default.

    Where both are None it is a fresh draw, at every execution inside a graph too.
    """
    if seed is None and default is None:
        if not tf.executing_eagerly():
            return tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
        seed = np.random.SeedSequence().generate_state(2)
    elif seed is None:
        seed = default
    message = f"seed must be an integer or a pair of integers; got {seed!r}."
    if tf.is_tensor(seed):
        if not seed.dtype.is_integer or seed.shape.rank not in (0, 1):
            raise InvalidInputError(message)
        seed = tf.cast(seed, tf.int32)
        if seed.shape.rank == 0:
            seed = tf.stack([tf.zeros_like(seed), seed])
        if seed.shape[0] not in (2, None):
            raise InvalidInputError(message)
        return tf.ensure_shape(seed, [2])
    values = np.asarray(seed)
    if values.dtype.kind not in "iu" or values.shape not in ((), (2,)):
        raise InvalidInputError(message)
    words = values.astype(np.int64).reshape(-1)
    if words.size == 1:  # the high and the low half of the integer
        words = np.array([words[0] >> 32, words[0]])
    return tf.constant((words & 0xFFFFFFFF).astype(np.uint32).astype(np.int32))
