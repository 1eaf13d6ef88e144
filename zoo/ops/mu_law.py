"""Mu-law companding of 16-bit audio to 256 classes, exact by table (ITU-T G.711; WaveNet Sec. 2.2).

    F(a) = sign(a) ln(1 + mu |a|) / ln(1 + mu),  a = x / 2**15 in [-1, 1),  mu = 255
    class(x) = floor((F(a) + 1) / 2 * mu + 1/2) in 0..255

The map is not injective: a class holds `CLASS_SIZES` of the 65,536 sample values, from 6 near zero
to about 700 at full scale. Spread evenly over its class, P(x) = P(class(x)) / CLASS_SIZES[class],
so that a distribution over classes is one over 16-bit samples, comparable with any other.
Decoding answers the value nearest to the class's centre, and silence (0) for the class of 0; either
lies within its class, so that encode(decode(k)) = k.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["CLASS_SIZES", "MU", "NUM_CLASSES", "compand", "decode", "encode", "log_class_sizes"]

MU = 255.0
NUM_CLASSES = 256
FULL_SCALE = 2**15


def _compand(a: np.ndarray) -> np.ndarray:
    return np.sign(a) * np.log1p(MU * np.abs(a)) / np.log1p(MU)


def _expand(f: np.ndarray) -> np.ndarray:
    return np.sign(f) * np.expm1(np.abs(f) * np.log1p(MU)) / MU


_VALUES = np.arange(-FULL_SCALE, FULL_SCALE)
_COMPANDED = _compand(_VALUES / FULL_SCALE)
_CLASSES = np.floor((_COMPANDED + 1.0) / 2.0 * MU + 0.5).astype(np.int32)  # [65536]
CLASS_SIZES = np.bincount(_CLASSES, minlength=NUM_CLASSES)
"""How many of the 65,536 values each class holds: int64 [256]."""


def _decoded() -> np.ndarray:
    centres = _expand(2.0 * np.arange(NUM_CLASSES) / MU - 1.0) * FULL_SCALE
    first = np.searchsorted(_CLASSES, np.arange(NUM_CLASSES))
    lowest, highest = _VALUES[first], _VALUES[first + CLASS_SIZES - 1]
    values = np.clip(np.rint(centres), lowest, highest)
    values[_CLASSES[FULL_SCALE]] = 0
    return values.astype(np.int16)


_DECODED = _decoded()


def encode(x: Any) -> Any:
    """int16 samples [...] -> int32 classes 0..255 [...]."""
    return tf.gather(tf.constant(_CLASSES), tf.cast(x, tf.int32) + FULL_SCALE)


def decode(classes: Any) -> Any:
    """Integer classes 0..255 [...] -> int16 samples [...], one value for each class."""
    return tf.cast(tf.gather(tf.constant(_DECODED.astype(np.int32)), classes), tf.int16)


def compand(x: Any, dtype: Any = tf.float32) -> Any:
    """F(x / 2**15): int16 samples [...] -> floats in [-1, 1], what a network sees of a sample."""
    return tf.gather(tf.constant(_COMPANDED, dtype), tf.cast(x, tf.int32) + FULL_SCALE)


def log_class_sizes(classes: Any, dtype: Any = tf.float32) -> Any:
    """log CLASS_SIZES[class] [...]: log P(class) minus it is the log-probability of a sample."""
    return tf.gather(tf.constant(np.log(CLASS_SIZES), dtype), classes)
