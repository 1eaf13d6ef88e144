"""Augmentations against NumPy."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import tensorflow as tf

from zoo.training.augmentation import shifted_images


@pytest.mark.parametrize("limit", [1, 2])
def test_half_of_the_images_are_moved_and_nothing_wraps_around(limit: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(1, 256, (5, 6, 2)).astype("uint8")
    x = np.repeat(image[None], 4000, 0)
    moved = shifted_images(tf.constant(x), limit, tf.constant([3, 4])).numpy()
    assert moved.dtype == x.dtype
    padded = np.pad(image, [(limit, limit), (limit, limit), (0, 0)])
    expected = {
        padded[dy : dy + 5, dx : dx + 6].tobytes(): (dy - limit, dx - limit)
        for dy in range(2 * limit + 1)
        for dx in range(2 * limit + 1)
    }
    counts = collections.Counter(expected[row.tobytes()] for row in moved)
    share = 0.5 / len(expected)
    for offset in expected.values():
        probability = share + 0.5 * (offset == (0, 0))
        error = 4.5 * np.sqrt(probability * (1.0 - probability) / 4000)
        assert abs(counts[offset] / 4000 - probability) < error
    other = shifted_images(tf.constant(x), limit, tf.constant([3, 5])).numpy()
    assert (other != moved).any()
    compiled = tf.function(shifted_images, jit_compile=True, autograph=False)
    assert compiled(tf.constant(x[:64]), limit, tf.constant([3, 4])).shape == (64, 5, 6, 2)
