"""Augmentations of training images, as functions of (batch, seed)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["shifted_images"]


def shifted_images(x: Any, limit: int, seed: Any) -> Any:
    """Half of the rows moved by dy, dx, uniform in -limit..limit, with zeros where nothing was.

    x: [batch, height, width, channels].   seed: int32 [2].   returns: the same shape and dtype.
    """
    height, width = x.shape[1:3]
    moved, seed = tf.unstack(tf.random.split(seed, 2))
    count = tf.shape(x)[0]
    keep = tf.random.stateless_uniform([count, 1], moved) < 0.5
    offsets = tf.random.stateless_uniform(
        [count, 2], seed, minval=-limit, maxval=limit + 1, dtype=tf.int32
    )
    offsets = tf.where(keep, 0, offsets) + limit  # into the padded image
    padded = tf.pad(x, [[0, 0], [limit, limit], [limit, limit], [0, 0]])
    rows = offsets[:, :1] + tf.range(height)
    columns = offsets[:, 1:] + tf.range(width)
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
