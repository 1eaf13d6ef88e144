"""Losses between distributions over audio, and between sounds: pure tensor functions.

Probability density distillation (van den Oord et al. 2017, arXiv:1711.10433, Sec. 3) and ClariNet's
closed form (Ping et al. 2018, arXiv:1807.07281, Sec. 3.2-3.3).
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

__all__ = [
    "band_powers",
    "base_entropy",
    "gaussian_kl",
    "gram_matrices",
    "log_spectra",
    "power_loss",
    "regularised_gaussian_kl",
    "spectral_loss",
    "style_loss",
]

STFT_SIZE, STFT_HOP = 256, 64


def base_entropy(log_scale: Any, base: str) -> Any:
    """H of m + s e in nats, [...]: ln s + 2 for logistic e, ln s + ln(2 pi e) / 2 for normal e."""
    constant = 2.0 if base == "logistic" else 0.5 * math.log(2.0 * math.pi * math.e)
    return log_scale + constant


def gaussian_kl(mean_q: Any, log_scale_q: Any, mean_p: Any, log_scale_p: Any) -> Any:
    """KL(N(m_q, s_q) | N(m_p, s_p)) = ln s_p/s_q + (s_q^2 - s_p^2 + (m_p - m_q)^2) / (2 s_p^2)."""
    ratio = log_scale_q - log_scale_p
    distance = tf.square((mean_p - mean_q) * tf.exp(-log_scale_p))
    return 0.5 * (tf.exp(2.0 * ratio) - 1.0 + distance) - ratio


def regularised_gaussian_kl(
    mean_q: Any,
    log_scale_q: Any,
    mean_p: Any,
    log_scale_p: Any,
    *,
    floor: float = -7.0,
    weight: float = 4.0,
) -> Any:
    """ClariNet's Eq. 8: `gaussian_kl` + weight |ln s_p - ln s_q|^2, both ln s at least `floor`.

    The floor keeps the distance between two peaked distributions from exploding; the second term
    pulls the scales together where the first is flat.
    """
    log_scale_q = tf.maximum(log_scale_q, floor)
    log_scale_p = tf.maximum(log_scale_p, floor)
    kl = gaussian_kl(mean_q, log_scale_q, mean_p, log_scale_p)
    return kl + weight * tf.square(log_scale_p - log_scale_q)


def band_powers(a: Any) -> Any:
    """Mean over time of |STFT|^2, Hann windows of 256 with hop 64: [batch, T] -> [batch, 129]."""
    return tf.reduce_mean(_power(a), 1)


def log_spectra(a: Any) -> Any:
    """log10(|STFT|^2 + 1e-5) + 5, silence 0: [batch, T] -> [batch, frames, 129]."""
    return tf.math.log(_power(a) + 1e-5) / math.log(10.0) + 5.0


def _power(a: Any) -> Any:
    """|STFT|^2 [batch, frames, 129]; clips shorter than a window are followed by silence."""
    a = tf.cast(a, tf.float32)
    missing = max(0, STFT_SIZE - a.shape[1])
    spectrum = tf.signal.stft(tf.pad(a, [[0, 0], [0, missing]]), STFT_SIZE, STFT_HOP)
    return tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))


def power_loss(made: Any, real: Any) -> Any:
    """|phi(made) - phi(real)|^2 summed over bands, phi = `band_powers`: [batch].  Sec. 4.1.

    Speech has the power of a clip that says the same, whatever the phases: without it students
    whisper.
    """
    return tf.reduce_sum(tf.square(band_powers(made) - band_powers(real)), -1)


def spectral_loss(made: Any, real: Any) -> Any:
    """|S(made) - S(real)| summed over frames and bands, S = `log_spectra`: [batch].

    Frame by frame, as in ClariNet's Eq. 9, but of logarithms, and between two recordings of one
    word, not of one clip: its least lies at the median of all recordings, so that it tells which
    sounds come when and leaves the rest to the teacher.
    """
    return tf.reduce_sum(tf.abs(log_spectra(made) - log_spectra(real)), [-2, -1])


def gram_matrices(features: Any) -> Any:
    """Products of channels averaged over positions: [batch, ..., C] -> [batch, C, C]."""
    channels = features.shape[-1]
    flat = tf.reshape(features, [tf.shape(features)[0], -1, channels])
    positions = tf.cast(tf.shape(flat)[1], flat.dtype)
    return tf.matmul(flat, flat, transpose_a=True) / positions


def style_loss(made: Any, real: Any) -> Any:
    """|G(made) - G(real)|^2 / C^2 of two feature maps [batch, ..., C]: [batch].  Sec. 4.2."""
    difference = gram_matrices(made) - gram_matrices(real)
    return tf.reduce_mean(tf.square(difference), [-2, -1])
