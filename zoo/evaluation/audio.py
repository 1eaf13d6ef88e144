"""The figures of audio models: bits a sample, and whether a listener understands them.

    bits_per_sample          -sum log P(x_t | x_<t) / (n log 2) over the n own samples of clips, of
                             16-bit values; the zeros behind a clip's end are not scored
    bits_per_sample_mu_law   the same of the 8-bit mu-law classes
    recognised               share of generated clips whose digit the listener names
                             (`zoo.evaluation.recognition`), as many of every label of the rows,
                             with Wilson's 95 % interval
    silence_excess_db        level of the quietest tenth of the frames of speech, loudest 0 dB, of
                             generated clips minus of real ones of the same labels, the median over
                             clips: hiss is above 0
    distillation_kl          KL(student | teacher) in nats a sample, along the student's own clips

The error of a ratio of sums over clips is two standard errors of its linear approximation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import loading
from zoo.core.recipe import Distillation
from zoo.data.sources import Arrays
from zoo.data.spoken_digit import SPEAKERS, clip_lengths
from zoo.evaluation import recognition
from zoo.ops.mel import power_spectrogram

__all__ = [
    "AUDIO_METRICS",
    "DRAWN_METRICS",
    "audio_metrics",
    "frame_floor_db",
    "ratio_with_error",
    "recognised_share",
]

AUDIO_METRICS = (
    "bits_per_sample",
    "bits_per_sample_mu_law",
    "recognised",
    "silence_excess_db",
    "distillation_kl",
)
DRAWN_METRICS = frozenset({"recognised", "silence_excess_db"})  # of the model's own clips
CLIPS_A_LABEL = 4
_ROWS_AT_ONCE = 25
_FRAME = 256
_SPEECH_DB = -30.0


def audio_metrics(
    model: Any,
    rows: Arrays,
    names: Sequence[str],
    *,
    distillation: Distillation | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The named metrics of a model on clips: {name: {"value", "two_standard_errors", ...}}.

    distillation: of a student, which names its teacher.
    Raises DataError where the listener is needed and not in the package.
    """
    found: dict[str, Any] = {}
    if {"bits_per_sample", "bits_per_sample_mu_law"} & set(names):
        found |= _bits(model, rows, progress)
    if DRAWN_METRICS & set(names):
        labels = np.arange(model.config.context_size)
        if rows.context is not None:
            labels = np.unique(rows.context)
        clips, labels = drawn_clips(model, labels, seed=seed)
        found["recognised"] = recognised_share(clips, labels)
        found["silence_excess_db"] = silence_excess_db(clips, labels, rows)
    if distillation is not None:
        found["distillation_kl"] = distillation_kl(model, rows, distillation, seed=seed)
    return {name: found[name] for name in names}


def _bits(model: Any, rows: Arrays, progress: Callable[[int, int], None] | None) -> dict[str, Any]:
    lengths = clip_lengths(rows.x)
    samples, classes = [], []
    for start in range(0, rows.rows, _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        x = rows.x[part]
        mask = np.arange(x.shape[1]) < lengths[part, None]
        context = None if rows.context is None else model.clip_context(x, rows.context[part])
        nats = np.where(mask, model.stepwise_log_prob(x, context), 0.0).astype(np.float64)
        offsets = np.where(mask, model.stepwise_class_offset(x), 0.0).astype(np.float64)
        samples.append(nats.sum(1))
        classes.append((nats + offsets).sum(1))
        if progress is not None:
            progress(min(start + _ROWS_AT_ONCE, rows.rows), rows.rows)
    return {
        name: ratio_with_error(-np.concatenate(values) / math.log(2.0), lengths)
        for name, values in (("bits_per_sample", samples), ("bits_per_sample_mu_law", classes))
    }


def ratio_with_error(sums: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    """{"value": sum(sums) / sum(counts), "two_standard_errors", "samples": sum(counts)}."""
    value = float(sums.sum() / counts.sum())
    residuals = (sums - value * counts) / counts.mean()
    deviation = float(np.std(residuals, ddof=1)) if len(sums) > 1 else 0.0
    return {
        "value": round(value, 6),
        "two_standard_errors": round(2.0 * deviation / math.sqrt(len(sums)), 6),
        "samples": int(counts.sum()),
    }


def drawn_clips(
    model: Any, labels: np.ndarray, *, clips_a_label: int = CLIPS_A_LABEL, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Clips of the labels, as many of each: int16 [clips, T], and their labels int32 [clips]."""
    labels = np.asarray(labels, np.int32)
    clips = [
        np.asarray(model.sample(len(labels), seed=(seed, number), context=tf.constant(labels)))
        for number in range(clips_a_label)
    ]
    return np.concatenate(clips), np.tile(labels, clips_a_label)


def recognised_share(clips: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """How many of the clips the listener understands: the digit it hears is their label's."""
    heard = recognition.recognised_digits(clips)
    correct = int(np.sum(heard == labels // len(SPEAKERS)))
    low, high = recognition.wilson_interval(correct, len(labels))
    return {
        "value": round(correct / len(labels), 4),
        "two_standard_errors": round((high - low) / 2, 4),
        "interval": [round(low, 4), round(high, 4)],
        "clips": len(labels),
    }


def silence_excess_db(clips: np.ndarray, labels: np.ndarray, rows: Arrays) -> dict[str, Any]:
    """The median floor of the clips minus that of the real rows of the same labels, in dB."""
    real = rows.x if rows.context is None else rows.x[np.isin(rows.context, labels)]
    made, true = frame_floor_db(clips), frame_floor_db(real)
    error = 2.0 * 1.2533 * math.hypot(*(np.std(v) / math.sqrt(len(v)) for v in (made, true)))
    return {
        "value": round(float(np.median(made) - np.median(true)), 3),
        "two_standard_errors": round(error, 3),
    }


def frame_floor_db(clips: np.ndarray) -> np.ndarray:
    """Power of the quietest tenth of the frames of each clip's speech, loudest 0 dB: [rows].

    Speech ends with the last frame within 30 dB of the loudest: what a model draws behind the word
    is small, but not the zeros that follow real clips. A frame of zeros counts as -96 dB, as the
    least 16-bit sample does.
    """
    power = power_spectrogram(clips, size=_FRAME, hop=_FRAME // 2).sum(-1)  # [rows, frames]
    floors = []
    for row in power:
        level = 10.0 * np.log10(np.maximum(row / max(row.max(), 1e-12), 10.0**-9.6))
        end = np.flatnonzero(level >= _SPEECH_DB)
        floors.append(np.quantile(level[: end[-1] + 1 if len(end) else None], 0.1))
    return np.array(floors)


def distillation_kl(
    student: Any, rows: Arrays, settings: Distillation, *, seed: int
) -> dict[str, Any]:
    """KL(student | teacher) a sample, one clip of the student for every row's label."""
    from zoo.objectives.distillation import DistillationLoss

    teacher = loading.load(settings.teacher)
    loss = DistillationLoss(Distillation(teacher=settings.teacher), teacher)

    divergence = tf.function(
        lambda x, labels, seed: loss.terms(student, x, labels, seed)["kl"],
        autograph=False,
        reduce_retracing=True,
    )
    values = []
    for start in range(0, rows.rows, _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        labels = tf.constant(rows.context[part] if rows.context is not None else [])
        nats = divergence(tf.constant(rows.x[part]), labels, tf.constant([seed, start]))
        values.append(np.asarray(nats, np.float64))
    counts = np.full(rows.rows, rows.x.shape[1])
    return ratio_with_error(np.concatenate(values), counts)
