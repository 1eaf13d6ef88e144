from __future__ import annotations

import numpy as np
import scipy.stats
import tensorflow as tf
from numpy.testing import assert_array_equal

from zoo.ops.noise import hashed_uniform, mix32

SEED = tf.constant([3, 5])


def _images(num_rows: int, size: int = 64) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).integers(0, 256, (num_rows, size)), tf.int32)


def test_mix32_is_the_published_hash() -> None:
    """lowbias32 of Chris Wellons' hash-prospector, written out in Python's integers."""

    def lowbias32(x: int) -> int:
        x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
        x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
        return x ^ (x >> 16)

    values = [0, 1, 2, 255, 2**16, 2**31, 2**32 - 1, 123456789]
    assert_array_equal(mix32(tf.constant(values, tf.uint32)), [lowbias32(v) for v in values])


def test_noise_is_the_documented_hash_of_the_row() -> None:
    """In NumPy's uint32, which wraps; published scores rest on these numbers."""

    def mix(x: np.ndarray) -> np.ndarray:
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
        x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
        return x ^ (x >> np.uint32(16))

    x = _images(3).numpy().astype(np.uint32)
    golden = np.arange(1, 65, dtype=np.uint32) * np.uint32(0x9E3779B9)
    row = mix(x + golden + np.uint32(3)).sum(-1, keepdims=True, dtype=np.uint32)
    row = mix(row ^ mix(np.array([5 + 3 * 3], np.uint32)))
    expected = ((mix(row + golden) >> np.uint32(9)).astype("float32") + 0.5) * 2.0**-23
    assert_array_equal(hashed_uniform(_images(3), SEED), expected.astype("float32"))


def test_noise_is_uniform_and_uncorrelated() -> None:
    u = hashed_uniform(_images(2000), SEED).numpy().astype("float64")
    assert u.dtype == np.float64
    assert scipy.stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    correlation = np.corrcoef(u.T)[~np.eye(64, dtype=bool)]
    assert np.abs(correlation).max() < 5.0 / np.sqrt(2000)
    assert abs(np.corrcoef(u[:-1].ravel(), u[1:].ravel())[0, 1]) < 5.0 / np.sqrt(u.size)


def test_noise_of_similar_rows_and_seeds_is_unrelated() -> None:
    row = np.zeros((1, 256), "int32")
    near = row.copy()
    near[0, 17] = 1
    draws = [
        hashed_uniform(tf.constant(x), tf.constant(seed)).numpy()[0]
        for x, seed in ((row, [0, 0]), (near, [0, 0]), (row, [0, 1]), (row, [1, 0]), (row, [1, 1]))
    ]
    for i, first in enumerate(draws):
        for second in draws[i + 1 :]:
            assert (first != second).all()
            assert abs(np.corrcoef(first, second)[0, 1]) < 0.3


def test_noise_is_strictly_inside_the_unit_interval() -> None:
    """35041410 is a grey level so far out of range that the hash is all ones: the largest noise."""
    largest = hashed_uniform(tf.constant([[35041410]]), tf.constant([0, 0])).numpy()[0, 0]
    assert 1.0 - 2.0**-22 < largest < 1.0
    u = hashed_uniform(_images(2000), SEED).numpy()
    assert u.min() > 0.0
    assert u.max() < 1.0


def test_noise_of_a_row_does_not_depend_on_its_batch_or_the_compiler() -> None:
    x = _images(6)
    expected = hashed_uniform(x, SEED).numpy()
    assert_array_equal(hashed_uniform(x[4:5], SEED)[0], expected[4])
    assert_array_equal(
        hashed_uniform(tf.reshape(x, [6, 8, 8, 1]), SEED).numpy().reshape(6, 64), expected
    )
    for jit_compile in (False, True):
        compiled = tf.function(hashed_uniform, jit_compile=jit_compile)
        assert_array_equal(compiled(x, SEED), expected)
    dynamic = tf.function(
        hashed_uniform,
        input_signature=[tf.TensorSpec([None, 64], tf.int32), tf.TensorSpec([2], tf.int32)],
    )
    assert_array_equal(dynamic(x, SEED), expected)
