"""Samples in TensorBoard: what is written, when, and of which models."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from PIL import Image

from zoo.core.config import ModelConfig, Preprocessing
from zoo.core.space import Space
from zoo.training.showcase import FIRST_SECONDS, Showcase

LEVELS = {"num_levels": 256, "transform": "unit"}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def model(shape: tuple[int, ...], dtype: str, clock: Clock, **more: Any) -> Any:
    """A model whose draws take three seconds and are all of one value."""

    def sample(count: int, seed: int, context: Any) -> np.ndarray:
        clock.now += 3.0
        assert (context is None) == (more.get("context_size", 0) == 0)
        return np.full((count, *shape), 100, dtype)

    config = ModelConfig(
        event_shape=shape,
        preprocessing=Preprocessing(**LEVELS if dtype == "uint8" else {}),
        context_size=more.get("context_size", 0),
    )
    data, context = config.data_space(), config.context_space()
    if dtype == "int16":
        data = Space(shape=shape, dtype=dtype, meaning="", medium="audio", rate=8000)
    if "mel_bins" in more:
        context = Space(shape=(3, more["mel_bins"]), dtype="float32", meaning="")
    slow = more.get("slow_direction", "none")
    return SimpleNamespace(data=data, context=context, slow_direction=slow, sample=sample)


def written(folder: Path) -> list[tuple[int, bytes]]:
    found = []
    for path in folder.iterdir():
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.tag == "samples"
                found += [(event.step, item) for item in tf.make_ndarray(value.tensor).reshape(-1)]
    return found


def test_pictures_come_after_a_minute_and_take_a_fiftieth_of_the_time(tmp_path: Path) -> None:
    clock = Clock()
    showcase = Showcase(model((4, 5, 1), "uint8", clock, context_size=3), clock)
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        assert not showcase.show(1)
        clock.now += FIRST_SECONDS
        assert showcase.show(2)
        clock.now += 149.0  # 3 s of 150
        assert not showcase.show(3)
        clock.now += 1.0
        assert showcase.show(4)
    found = written(tmp_path)
    sizes, pictures = found[:2], [item for step, item in found if item[:4] == b"\x89PNG"]
    assert sizes[0][0] == 2
    assert len(pictures) == 2
    image = Image.open(io.BytesIO(pictures[0]))
    assert image.size == (2 + 4 * (5 + 2), 2 + 4 * (4 + 2))  # 16 images with gaps
    assert image.getpixel((3, 3)) == 100


def test_clips_are_heard(tmp_path: Path) -> None:
    clock = Clock()
    showcase = Showcase(model((400,), "int16", clock), clock)
    clock.now += FIRST_SECONDS
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        assert showcase.show(7)
    sounds = [item for _, item in written(tmp_path) if item[:4] == b"RIFF"]
    assert len(sounds) == 4
    samples, rate = soundfile.read(io.BytesIO(sounds[0]), dtype="int16")
    assert (rate, samples.shape) == (8000, (400,))
    assert abs(int(samples[0]) - 100) <= 1


@pytest.mark.parametrize(
    ("shape", "dtype", "more"),
    [
        ((5,), "float32", {}),
        ((4, 4, 1), "uint8", {"slow_direction": "sampling"}),
        ((4, 4, 2), "uint8", {}),
        ((400,), "int16", {"mel_bins": 4}),  # needs a spectrogram
    ],
)
def test_what_has_no_picture_is_not_drawn(shape: Any, dtype: str, more: dict[str, Any]) -> None:
    clock = Clock()
    showcase = Showcase(model(shape, dtype, clock, **more), clock)
    clock.now += 1000.0
    assert not showcase.show(1)
