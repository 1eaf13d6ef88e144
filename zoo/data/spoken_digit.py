"""Free Spoken Digit Dataset, by TFDS `spoken_digit`: 2,500 clips of five speakers, 8 kHz, 16 bit.

TFDS has one split. The authors' own is by file name, `{digit}_{speaker}_{recording}.wav`:
recordings 0 to 4 of each digit and speaker are the test set (250 clips), 5 to 49 for training. Of
those, recordings 5 and 6 are kept for validation (100 clips), and 7 to 49 train (2,150). A split is
written as a range of recordings: "recordings[:5]".

Rows are int16 [CLIP_SAMPLES]: the clip as stored from its first sample on, cut behind
`CLIP_SAMPLES` (768 ms; about one clip in a hundred is longer) or followed by zeros. The authors
trimmed the clips' silence already; no sample value is changed.

The context is one integer, label = 5 * digit + speaker, speakers in alphabetical order.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.data import Rows
from zoo.errors import DataError, InvalidInputError

__all__ = [
    "CLIP_SAMPLES",
    "DIGITS",
    "NAME",
    "SAMPLE_RATE",
    "SPEAKERS",
    "clip_lengths",
    "context_label",
    "fit_clip",
    "read_split",
]

NAME = "spoken_digit"
SAMPLE_RATE = 8000
CLIP_SAMPLES = 6144
DIGITS = 10
SPEAKERS = ("george", "jackson", "nicolas", "theo", "yweweler")

_FILE_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")
_RANGE = re.compile(r"recordings\[(\d*):(\d*)\]")


def context_label(digit: int, speaker: str) -> int:
    """5 * digit + speaker's number. Raises InvalidInputError for an unknown digit or speaker."""
    if isinstance(digit, bool) or digit not in range(DIGITS):
        raise InvalidInputError(f"Expected a digit 0..{DIGITS - 1}; got {digit!r}.")
    if speaker not in SPEAKERS:
        raise InvalidInputError(f"Expected a speaker of {', '.join(SPEAKERS)}; got {speaker!r}.")
    return len(SPEAKERS) * int(digit) + SPEAKERS.index(speaker)


def fit_clip(samples: np.ndarray, size: int = CLIP_SAMPLES) -> np.ndarray:
    """The clip's first `size` samples, zeros behind its end: int16 [size]."""
    row = np.zeros(size, np.int16)
    row[: min(len(samples), size)] = samples[:size]
    return row


def clip_lengths(rows: np.ndarray) -> np.ndarray:
    """Samples of each row up to its last that is not zero, at least 1: int64 [rows]."""
    silent_end = (rows[:, ::-1] != 0).argmax(axis=1)
    return np.where((rows != 0).any(axis=1), rows.shape[1] - silent_end, 1)


def read_split(builder: Any, dataset: Rows, expression: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a range of recordings, of the dataset's `labels` where it names some.

    In stored order.

    returns: x int16 [rows, CLIP_SAMPLES] and labels int32 [rows].
    Raises DataError for an unknown label, an expression that is no range, a file name of another
    form, samples that are not 16-bit, or a split without rows.
    """
    recordings = _recordings(expression)
    unknown = [n for n in dataset.labels if n not in range(DIGITS * len(SPEAKERS))]
    if unknown:
        raise DataError(
            f"{dataset.name} has the labels 0..{DIGITS * len(SPEAKERS) - 1}, 5 * digit + speaker; "
            f"got {unknown}."
        )
    rows, labels = [], []
    for record in builder.as_dataset(split="train").as_numpy_iterator():
        name = Path(record["audio/filename"].decode()).name
        match = _FILE_NAME.fullmatch(name)
        if match is None or match[2] not in SPEAKERS or int(match[1]) != int(record["label"]):
            raise DataError(
                f"Expected files such as 7_jackson_32.wav in {dataset.name}; got {name!r} with "
                f"label {record['label']}."
            )
        if int(match[3]) not in recordings:
            continue
        label = context_label(int(match[1]), match[2])
        if dataset.labels and label not in dataset.labels:
            continue
        audio = record["audio"]
        if audio.ndim != 1 or np.abs(audio).max(initial=0) > 2**15:
            raise DataError(f"Expected mono 16-bit samples in {name}; got shape {audio.shape}.")
        rows.append(fit_clip(audio.astype(np.int16)))
        labels.append(label)
    if not rows:
        kept = f" with one of the labels {list(dataset.labels)}" if dataset.labels else ""
        raise DataError(f"The split {expression!r} of {dataset.name} has no rows{kept}.")
    return np.stack(rows), np.array(labels, np.int32)


def _recordings(expression: str) -> range:
    match = _RANGE.fullmatch(expression)
    if match is None:
        raise DataError(
            f"spoken_digit is split by recordings, such as 'recordings[:5]'; got {expression!r}."
        )
    return range(int(match[1] or 0), int(match[2] or 50))
