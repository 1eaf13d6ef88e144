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
from collections.abc import Collection
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import loading
from zoo.core.recipe import Distillation
from zoo.data.sources import Arrays
from zoo.data.spoken_digit import SPEAKERS, clip_lengths
from zoo.errors import ConfigError
from zoo.evaluation import recognition
from zoo.evaluation.task import Measured, Task
from zoo.ops.mel import power_spectrogram

__all__ = [
    "bits_metrics",
    "distillation_kl",
    "distillation_metrics",
    "drawn_clips",
    "frame_floor_db",
    "ratio_with_error",
    "recognised_share",
    "silence_excess_db",
    "spoken_metrics",
]

CLIPS_A_LABEL = 4
_ROWS_AT_ONCE = 25
_FRAME = 256
_SPEECH_DB = -30.0


def bits_metrics(task: Task, names: Collection[str]) -> Measured:
    """The named metrics of a model that scores every sample given those before it."""
    model, rows = task.model, task.rows
    lengths = clip_lengths(rows.x)
    samples, classes = [], []
    for part in task.parts(_ROWS_AT_ONCE):
        x = rows.x[part]
        mask = np.arange(x.shape[1]) < lengths[part, None]
        context = None if rows.context is None else model.clip_context(x, rows.context[part])
        nats = np.where(mask, model.stepwise_log_prob(x, context), 0.0).astype(np.float64)
        offsets = np.where(mask, model.stepwise_class_offset(x), 0.0).astype(np.float64)
        samples.append(nats.sum(1))
        classes.append((nats + offsets).sum(1))
    found = {"bits_per_sample": samples, "bits_per_sample_mu_law": classes}
    metrics = {
        name: ratio_with_error(-np.concatenate(found[name]) / math.log(2.0), lengths)
        for name in names
    }
    return Measured(metrics, "exact probability of the stored samples")


def spoken_metrics(task: Task, names: Collection[str]) -> Measured:
    """The named metrics of the model's own clips, as many of every label of the rows.

    Raises DataError where the listener is needed and not in the package.
    """
    model, rows = task.model, task.rows
    if rows.context is None:
        labels = np.arange(model.config.context_size)
    else:
        labels = np.unique(rows.context)
    clips, labels = drawn_clips(model, labels, seed=task.seed)
    found: dict[str, Any] = {}
    if "recognised" in names:
        found["recognised"] = recognised_share(clips, labels)
    if "silence_excess_db" in names:
        found["silence_excess_db"] = silence_excess_db(clips, labels, rows)
    return Measured(
        found,
        f"{CLIPS_A_LABEL} clips of every label, drawn with seed {task.seed}, are listened to",
    )


def distillation_metrics(task: Task, names: Collection[str]) -> Measured:
    """`distillation_kl`, from the teacher that the recipe names. Raises ConfigError for none."""
    if task.recipe is None or not isinstance(task.recipe.objective, Distillation):
        raise ConfigError(f"{', '.join(names)} compares with a teacher; the recipe names none.")
    found = distillation_kl(task.model, task.rows, task.recipe.objective, seed=task.seed)
    return Measured({"distillation_kl": found}, "a draw for every row")


def ratio_with_error(sums: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    """{"value": sum(sums) / sum(counts), "two_standard_errors", "samples": sum(counts)}."""
    value = float(sums.sum() / counts.sum())
    residuals = (sums - value * counts) / counts.mean()
    deviation = float(np.std(residuals, ddof=1)) if len(sums) > 1 else 0.0
    return {
        "value": value,
        "two_standard_errors": 2.0 * deviation / math.sqrt(len(sums)),
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
        "value": correct / len(labels),
        "two_standard_errors": (high - low) / 2,
        "interval": [round(low, 4), round(high, 4)],
        "clips": len(labels),
    }


def silence_excess_db(clips: np.ndarray, labels: np.ndarray, rows: Arrays) -> dict[str, Any]:
    """The median floor of the clips minus that of the real rows of the same labels, in dB."""
    real = rows.x if rows.context is None else rows.x[np.isin(rows.context, labels)]
    made, true = frame_floor_db(clips), frame_floor_db(real)
    error = 2.0 * 1.2533 * math.hypot(*(np.std(v) / math.sqrt(len(v)) for v in (made, true)))
    return {
        "value": float(np.median(made) - np.median(true)),
        "two_standard_errors": error,
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
