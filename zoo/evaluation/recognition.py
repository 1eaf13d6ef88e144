"""An independent listener: which digit a clip says, by a convolutional network on log-mel frames.

Its weights ship in the package (`assets/digit_recogniser.npz`, written by
`tools/train_recogniser.py`, which trains it on the real training clips and measures it on the real
test clips). It scores generated speech, and takes no part in training any generator.

    log-mel [62, 40] -> 3 x (3 x 3 convolution, batch norm, relu, 2 x 2 pooling but the last)
    -> convolution over all bands -> maximum and mean over time -> 10 logits
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import keras
import numpy as np

from zoo.data.spoken_digit import DIGITS
from zoo.errors import DataError
from zoo.ops.mel import log_mel

__all__ = ["build_recogniser", "load_recogniser", "recognised_digits", "wilson_interval"]

ASSET = "digit_recogniser.npz"
BANDS, FRAMES = 40, 62
_BATCH = 250


def build_recogniser(*, filters: tuple[int, ...] = (16, 32, 48), width: int = 64) -> keras.Model:
    """The network with fresh weights: [batch, 62, 40] -> logits [batch, 10]."""
    layers = keras.layers
    inputs = keras.Input((FRAMES, BANDS))
    h = layers.Reshape((FRAMES, BANDS, 1))(inputs)
    for index, channels in enumerate(filters):
        h = layers.Conv2D(channels, 3, padding="same", use_bias=False)(h)
        h = layers.ReLU()(layers.BatchNormalization()(h))
        if index < len(filters) - 1:
            h = layers.MaxPooling2D()(h)
    h = layers.Conv2D(width, (3, h.shape[2]), activation="relu")(h)
    pooled = [layers.GlobalMaxPooling2D()(h), layers.GlobalAveragePooling2D()(h)]
    h = layers.Dropout(0.3)(layers.Concatenate()(pooled))
    return keras.Model(inputs, layers.Dense(DIGITS)(h), name="digit_recogniser")


@functools.cache
def load_recogniser() -> keras.Model:
    """The trained network. Raises DataError where the package lacks its weights."""
    path = resources.files("zoo").joinpath("assets", ASSET)
    if not path.is_file():
        raise DataError(f"{ASSET} is not in the package: `python tools/train_recogniser.py`.")
    model = build_recogniser()
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        weights = [stored[f"weight_{i:02d}"].astype(np.float32) for i in range(len(model.weights))]
    model.set_weights(weights)
    return model


def recognised_digits(clips: np.ndarray, model: Any = None) -> np.ndarray:
    """The digit that each int16 clip [rows, 6144] says: int64 [rows]."""
    model = model or load_recogniser()
    logits = [
        np.asarray(model(log_mel(clips[start : start + _BATCH]), training=False))
        for start in range(0, len(clips), _BATCH)
    ]
    return np.concatenate(logits).argmax(-1)


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share, 95 % by default."""
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    spread = z * np.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    half = float(spread / (1 + z * z / trials))
    return max(0.0, centre - half), min(1.0, centre + half)
