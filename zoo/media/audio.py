"""WAV and FLAC files in and out, by the soundfile library: mono, 16-bit, at the model's rate.

Nothing is converted silently: a file of another rate or with several channels is refused, with the
command that makes one that fits.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

__all__ = ["AUDIO_SUFFIXES", "read_audio", "write_audio"]

AUDIO_SUFFIXES = (".wav", ".flac")
CLIPPED_SHARE = 0.01  # of samples at full scale, above which a recording counts as clipped


def read_audio(path: Path, sample_rate: int) -> np.ndarray:
    """The file's samples, int16 [T].

    Raises InvalidInputError for a file that is absent or no audio, of another rate, with several
    channels, without samples, silent throughout, or clipped.
    """
    import numpy as np
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InvalidInputError(f"{path} cannot be read as audio: {error}") from error
    convert = f"`ffmpeg -i {path.name} -ac 1 -ar {sample_rate} -sample_fmt s16 out.wav`"
    if rate != sample_rate:
        raise InvalidInputError(
            f"Expected {sample_rate} samples a second in {path}; it has {rate}. Convert it: "
            f"{convert}."
        )
    if samples.shape[1] != 1:
        raise InvalidInputError(
            f"Expected one channel in {path}; it has {samples.shape[1]}. Convert it: {convert}."
        )
    samples = samples[:, 0]
    if not samples.any():
        raise InvalidInputError(f"{path} is silent: all of its {len(samples)} samples are zero.")
    clipped = float(np.mean(np.abs(samples.astype(np.int32)) >= 2**15 - 1))
    if clipped > CLIPPED_SHARE:
        raise InvalidInputError(
            f"{path} is clipped: {clipped:.0%} of its samples are at full scale. Record it at a "
            "lower level."
        )
    return np.asarray(samples)


def write_audio(path: Path, clips: Sequence[np.ndarray] | np.ndarray, sample_rate: int) -> None:
    """Writes int16 clips, one after the other, as one mono 16-bit file, WAV or FLAC by its suffix.

    Raises InvalidInputError for another suffix, samples that are not int16, and a file that cannot
    be written.
    """
    import numpy as np
    import soundfile

    if path.suffix.lower() not in AUDIO_SUFFIXES:
        raise InvalidInputError(f"Expected a {' or '.join(AUDIO_SUFFIXES)} file; got {path}.")
    samples = np.concatenate([np.asarray(clip) for clip in clips])
    if samples.ndim != 1 or samples.dtype != np.int16:
        raise InvalidInputError(
            f"Expected int16 clips of one channel; got {samples.dtype} {list(samples.shape)}."
        )
    try:
        soundfile.write(path, samples, sample_rate, subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        raise InvalidInputError(f"{path} cannot be written ({error}).") from error
