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


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", "PCM_16", "PCM_24", "PCM_32"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "AIFF"])
def test_a_clip_is_the_same_however_it_is_stored(subtype, container, tmp_path) -> None:
    _write(tmp_path / "clip.wav", TONE / 2.0**15, subtype=subtype, format=container)
    np.testing.assert_array_equal(read_audio(tmp_path / "clip.wav", 8000), TONE)


@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
def test_the_order_of_bytes_changes_nothing(endian, tmp_path) -> None:
    _write(tmp_path / "clip.wav", TONE, subtype="PCM_16", format="WAV", endian=endian)
    np.testing.assert_array_equal(read_audio(tmp_path / "clip.wav", 8000), TONE)


def test_8_bits_and_companded_samples_are_at_full_scale(tmp_path) -> None:
    for subtype, step in (("PCM_U8", 256), ("ULAW", 512), ("ALAW", 512)):
        _write(tmp_path / "clip.wav", TONE, subtype=subtype)
        found = read_audio(tmp_path / "clip.wav", 8000).astype(int)
        assert np.abs(found - TONE).max() <= step, subtype


def test_more_bits_and_floats_are_rounded(tmp_path) -> None:
    fine = TONE * 256 + np.arange(800) % 256 - 128  # 24 bits
    expected = np.floor(fine / 256 + 0.5)
    for subtype, samples in (("PCM_24", fine.astype(np.int32) << 8), ("DOUBLE", fine / 2.0**23)):
        _write(tmp_path / "clip.wav", samples, subtype=subtype)
        found = read_audio(tmp_path / "clip.wav", 8000)
        assert np.abs(found - fine / 256).max() <= 0.5
        assert (found == expected).mean() > 0.99  # ties go to the even neighbour


def test_full_scale_is_the_largest_sample(tmp_path) -> None:
    samples = TONE / 2.0**15
    samples[:2] = (1.0, -1.0)
    _write(tmp_path / "clip.wav", samples, subtype="DOUBLE")
    np.testing.assert_array_equal(read_audio(tmp_path / "clip.wav", 8000)[:2], [32767, -32768])


@pytest.mark.parametrize(
    ("sample", "message"),
    [(8000.0, "floats up to 8000; full scale is 1.*sox"), (np.nan, "NaN or infinity, in sample 3")],
)
def test_floats_beyond_full_scale_are_refused(sample, message, tmp_path) -> None:
    samples = TONE / 2.0**15
    samples[3] = sample
    _write(tmp_path / "clip.wav", samples, subtype="DOUBLE")
    with pytest.raises(InvalidInputError, match=message):
        read_audio(tmp_path / "clip.wav", 8000)


def test_files_that_are_cut_short_are_refused(tmp_path) -> None:
    path = tmp_path / "clip.wav"
    _write(path, TONE)
    whole = path.read_bytes()
    path.write_bytes(whole[:-600])
    with pytest.raises(InvalidInputError, match="cut short: 600 of its 1,600 bytes"):
        read_audio(path, 8000)
    # As ffmpeg writes it to a pipe: the size is not known when the header is written.
    place = whole.index(b"data") + 4
    path.write_bytes(whole[:place] + b"\xff" * 4 + whole[place + 4 :])
    np.testing.assert_array_equal(read_audio(path, 8000), TONE)
    _write(tmp_path / "clip.flac", TONE)
    flac = (tmp_path / "clip.flac").read_bytes()
    (tmp_path / "clip.flac").write_bytes(flac[: len(flac) // 2])
    with pytest.raises(InvalidInputError, match=r"cut short|cannot be read as audio"):
        read_audio(tmp_path / "clip.flac", 8000)
