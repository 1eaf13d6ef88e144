"""LJ Speech by TFDS `ljspeech`: 24 hours of one speaker, 22,050 Hz, 16 bit, as windows with mel.

TFDS has one split; a split is a slice of it, such as "train[:500]". Rows are int16
[WINDOW_SAMPLES]: every clip from its first sample on, window after window, the last one followed by
zeros. The context is the window's log-mel spectrogram, float32 [FRAMES, MEL_BINS], frame f of which
is computed from the window of the clip centred on samples f HOP to (f + 1) HOP.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.errors import DataError
from zoo.ops.mel import mel_matrix, power_spectrogram

__all__ = ["FRAMES", "HOP", "MEL_BINS", "NAME", "WINDOW_SAMPLES", "read_split", "windows"]

NAME = "ljspeech"
SAMPLE_RATE = 22_050
HOP, MEL_BINS, FFT_SIZE = 256, 80, 1024
WINDOW_SAMPLES = 7_680
FRAMES = WINDOW_SAMPLES // HOP
_QUIETEST = 1e-5  # of mel power; its log10 is 0 in the context, and full scale is about 1


def read_split(builder: Any, expression: str) -> tuple[np.ndarray, np.ndarray]:
    """The windows of a slice of the clips, in stored order.

    returns: x int16 [rows, WINDOW_SAMPLES], context float32 [rows, FRAMES, MEL_BINS].
    Raises DataError where the slice holds no clips, or one that is not mono 16-bit audio.
    """
    rows, frames = [], []
    for record in builder.as_dataset(split=expression).as_numpy_iterator():
        audio = np.asarray(record["speech"])
        if audio.ndim != 1 or np.abs(audio.astype(np.int64)).max(initial=0) > 2**15:
            raise DataError(f"Expected mono 16-bit samples in {NAME}; got shape {audio.shape}.")
        for row, mel in windows(audio.astype(np.int16)):
            rows.append(row)
            frames.append(mel)
    if not rows:
        raise DataError(f"The split {expression!r} of {NAME} has no rows.")
    return np.stack(rows), np.stack(frames)


def windows(clip: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(samples int16 [WINDOW_SAMPLES], log-mel float32 [FRAMES, MEL_BINS]) along a clip [T]."""
    count = -(-len(clip) // WINDOW_SAMPLES)
    padded = np.zeros(count * WINDOW_SAMPLES, np.int16)
    padded[: len(clip)] = clip
    margin = (FFT_SIZE - HOP) // 2
    power = power_spectrogram(np.pad(padded, margin)[None], size=FFT_SIZE, hop=HOP)[0]
    mel = power @ mel_matrix(MEL_BINS, size=FFT_SIZE, sample_rate=SAMPLE_RATE)
    level = np.maximum(1.0 + np.log10(np.maximum(mel, _QUIETEST)) / -np.log10(_QUIETEST), 0.0)
    for number in range(count):
        samples = slice(number * WINDOW_SAMPLES, (number + 1) * WINDOW_SAMPLES)
        frames = slice(number * FRAMES, (number + 1) * FRAMES)
        yield padded[samples], level[frames].astype(np.float32)
