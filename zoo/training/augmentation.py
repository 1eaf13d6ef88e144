"""Augmentations of training images, as functions of (row, seed): no row depends on its batch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from zoo.ops import symmetries
from zoo.ops.noise import hashed_draws

__all__ = ["patch_symmetries", "shifted_images"]


def shifted_images(x: Any, limit: int, seed: Any) -> Any:
    """Half of the rows moved by dy, dx, uniform in -limit..limit, with zeros where nothing was.

    x: grey levels [batch, height, width, channels].   seed: int32 [2].
    returns: the same shape and dtype.
    """
    height, width = x.shape[1:3]
    # Far from the first draws, which a VAE's posterior takes by the same seed.
    uniform = hashed_draws(x, seed, tf.constant(1 << 30), 3)  # [batch, 3]
    offsets = tf.cast(uniform[:, 1:] * (2.0 * limit + 1.0), tf.int32)  # 0..2 limit
    offsets = tf.where(uniform[:, :1] < 0.5, limit, offsets)  # into the padded image
    padded = tf.pad(x, [[0, 0], [limit, limit], [limit, limit], [0, 0]])
    rows = offsets[:, :1] + tf.range(height)
    columns = offsets[:, 1:] + tf.range(width)
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def patch_symmetries(x: Any, seed: Any) -> Any:
    """Every row turned or mirrored at random, one of the square's eight symmetries.

    x: floats [batch, side**2 - 1], patches in the form of `zoo.ops.symmetries`.   seed: int32 [2].
    returns: the same shape and dtype, in the same form.
    """
    applied = tf.unstack(hashed_draws(x, seed, tf.constant(0), 3) < 0.5, axis=1)
    patches = symmetries.turned(symmetries.patches_of_rows(x), applied)
    return symmetries.rows_of_patches(patches)
