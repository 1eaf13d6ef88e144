"""What simple models and common files say of a user's test pictures and clips.

    pixels_apart    pictures: every pixel and channel by its own histogram over the train rows
    png             pictures: bits of the PNG file, its optimal form, of the first 500
    samples_apart   clips: every sample by one histogram of its mu-law class, even within a class
    flac            clips: bits of one FLAC file of all of them

A histogram has the same added to every count, by the validation rows. The silence behind a clip's
end does not count.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from zoo import extras
from zoo.data.spoken_digit import clip_lengths
from zoo.evaluation.audio import ratio_with_error
from zoo.evaluation.statistics import mean_with_error
from zoo.ops import mu_law

__all__ = ["of_clips", "of_pictures"]

_LEVELS = 256
_ADDED = (1e-3, 1e-2, 1e-1, 1.0)
_FILES = 500


def of_pictures(parts: dict[str, np.ndarray]) -> dict[str, Any]:
    """{name: {"bits_per_dim": figure}}.   parts: uint8 [rows, height, width, channels]."""
    flat = {name: rows.reshape(len(rows), -1) for name, rows in parts.items()}
    size = flat["train"].shape[1]
    counts = np.zeros([size, _LEVELS], np.float32)
    for row in flat["train"]:
        counts[np.arange(size), row] += 1.0
    bits = min(
        (_histogram_bits(counts, flat, added) for added in _ADDED),
        key=lambda found: found["validation"].mean(),
    )["test"]
    files = [8.0 * _png_bytes(picture) / size for picture in parts["test"][:_FILES]]
    return {
        "pixels_apart": {"bits_per_dim": mean_with_error(bits)},
        "png": {"bits_per_dim": mean_with_error(np.array(files))},
    }


def _histogram_bits(
    counts: np.ndarray, flat: dict[str, np.ndarray], added: float
) -> dict[str, np.ndarray]:
    """Bits/dim of every validation and test row."""
    shares = (counts + added) / (counts.sum(1, keepdims=True) + added * _LEVELS)
    bits = -np.log2(shares)
    dims = np.arange(len(bits))
    return {
        name: np.array([bits[dims, row].mean() for row in flat[name]], np.float64)
        for name in ("validation", "test")
    }


def _png_bytes(picture: np.ndarray) -> int:
    stream = io.BytesIO()
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    image.save(stream, format="PNG", optimize=True)
    return stream.tell()


def of_clips(parts: dict[str, np.ndarray], rate: int) -> dict[str, Any]:
    """{name: {"bits_per_sample": figure}}.   parts: int16 [clips, samples]."""
    lengths = {name: clip_lengths(rows) for name, rows in parts.items()}
    own = {
        name: [row[:length] for row, length in zip(rows, lengths[name], strict=True)]
        for name, rows in parts.items()
    }
    classes = np.asarray(mu_law.encode(np.concatenate(own["train"]))).astype(np.int64)
    counts = np.bincount(classes, minlength=_LEVELS) + _ADDED[0]
    bits = -np.log2(counts / counts.sum()) + np.log2(np.asarray(mu_law.CLASS_SIZES))
    sums = np.array([bits[np.asarray(mu_law.encode(row))].sum() for row in own["test"]])
    soundfile = extras.soundfile()
    stream, joined = io.BytesIO(), np.concatenate(own["test"])
    soundfile.write(stream, joined, rate, format="FLAC", subtype="PCM_16")
    flac = 8.0 * stream.tell() / len(joined)
    return {
        "samples_apart": {"bits_per_sample": ratio_with_error(sums, lengths["test"])},
        "flac": {"bits_per_sample": {"value": flac}},
    }
