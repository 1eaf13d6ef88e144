"""Rows that count more than others in a batch: their shares of it, its means and its moments.

A step sets the shares of its rows; what averages over the batch inside a model (batch norm, free
bits) asks for them here, so that a row of weight k counts as that row given k times.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import tensorflow as tf

from zoo.ops.replicas import replica_mean

__all__ = [
    "batch_mean",
    "batch_moments",
    "row_shares",
    "rows_weighted",
    "weighted",
    "weighted_mean",
]

_SHARES: ContextVar[Any] = ContextVar("shares of the batch's rows", default=None)


def weighted_mean(values: Any, weights: Any) -> Any:
    """sum_i w_i v_i / W on this replica, W the mean over the replicas of their sums of weights.

    The mean of it over the replicas is that of the global batch, divided by the sum of its weights.
    values, weights: [batch]; without weights (None) the mean of the values. 0 where all weights
    are; the value of a row of weight 0 may be NaN.
    """
    if weights is None:
        return tf.reduce_mean(values)
    total = replica_mean(tf.reduce_sum(weights))
    products = tf.math.multiply_no_nan(values, tf.cast(weights, values.dtype))
    return tf.math.divide_no_nan(tf.reduce_sum(products), tf.cast(total, values.dtype))


@contextlib.contextmanager
def rows_weighted(weights: Any) -> Iterator[None]:
    """Inside, means over the batch weigh its rows by `weights`, [batch] or None.

    Where all are 0 the rows count alike: there is no other mean.
    """
    shares = weights
    if weights is not None:
        total = replica_mean(tf.reduce_sum(weights))
        shares = tf.where(total > 0.0, weights, tf.ones_like(weights))
        shares /= replica_mean(tf.reduce_sum(shares))
    token = _SHARES.set(shares)
    try:
        yield
    finally:
        _SHARES.reset(token)


def _local_mean(x: Any, axes: list[int]) -> Any:
    """The mean over the axes, 0 among them, of which the mean over the replicas is the batch's."""
    shares = _SHARES.get()
    if shares is None:
        return tf.reduce_mean(x, axes)
    within = [axis - 1 for axis in axes if axis]
    shape = [-1] + [1] * (x.shape.rank - 1)
    rows = tf.reduce_sum(x * tf.reshape(tf.cast(shares, x.dtype), shape), 0)
    return tf.reduce_mean(rows, within) if within else rows


def batch_mean(values: Any) -> Any:
    """The mean of values [batch, ...] over the rows of the global batch."""
    return replica_mean(_local_mean(values, [0]))


def row_shares(values: Any) -> Any:
    """Values [batch, size], each row times its share of this replica's batch."""
    shares = _SHARES.get()
    if shares is None:
        return values / tf.cast(tf.shape(values)[0], values.dtype)
    return values * tf.cast(shares, values.dtype)[:, None]


def batch_moments(x: Any, *, kept: int = 1) -> tuple[Any, Any]:
    """(mean, variance) of x [batch, ..., channels] over the global batch.

    kept: how many of the last axes stay; the mean is over all others.
    """
    axes = list(range(x.shape.rank - kept))
    if _SHARES.get() is not None:
        mean = replica_mean(_local_mean(x, axes))
        return mean, replica_mean(_local_mean(tf.math.squared_difference(x, mean), axes))
    mean, variance = tf.nn.moments(x, axes)
    whole = replica_mean(mean)
    if whole is not mean:
        variance = replica_mean(variance + tf.square(mean)) - tf.square(whole)
    return whole, variance


def weighted() -> bool:
    """Whether the rows of the batch at hand have weights."""
    return _SHARES.get() is not None
