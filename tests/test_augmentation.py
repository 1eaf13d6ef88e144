"""Augmentations against NumPy."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf

from zoo.ops.noise import hashed_draws
from zoo.training.augmentation import patch_symmetries, shifted_images


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


def test_what_moves_an_image_says_nothing_of_a_posterior_draw() -> None:
    """A VAE draws by the same seed, from the first of a row's numbers on."""
    x = np.random.default_rng(1).integers(1, 256, (4000, 5, 6, 1)).astype("uint8")
    seed = tf.constant([3, 4])
    still = (shifted_images(tf.constant(x), 2, seed).numpy() == x).all((1, 2, 3))
    first = hashed_draws(tf.constant(x), seed, tf.constant(0), 3).numpy()[still]
    assert len(first) > 1500
    assert np.abs(first.mean(0) - 0.5).max() < 4.5 / np.sqrt(12 * len(first))


def test_patches_are_turned_and_mirrored_in_all_eight_ways(rng: np.random.Generator) -> None:
    patches = rng.normal(size=(2000, 3, 3)).astype("float32")
    patches -= patches.mean((1, 2), keepdims=True)
    rows = tf.constant(patches.reshape(2000, 9)[:, :-1])
    moved = patch_symmetries(rows, tf.constant([3, 4])).numpy()
    restored = np.concatenate([moved, -moved.sum(1, keepdims=True)], 1).reshape(2000, 3, 3)
    ways = [
        turned[:, :, ::step]
        for step in (1, -1)
        for turned in (np.rot90(patches, k, axes=(1, 2)) for k in range(4))
    ]
    matches = np.stack([np.abs(restored - way).max((1, 2)) < 1e-5 for way in ways])
    assert np.all(matches.sum(0) == 1)  # each row is one of the eight, and only one
    assert np.all(np.abs(matches.mean(1) - 0.125) < 0.04)
    alone = patch_symmetries(rows[5:6], tf.constant([3, 4]))
    np.testing.assert_array_equal(alone[0], moved[5])  # whatever the batch
