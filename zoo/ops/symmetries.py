"""The eight symmetries of square patches, as maps of rows of pixels.

Rows are those of `zoo.data.bsds300`: a patch less its mean and its last pixel, which is minus the
sum of the others, side**2 - 1 numbers. Every symmetry permutes the patch's pixels, so that it is a
linear map of the row whose log|det| is 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from zoo.errors import InvalidInputError

__all__ = [
    "GENERATORS",
    "all_symmetries",
    "patches_of_rows",
    "rows_of_patches",
    "side_of_rows",
    "turned",
]


def _upside_down(patches: Any) -> Any:
    return tf.reverse(patches, [1])


def _mirrored(patches: Any) -> Any:
    return tf.reverse(patches, [2])


# Each applied or not, in this order: the eight symmetries of the square.
GENERATORS: tuple[Callable[[Any], Any], ...] = (
    tf.linalg.matrix_transpose,
    _upside_down,
    _mirrored,
)


def side_of_rows(size: int) -> int:
    """The side of patches whose rows have side**2 - 1 columns; 0 where `size` is no such number."""
    side = math.isqrt(size + 1)
    return side if side >= 2 and side * side == size + 1 else 0


def patches_of_rows(x: Any) -> Any:
    """[batch, side**2 - 1] -> [batch, side, side].

    Raises InvalidInputError for rows that are no square less a pixel.
    """
    side = side_of_rows(int(x.shape[-1]))
    if x.shape.rank != 2 or not side:
        raise InvalidInputError(
            f"Expected rows of side**2 - 1 pixels, [batch, 63] for patches of 8 x 8; "
            f"got the shape {tuple(x.shape)}."
        )
    patches = tf.concat([x, -tf.reduce_sum(x, -1, keepdims=True)], -1)
    return tf.reshape(patches, [-1, side, side])


def rows_of_patches(patches: Any) -> Any:
    """[batch, side, side] -> [batch, side**2 - 1]."""
    return tf.reshape(patches, [-1, patches.shape[1] * patches.shape[2]])[:, :-1]


def turned(patches: Any, applied: Sequence[Any], *, back: bool = False) -> Any:
    """Patches [batch, side, side], each by its own symmetry, or `back` from there.

    applied: for each of `GENERATORS` bool [batch], whether it is applied; back in reverse order,
        for each of them undoes itself.
    """
    pairs = list(zip(GENERATORS, applied, strict=True))
    for generator, where in reversed(pairs) if back else pairs:
        patches = tf.where(where[:, None, None], generator(patches), patches)
    return patches


def all_symmetries(x: Any) -> list[Any]:
    """The rows x [batch, side**2 - 1] turned and mirrored in all eight ways; x itself first."""
    patches, result = patches_of_rows(x), []
    for applied in itertools.product((False, True), repeat=len(GENERATORS)):
        moved = patches
        for generator, apply in zip(GENERATORS, applied, strict=True):
            moved = generator(moved) if apply else moved
        result.append(rows_of_patches(moved))
    return result
