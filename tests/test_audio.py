"""Audio files: what is read and written, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from zoo.errors import InvalidInputError
from zoo.media.audio import read_audio, write_audio

TONE = (8000 * np.sin(np.arange(800) / 5.0)).astype(np.int16)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_what_was_written_is_read(suffix, tmp_path) -> None:
    path = tmp_path / f"clip{suffix}"
    write_audio(path, [TONE, TONE[:100]], 8000)
    np.testing.assert_array_equal(read_audio(path, 8000), np.concatenate([TONE, TONE[:100]]))
    assert soundfile.info(path).subtype == "PCM_16"


def _write(path, samples, rate=8000, **options) -> None:
    soundfile.write(path, samples, rate, **options)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (TONE, 16000, "Expected 8000 samples a second .* it has 16000.*ffmpeg"),
        (np.stack([TONE, TONE], 1), 8000, "one channel .* it has 2.*ffmpeg"),
        (np.zeros(500, np.int16), 8000, "silent"),
        (np.clip(10.0 * TONE, -32768, 32767).astype(np.int16), 8000, "clipped"),
    ],
)
def test_unfit_recordings_are_named(samples, rate, message, tmp_path) -> None:
    _write(tmp_path / "clip.wav", samples, rate)
    with pytest.raises(InvalidInputError, match=message):
        read_audio(tmp_path / "clip.wav", 8000)


def test_files_that_are_no_audio_are_named(tmp_path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    for path in (tmp_path / "text.wav", tmp_path / "absent.wav"):
        with pytest.raises(InvalidInputError, match="cannot be read as audio"):
            read_audio(path, 8000)
    with pytest.raises(InvalidInputError, match=r"\.wav or \.flac"):
        write_audio(tmp_path / "clip.mp3", [TONE], 8000)
    with pytest.raises(InvalidInputError, match="int16"):
        write_audio(tmp_path / "clip.wav", [TONE / 2.0], 8000)
    with pytest.raises(InvalidInputError, match=r"absent/clip\.wav cannot be written"):
        write_audio(tmp_path / "absent" / "clip.wav", [TONE], 8000)


def test_24_bit_files_keep_their_upper_bits(tmp_path) -> None:
    _write(tmp_path / "clip.wav", TONE.astype(np.int32) << 16, subtype="PCM_24")
    np.testing.assert_array_equal(read_audio(tmp_path / "clip.wav", 8000), TONE)
