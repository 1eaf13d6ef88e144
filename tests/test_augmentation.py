"""Augmentations against NumPy."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf

from zoo.training.augmentation import shifted_images


@pytest.mark.parametrize("limit", [1, 2])
def test_half_of_the_images_are_moved_and_nothing_wraps_around(limit: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(1, 256, (4000, 5, 6, 2)).astype("uint8")
    moved = shifted_images(tf.constant(x), limit, tf.constant([3, 4])).numpy()
    assert moved.dtype == x.dtype
    padded = np.pad(x, [(0, 0), (limit, limit), (limit, limit), (0, 0)])
    offsets = list(itertools.product(range(-limit, limit + 1), repeat=2))
    counts: collections.Counter[tuple[int, int]] = collections.Counter()
    for dy, dx in offsets:
        window = padded[:, limit + dy : limit + dy + 5, limit + dx : limit + dx + 6]
        counts[dy, dx] = int(np.sum((moved == window).all((1, 2, 3))))
    assert sum(counts.values()) == len(x)
    share = 0.5 / len(offsets)
    for offset in offsets:
        probability = share + 0.5 * (offset == (0, 0))
        error = 4.5 * np.sqrt(probability * (1.0 - probability) / 4000)
        assert abs(counts[offset] / 4000 - probability) < error
    other = shifted_images(tf.constant(x), limit, tf.constant([3, 5])).numpy()
    assert (other != moved).any()
    compiled = tf.function(shifted_images, jit_compile=True, autograph=False)
    assert compiled(tf.constant(x[:64]), limit, tf.constant([3, 4])).shape == (64, 5, 6, 2)
