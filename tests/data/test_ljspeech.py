"""LJ Speech: windows of clips with their mel frames, and what a WaveNet makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from zoo import models, registry
from zoo.data import ljspeech
from zoo.errors import DataError


class _Builder:
    def __init__(self, *clips) -> None:
        self.clips = clips

    def as_dataset(self, split):
        assert split == "train[:500]"
        return self

    def as_numpy_iterator(self):
        return ({"speech": clip, "id": b"LJ001-0001"} for clip in self.clips)


def _tone(samples: int, hertz: float) -> np.ndarray:
    time = np.arange(samples) / ljspeech.SAMPLE_RATE
    return (9000 * np.sin(2 * np.pi * hertz * time)).astype(np.int16)


def test_clips_become_windows_and_mel_frames() -> None:
    clips = [_tone(10_000, 500.0), _tone(7_680, 2000.0)]
    x, context = ljspeech.read_split(_Builder(*clips), "train[:500]")
    assert x.shape == (3, ljspeech.WINDOW_SAMPLES)
    assert x.dtype == np.int16
    assert context.shape == (3, ljspeech.FRAMES, ljspeech.MEL_BINS)
    np.testing.assert_array_equal(np.concatenate(x[:2])[:10_000], clips[0])
    assert (x[1, 10_000 - 7_680 :] == 0).all()
    loudest = context.argmax(-1)
    assert len(set(loudest[0, 1:-1])) == 1
    assert loudest[0, 5] < loudest[2, 5]
    assert (context[1, 15:] == 0.0).all()  # silence


def test_frames_are_of_their_own_samples() -> None:
    """A click shows in the frames around it alone."""
    clip = np.zeros(2 * ljspeech.WINDOW_SAMPLES, np.int16)
    clip[10 * ljspeech.HOP + 128] = 30_000
    context = np.concatenate([mel for _, mel in ljspeech.windows(clip)])
    assert np.flatnonzero(context.max(-1) > 0).tolist() in ([9, 10, 11], [8, 9, 10, 11, 12])
    assert context.max(-1).argmax() == 10


@pytest.mark.parametrize("clip", [np.zeros((9, 2), np.int16), np.full(9, 40_000)])
def test_other_audio_is_named(clip) -> None:
    with pytest.raises(DataError, match="mono 16-bit"):
        ljspeech.read_split(_Builder(clip), "train[:500]")


def test_no_clips_are_named() -> None:
    with pytest.raises(DataError, match="no rows"):
        ljspeech.read_split(_Builder(), "train[:500]")


def test_the_recipes_model_takes_the_windows() -> None:
    config = {**registry.get("wavenet_ljspeech").recipe.config}
    config |= {"residual_channels": 2, "skip_channels": 2, "layers_per_stack": 2, "num_mixtures": 1}
    model = models.build("wavenet", config)
    x, context = ljspeech.read_split(_Builder(_tone(7_680, 500.0)), "train[:500]")
    assert np.isfinite(model.log_prob(x, context)).all()
