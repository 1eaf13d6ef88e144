"""Spectrograms in NumPy: short-time power, mel bands, log-mel features of clips.

power[n, k] = |sum_t w[t] a[n hop + t] exp(-2 pi i k t / size)|**2,   w a periodic Hann window
mel(f) = 2595 log10(1 + f / 700)                              (HTK's scale)
"""

from __future__ import annotations

import functools

import numpy as np

from zoo.errors import InvalidInputError

__all__ = ["log_mel", "mel_matrix", "power_spectrogram"]

FULL_SCALE = 2**15


def power_spectrogram(x: np.ndarray, *, size: int = 256, hop: int = 96) -> np.ndarray:
    """int16 or float clips [rows, T] -> float32 [rows, frames, size // 2 + 1], full scale 1.

    frames = 1 + (T - size) // hop: none is padded. Raises InvalidInputError for T < size.
    """
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] < size:
        raise InvalidInputError(f"Expected clips [rows, at least {size}]; got {list(x.shape)}.")
    a = x.astype(np.float32) / (FULL_SCALE if x.dtype.kind == "i" else 1.0)
    frames = np.lib.stride_tricks.sliding_window_view(a, size, axis=1)[:, ::hop]
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    return (np.abs(np.fft.rfft(frames * window, axis=-1)) ** 2).astype(np.float32)


@functools.cache
def mel_matrix(bands: int, *, size: int, sample_rate: int) -> np.ndarray:
    """Triangles, evenly spaced in mel from 60 Hz to 0.95 Nyquist: [size // 2 + 1, bands]."""

    def mel(frequency: float) -> float:
        return 2595.0 * float(np.log10(1.0 + frequency / 700.0))

    points = np.linspace(mel(60.0), mel(0.475 * sample_rate), bands + 2)
    hertz = 700.0 * (10.0 ** (points / 2595.0) - 1.0)
    bins = np.arange(size // 2 + 1) * sample_rate / size
    rising = (bins[:, None] - hertz[:-2]) / (hertz[1:-1] - hertz[:-2])
    falling = (hertz[2:] - bins[:, None]) / (hertz[2:] - hertz[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def log_mel(
    x: np.ndarray,
    *,
    sample_rate: int = 8000,
    bands: int = 40,
    size: int = 256,
    hop: int = 96,
    decades: float = 5.0,
) -> np.ndarray:
    """Mel power relative to the clip's loudest band, in [0, 1]: float32 [rows, frames, bands].

    1 + log10(mel / max mel) / decades, cut at 0: the same for a clip at any gain; silence is 0.
    """
    mel = power_spectrogram(x, size=size, hop=hop) @ mel_matrix(
        bands, size=size, sample_rate=sample_rate
    )
    loudest = np.maximum(mel.max(axis=(1, 2), keepdims=True), 1e-12)
    relative = np.log10(np.maximum(mel / loudest, 10.0**-decades))
    return np.maximum(1.0 + relative / decades, 0.0).astype(np.float32)
