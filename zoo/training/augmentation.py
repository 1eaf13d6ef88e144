"""Augmentations of training images, as functions of (row, seed): no row depends on its batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from zoo.core.training import Augmentation, Binarise, Flips, PatchSymmetries, Shifts
from zoo.errors import ConfigError
from zoo.ops import symmetries
from zoo.ops.noise import binarized, hashed_draws

__all__ = [
    "augmented",
    "check_augmentation",
    "flipped_images",
    "patch_symmetries",
    "shifted_images",
]


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


def flipped_images(x: Any, uniform: Any) -> Any:
    """Images [batch, height, width, channels], mirrored where uniform [batch, 1, 1, 1] < 1/2."""
    return tf.where(uniform < 0.5, tf.reverse(x, [2]), x)


def augmented(
    x: Any, changes: Sequence[Augmentation], seed: Any, *, uniform: Callable[[Any, Any], Any]
) -> Any:
    """The rows of a batch after a recipe's random changes, in their order.

    seed: int32 [2].   uniform: (x, seed) -> a number in [0, 1) for each image, [batch, 1, 1, 1].
    """
    for change in changes:
        match change:
            case Flips():
                x = flipped_images(x, uniform(x, seed))
            case Shifts(pixels=pixels):
                x = shifted_images(x, pixels, seed)
            case PatchSymmetries():
                x = patch_symmetries(x, seed)
            case Binarise():
                x = binarized(x, seed)
            case _:
                raise ConfigError(f"No augmentation {change!r}.")
    return x


def check_augmentation(changes: Sequence[Augmentation], model: Any) -> None:
    """Raises ConfigError for changes that rows of this model cannot undergo."""
    config = model.config
    shape = tuple(config.event_shape)
    for change in changes:
        if isinstance(change, Flips | Shifts) and len(shape) != 3:
            raise ConfigError(f"{change.kind} is for images [h, w, c]; {model.name} has {shape}.")
        if isinstance(change, PatchSymmetries) and (
            len(shape) != 1 or not symmetries.side_of_rows(shape[0])
        ):
            raise ConfigError(
                f"{change.kind} is for rows of side**2 - 1 pixels; {model.name} has {shape}."
            )
        if isinstance(change, Binarise) and config.preprocessing.num_levels != 2:
            raise ConfigError(
                f"{change.kind} is for models of binary images; {model.name}, of the family "
                f"{model.family}, has {config.preprocessing.num_levels or 'no'} grey levels."
            )
