"""A folder of WAV and FLAC files as clips of one rate and length: int16 [clips, samples].

Channels are averaged, other rates resampled by soxr; levels stay as they are. A file longer than a
clip is parted into clips one behind the other, the last of which counts where it is at least half
as long as the others; zeros follow shorter ones. The clips of a file lie in one split. Without a
rate given, it is `RATE`, or the files' largest where that is below; without a length, it is the
longest file's, at most `SECONDS`.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np

from zoo import extras
from zoo.data.folders import Files, read_files, several
from zoo.data.own_rows import Prepared
from zoo.errors import InvalidInputError
from zoo.media.audio import sound_blocks

__all__ = ["RATE", "SECONDS", "prepare"]

RATE, SECONDS = 8000, 1.0
_STEP = 128  # samples that a clip is a multiple of


def prepare(
    files: Files, *, rate: int = 0, seconds: float = 0.0, skip_broken: bool = False
) -> Prepared:
    """The clips as rows.

    rate: samples per second; 0 for the rule of the module's docstring.   seconds: of a clip; 0 for
        the rule.
    Raises InvalidInputError for files that cannot be used, and for clips of less than `_STEP`
    samples.
    """
    soundfile = extras.soundfile()

    def stored(path: Path) -> tuple[int, float]:
        """(rate, seconds) by the header."""
        try:
            found = soundfile.info(str(path))
        except soundfile.LibsndfileError as error:
            raise InvalidInputError(f"{path} cannot be read as audio: {error}") from error
        return int(found.samplerate), found.frames / found.samplerate

    facts, paths, broken = read_files(files, stored, skip_broken=skip_broken)
    if not paths:
        raise InvalidInputError(f"None of the clips can be read: {several(broken)}.")
    rate = rate or min(RATE, max(stored_rate for stored_rate, _ in facts))
    longest = max(length for _, length in facts)
    size = math.ceil((seconds or min(longest, SECONDS)) * rate / _STEP) * _STEP
    readable = Files(folder=files.folder, kind=files.kind, paths=tuple(paths))
    parted, paths, damaged = read_files(
        readable, lambda path: _parts(_resampled(path, rate), size), skip_broken=skip_broken
    )
    if not paths:
        raise InvalidInputError(f"None of the clips can be used: {several(damaged)}.")
    whose = [path for clips, path in zip(parted, paths, strict=True) for _ in clips]
    groups = [clips.tobytes() for clips in parted for _ in clips]
    return Prepared(
        x=np.concatenate(parted),
        labels=files.labels(whose),
        groups=tuple(groups),
        account=_account(facts, len(whose), size, rate),
        broken=(*broken, *damaged),
        rate=rate,
    )


def _resampled(path: Path, rate: int) -> np.ndarray:
    """The file's samples, int16 [T], at the rate; it is read in blocks."""
    found, resampler = [], None
    for block, stored in sound_blocks(path):
        mono = np.ascontiguousarray(block.mean(axis=1, dtype=np.float32))
        if stored != rate:
            if resampler is None:
                resampler = extras.soxr().ResampleStream(stored, rate, 1, dtype="float32")
            mono = resampler.resample_chunk(mono)
        found.append(_rounded(mono))
    if resampler is not None:
        found.append(_rounded(resampler.resample_chunk(np.zeros(0, np.float32), last=True)))
    samples = np.concatenate(found) if found else np.zeros(0, np.int16)
    if not samples.any():
        raise InvalidInputError(f"{path} is silent throughout")
    return samples


def _rounded(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(samples * 2.0**15), -(2**15), 2**15 - 1).astype(np.int16)


def _parts(samples: np.ndarray, size: int) -> np.ndarray:
    """Clips [n, size] of a file's samples; those that are silent throughout are none."""
    whole, rest = divmod(len(samples), size)
    count = max(whole + (rest >= size / 2), 1)
    padded = np.zeros(count * size, np.int16)
    padded[: min(len(samples), len(padded))] = samples[: len(padded)]
    clips = padded.reshape(count, size)
    return clips[clips.any(axis=1)]


def _account(facts: list[tuple[int, float]], clips: int, size: int, rate: int) -> str:
    rates = Counter(stored for stored, _ in facts)
    lengths = [length for _, length in facts]
    stored = ", ".join(f"{count:,} at {found:,} Hz" for found, count in sorted(rates.items()))
    resampled = sum(count for found, count in rates.items() if found != rate)
    how = f"{resampled:,} resampled to {rate:,} Hz by soxr" if resampled else "none resampled"
    return (
        f"{len(facts):,} files ({stored}) of {min(lengths):.2f} to {max(lengths):.2f} s, {how}, "
        f"channels averaged, as {clips:,} clips of {size / rate:.3g} s: longer files are parted, "
        "zeros follow shorter ones."
    )
