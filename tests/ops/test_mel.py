"""Spectrograms against definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from zoo.errors import InvalidInputError
from zoo.ops import mel


def test_power_is_that_of_scipy() -> None:
    x = np.random.default_rng(0).integers(-9000, 9000, (2, 1000)).astype(np.int16)
    window = scipy.signal.get_window("hann", 256)
    _, _, transform = scipy.signal.stft(
        x / 2.0**15, window=window, nperseg=256, noverlap=160, nfft=256, boundary=None, padded=False
    )
    expected = np.abs(transform * window.sum()).transpose(0, 2, 1) ** 2
    found = mel.power_spectrogram(x)
    assert found.shape == (2, 8, 129)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    with pytest.raises(InvalidInputError, match="at least 256"):
        mel.power_spectrogram(x[:, :255])


def test_bands_are_triangles_in_order() -> None:
    matrix = mel.mel_matrix(40, size=256, sample_rate=8000)
    assert matrix.shape == (129, 40)
    assert matrix.min() == 0.0
    assert matrix.max() <= 1.0
    centres = (np.arange(129) @ matrix) / matrix.sum(0)
    assert (np.diff(centres) > 0).all()


def test_log_mel_ignores_gain_and_silence_is_zero() -> None:
    x = np.random.default_rng(1).integers(-9000, 9000, (1, 6144)).astype(np.int16)
    x[:, 4000:] = 0
    features = mel.log_mel(x)
    assert features.shape == (1, 62, 40)
    assert features.max() == 1.0
    assert (features[:, -10:] == 0.0).all()
    np.testing.assert_allclose(mel.log_mel((x // 2).astype(np.int16)), features, atol=2e-3)
