"""The coordinate y of a column of real numbers (`zoo.core.columns`), its slope, and its inverse.

real, date   (x - location) / scale            positive   (log x - location) / scale
bounded      (logit((x - minimum) / (maximum - minimum)) - location) / scale
heavy        asinh of these
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.bijectors.base import OnePassBijector
from zoo.core.columns import Column

__all__ = ["ColumnCoordinates", "coordinate", "in_support", "log_slope", "safe", "value"]

_LARGEST = 80.0  # of a coordinate: its sinh and its exp are still finite


def in_support(column: Column, x: Any) -> Any:
    """Whether a value is finite, and above 0 or between the bounds; bool [...]."""
    finite = tf.math.is_finite(x)
    if column.kind == "positive":
        return finite & (x > 0.0)
    if column.kind == "bounded":
        minimum, maximum = _bounds(column)
        return finite & (x > minimum) & (x < maximum)
    return finite


def safe(column: Column, x: Any) -> Any:
    """x where it is in the support, else some value that is."""
    example = 1.0 if column.kind == "positive" else column.location
    if column.kind == "bounded":
        example = 0.5 * sum(_bounds(column))
    return tf.where(in_support(column, x), x, tf.fill(tf.shape(x), tf.constant(example, x.dtype)))


def coordinate(column: Column, x: Any) -> Any:
    """y of values in the support."""
    y = (_unscaled(column, x) - column.location) / column.scale
    return tf.asinh(y) if column.heavy else y


def value(column: Column, y: Any) -> Any:
    """The inverse of `coordinate`."""
    y = tf.clip_by_value(y, -_LARGEST, _LARGEST)
    y = (tf.sinh(y) if column.heavy else y) * column.scale + column.location
    if column.kind == "positive":
        return tf.exp(tf.clip_by_value(y, -_LARGEST, _LARGEST))
    if column.kind == "bounded":
        minimum, maximum = _bounds(column)
        x = minimum + (maximum - minimum) * tf.sigmoid(y)
        kind = x.dtype.as_numpy_dtype  # the bounds themselves are none of its values
        low = np.nextafter(kind(minimum), kind(maximum))
        return tf.clip_by_value(x, low, np.nextafter(kind(maximum), kind(minimum)))
    return y


def log_slope(column: Column, x: Any) -> Any:
    """log |dy/dx| of values in the support."""
    slope = tf.fill(tf.shape(x), tf.constant(-math.log(column.scale), x.dtype))
    if column.heavy:
        y = tf.abs(tf.asinh((_unscaled(column, x) - column.location) / column.scale))
        slope -= y + tf.nn.softplus(-2.0 * y) - math.log(2.0)  # log cosh y
    if column.kind == "positive":
        slope -= tf.math.log(x)
    if column.kind == "bounded":
        minimum, maximum = _bounds(column)
        width = math.log(maximum - minimum)
        slope += width - tf.math.log(x - minimum) - tf.math.log(maximum - x)
    return slope


def _unscaled(column: Column, x: Any) -> Any:
    if column.kind == "positive":
        return tf.math.log(x)
    if column.kind == "bounded":
        minimum, maximum = _bounds(column)
        return tf.math.log(x - minimum) - tf.math.log(maximum - x)
    return x


def _bounds(column: Column) -> tuple[float, float]:
    """The bounds of a bounded column, which it has (`Column`)."""
    return float(column.minimum or 0.0), float(column.maximum or 0.0)


class ColumnCoordinates(OnePassBijector):
    """Coordinates [..., columns] to values, each by its column.

    log|det dy/dx| = sum_i log |dy_i/dx_i|, which is -inf, without a gradient, for a row with a
    value outside of its column's support.
    """

    def __init__(self, columns: Sequence[Column], name: str = "columns") -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=1, parameters=parameters, name=name)
        self._columns = tuple(columns)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """Coordinates to values."""
        values = [value(column, y) for column, y in self._parts(z)]
        slopes = [log_slope(c, x) for c, x in zip(self._columns, values, strict=True)]
        return tf.stack(values, axis=-1), -tf.add_n(slopes)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """Values to coordinates."""
        inside = [(column, v, safe(column, v)) for column, v in self._parts(x)]
        coordinates = [coordinate(column, v) for column, _, v in inside]
        log_det = tf.add_n([log_slope(column, v) for column, _, v in inside])
        all_inside = tf.reduce_all(tf.stack([in_support(c, v) for c, v, _ in inside], -1), axis=-1)
        log_det = tf.where(all_inside, log_det, tf.constant(-math.inf, log_det.dtype))
        return tf.stack(coordinates, axis=-1), log_det

    def _parts(self, x: Any) -> list[tuple[Column, Any]]:
        return list(zip(self._columns, tf.unstack(x, axis=-1), strict=True))
