"""Features of a digit classifier for the perceptual term of distillation (arXiv:1711.10433, 4.2).

A classifier of its own: one-dimensional convolutions over short-time spectra, another seed and
another architecture than the listener that scores generated clips (`zoo.evaluation.recognition`),
so that a student is not taught by its examiner. Its weights ship in the package
(`assets/digit_features.npz`, written by `tools/train_recogniser.py --perceptual`).
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.data.spoken_digit import DIGITS
from zoo.errors import DataError
from zoo.ops.audio_losses import STFT_SIZE, log_spectra

__all__ = ["build_features", "feature_maps", "load_features"]

ASSET = "digit_features.npz"


def build_features(*, channels: tuple[int, ...] = (48, 48, 48), width: int = 5) -> keras.Model:
    """Log spectra [batch, frames, 129] -> [logits [batch, 10], map [batch, frames', C], ...]."""
    layers = keras.layers
    inputs = keras.Input((None, STFT_SIZE // 2 + 1))
    h, maps = inputs, []
    for size in channels:
        h = layers.Conv1D(size, width, strides=2, padding="same", activation="elu")(h)
        maps.append(h)
    pooled = layers.Concatenate()(
        [layers.GlobalMaxPooling1D()(h), layers.GlobalAveragePooling1D()(h)]
    )
    logits = layers.Dense(DIGITS)(layers.Dropout(0.3)(pooled))
    return keras.Model(inputs, [logits, *maps], name="digit_features")


@functools.cache
def load_features() -> keras.Model:
    """The trained network, frozen. Raises DataError where the package lacks its weights."""
    path = resources.files("zoo").joinpath("assets", ASSET)
    if not path.is_file():
        raise DataError(
            f"{ASSET} is not in the package: `python tools/train_recogniser.py --perceptual`."
        )
    model = build_features()
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        weights = [stored[f"weight_{i:02d}"].astype(np.float32) for i in range(len(model.weights))]
    model.set_weights(weights)
    model.trainable = False
    return model


def feature_maps(model: Any, a: Any) -> list[Any]:
    """The network's maps of clips a [batch, T], full scale 1; differentiable in a."""
    return model(log_spectra(tf.cast(a, tf.float32)), training=False)[1:]
