"""Mu-law against its definition, in NumPy float64, over all 65,536 samples."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.ops import mu_law

ALL = np.arange(-(2**15), 2**15).astype(np.int16)


def test_classes_are_those_of_the_formula() -> None:
    a = ALL / 2.0**15
    f = np.sign(a) * np.log(1 + 255 * np.abs(a)) / np.log(256)
    expected = np.floor((f + 1) / 2 * 255 + 0.5)
    np.testing.assert_array_equal(mu_law.encode(ALL), expected)
    np.testing.assert_allclose(mu_law.compand(ALL, tf.float64), f, atol=1e-12)


def test_decoding_and_encoding_again_is_the_identity() -> None:
    classes = np.arange(256, dtype=np.int32)
    decoded = mu_law.decode(classes).numpy()
    assert decoded.dtype == np.int16
    np.testing.assert_array_equal(mu_law.encode(decoded), classes)
    assert (np.diff(decoded.astype(int)) > 0).all()


def test_a_round_trip_is_off_by_at_most_half_a_class() -> None:
    classes = mu_law.encode(ALL).numpy()
    error = np.abs(mu_law.decode(classes).numpy().astype(int) - ALL)
    assert (error <= mu_law.CLASS_SIZES[classes]).all()
    assert mu_law.decode(mu_law.encode(np.int16([0]))).numpy() == 0


def test_class_sizes_count_the_samples() -> None:
    counts = np.bincount(mu_law.encode(ALL).numpy(), minlength=256)
    np.testing.assert_array_equal(mu_law.CLASS_SIZES, counts)
    assert counts.sum() == 2**16
    assert counts.min() >= 1
    np.testing.assert_allclose(
        np.exp(mu_law.log_class_sizes(np.arange(256), tf.float64)), counts, rtol=1e-12
    )


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
def test_any_integer_dtype_is_taken(dtype) -> None:
    x = np.array([[-32768, -1], [0, 32767]], dtype)
    assert mu_law.encode(x).numpy().tolist() == [[0, 127], [128, 255]]
