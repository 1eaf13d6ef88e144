"""WAV and FLAC files in and out, by the soundfile library: mono, 16-bit, at the model's rate.

A file of another rate or with several channels is refused, with the command that makes one that
fits. Samples keep the file's full scale: of 24 and 32 bits, and of floats in [-1, 1], they are
rounded to 16 bits; of 8 bits, mu-law and the like they are what these stand for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo import extras
from zoo.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

__all__ = ["AUDIO_SUFFIXES", "read_audio", "sound_blocks", "write_audio"]

AUDIO_SUFFIXES = (".wav", ".flac")
_BLOCK = 2**20  # samples read at a time
CLIPPED_SHARE = 0.01  # of samples at full scale, above which a recording counts as clipped


def read_audio(path: Path, sample_rate: int) -> np.ndarray:
    """The file's samples, int16 [T]: round(32768 x), where the file's full scale is x = 1.

    Raises InvalidInputError for a file that is absent, no audio or cut short, of another rate, with
    several channels, without samples, silent throughout, or clipped, and for floats that are not
    finite or beyond [-1, 1].
    """
    import numpy as np

    soundfile = extras.soundfile()
    try:
        samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InvalidInputError(f"{path} cannot be read as audio: {error}") from error
    _refuse_truncated(path)
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
    samples = _rounded(samples[:, 0], path)
    if not samples.any():
        raise InvalidInputError(f"{path} is silent: all of its {len(samples)} samples are zero.")
    clipped = float(np.mean(np.abs(samples.astype(np.int32)) >= 2**15 - 1))
    if clipped > CLIPPED_SHARE:
        raise InvalidInputError(
            f"{path} is clipped: {clipped:.0%} of its samples are at full scale. Record it at a "
            "lower level."
        )
    return samples


def sound_blocks(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """The file's samples, floats of full scale 1, [n, channels], block after block, and its rate.

    Raises InvalidInputError for a file that is absent, no audio or cut short, and for floats that
    are not finite.
    """
    import numpy as np

    soundfile = extras.soundfile()
    try:
        with soundfile.SoundFile(path) as stored:
            _refuse_truncated(path)
            for block in stored.blocks(_BLOCK, dtype="float32", always_2d=True):
                if not np.isfinite(block).all():
                    raise InvalidInputError(f"{path} holds NaN or infinity.")
                yield block, int(stored.samplerate)
    except soundfile.LibsndfileError as error:
        raise InvalidInputError(f"{path} cannot be read as audio: {error}") from error


def _refuse_truncated(path: Path) -> None:
    """Raises InvalidInputError for a WAV whose samples are fewer than its header says.

    A header written before the samples, to a pipe, says nothing: its size is about 2^31 or 2^32.
    """
    with path.open("rb") as stream:
        end = stream.seek(0, 2)
        stream.seek(0)
        start = stream.read(12)
        if (start[:4], start[8:]) != (b"RIFF", b"WAVE"):
            return
        while len(header := stream.read(8)) == 8:
            size = int.from_bytes(header[4:], "little")
            if header[:4] == b"data":
                absent = size - (end - stream.tell())
                if absent > 0 and size < 2**31 - 2**16:
                    raise InvalidInputError(
                        f"{path} is cut short: {absent:,} of its {size:,} bytes of sound are "
                        "absent."
                    )
                return
            stream.seek(size + size % 2, 1)


def _rounded(samples: np.ndarray, path: Path) -> np.ndarray:
    """Samples of full scale 1 as int16."""
    import numpy as np

    if not np.isfinite(samples).all():
        first = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise InvalidInputError(f"{path} holds NaN or infinity, in sample {first:,} the first.")
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > 1.0:  # floats alone
        raise InvalidInputError(
            f"{path} holds floats up to {peak:g}; full scale is 1. If they are to be as loud as "
            f"they can: `sox {path.name} -b 16 -e signed-integer out.wav gain -n -1`."
        )
    return np.asarray(np.clip(np.rint(samples * 2.0**15), -(2**15), 2**15 - 1), np.int16)


def write_audio(path: Path, clips: Sequence[np.ndarray] | np.ndarray, sample_rate: int) -> None:
    """Writes int16 clips, one after the other, as one mono 16-bit file, WAV or FLAC by its suffix.

    Raises InvalidInputError for another suffix, samples that are not int16, and a file that cannot
    be written.
    """
    import numpy as np

    soundfile = extras.soundfile()
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
