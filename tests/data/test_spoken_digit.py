"""Spoken digits: labels, clips, splits by recording, batches of like lengths."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from zoo.data import pipeline, sources, spoken_digit
from zoo.data.sources import Arrays
from zoo.errors import DataError, InvalidInputError
from zoo.registry.entry import SPOKEN_DIGIT


class _Builder:
    """Records as TFDS yields them, of three recordings of two speakers."""

    def __init__(self, **changes) -> None:
        self.changes = changes

    def as_dataset(self, split):
        assert split == "train"
        return self

    def as_numpy_iterator(self):
        for digit in (0, 7):
            for speaker in ("george", "theo"):
                for recording in (0, 5, 7):
                    audio = np.full(100 + recording, 10 * digit + recording + 1, np.int64)
                    record = {
                        "audio": audio,
                        "audio/filename": f"{digit}_{speaker}_{recording}.wav".encode(),
                        "label": np.int64(digit),
                    }
                    yield {**record, **self.changes}


def test_labels_name_digit_and_speaker() -> None:
    labels = [
        spoken_digit.context_label(digit, speaker)
        for digit in range(10)
        for speaker in spoken_digit.SPEAKERS
    ]
    assert labels == list(range(50))
    assert spoken_digit.context_label(7, "theo") == 38


@pytest.mark.parametrize(
    ("digit", "speaker"), [(10, "theo"), (-1, "theo"), (True, "theo"), (3, "x")]
)
def test_an_unknown_digit_or_speaker_is_named(digit, speaker) -> None:
    with pytest.raises(InvalidInputError, match="Expected a"):
        spoken_digit.context_label(digit, speaker)


def test_clips_are_cut_or_followed_by_silence() -> None:
    short = spoken_digit.fit_clip(np.array([3, 4], np.int16))
    assert short.shape == (6144,)
    assert short[:3].tolist() == [3, 4, 0]
    assert spoken_digit.fit_clip(np.arange(9), 4).tolist() == [0, 1, 2, 3]


def test_lengths_end_at_the_last_sound() -> None:
    rows = np.array([[0, 5, 0, 0], [1, 0, 0, 2], [0, 0, 0, 0]], np.int16)
    assert spoken_digit.clip_lengths(rows).tolist() == [2, 4, 1]


@pytest.mark.parametrize(
    ("expression", "recordings"),
    [("recordings[:5]", 1), ("recordings[5:7]", 1), ("recordings[5:]", 2)],
)
def test_splits_are_ranges_of_recordings(expression, recordings) -> None:
    x, labels = spoken_digit.read_split(_Builder(), SPOKEN_DIGIT, expression)
    assert x.shape == (4 * recordings, 6144)
    assert x.dtype == np.int16
    assert sorted(set(labels.tolist())) == [0, 3, 35, 38]
    assert labels.dtype == np.int32


def test_labels_keep_digits_of_speakers() -> None:
    theo = dataclasses.replace(SPOKEN_DIGIT, labels=[3, 38])
    x, labels = spoken_digit.read_split(_Builder(), theo, "recordings[5:]")
    assert labels.tolist() == [3, 3, 38, 38]
    assert x[:, 0].tolist() == [6, 8, 76, 78]
    nobody = dataclasses.replace(SPOKEN_DIGIT, labels=(1,))
    with pytest.raises(DataError, match=r"no rows with one of the labels \[1\]"):
        spoken_digit.read_split(_Builder(), nobody, "recordings[5:]")
    unknown = dataclasses.replace(SPOKEN_DIGIT, labels=(3, 50))
    with pytest.raises(DataError, match=r"labels 0\.\.49, 5 \* digit \+ speaker; got \[50\]"):
        spoken_digit.read_split(_Builder(), unknown, "recordings[5:]")


@pytest.mark.parametrize(
    ("changes", "expression", "message"),
    [
        ({}, "train[:5]", "split by recordings"),
        ({}, "recordings[20:30]", "no rows"),
        ({"audio/filename": b"seven.wav"}, "recordings[:5]", "7_jackson_32"),
        ({"label": np.int64(3)}, "recordings[:5]", "label 3"),
        ({"audio": np.zeros((10, 2), np.int64)}, "recordings[:5]", "mono"),
        ({"audio": np.full(10, 40000)}, "recordings[:5]", "16-bit"),
    ],
)
def test_another_dataset_is_named(changes, expression, message) -> None:
    with pytest.raises(DataError, match=message):
        spoken_digit.read_split(_Builder(**changes), SPOKEN_DIGIT, expression)


def test_damaged_files_are_a_data_error(monkeypatch) -> None:
    class Damaged:
        def as_dataset(self, **_):
            return self

        def as_numpy_iterator(self):
            raise tf.errors.DataLossError(None, None, "corrupted record at 7")
            yield

    monkeypatch.setattr(sources, "open_builder", lambda *_, **__: Damaged())
    with pytest.raises(DataError, match=r"spoken_digit.* cannot be read: corrupted record"):
        sources.load_arrays(SPOKEN_DIGIT, "test")


def test_the_authors_split(require_dataset) -> None:
    require_dataset(SPOKEN_DIGIT)
    test = sources.load_arrays(SPOKEN_DIGIT, "test")
    validation = sources.load_arrays(SPOKEN_DIGIT, "validation")
    assert np.bincount(test.context).tolist() == [5] * 50
    assert np.bincount(validation.context).tolist() == [2] * 50
    seen = {row.tobytes() for row in test.x}
    assert not seen & {row.tobytes() for row in validation.x}


def test_batches_of_like_lengths_are_an_epoch_in_another_order() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 64, 150)
    rows = np.zeros((150, 64), np.int16)
    for number, length in enumerate(lengths):
        rows[number, :length] = number + 1
    arrays = Arrays(rows, np.arange(150, dtype=np.int32))
    options = {"batch_size": 4, "seed": 1, "epoch": 2, "bucket_size": 16}
    batches = list(pipeline.batches_in_memory(arrays, **options))
    drawn = np.concatenate([context for _, context in batches])
    order = pipeline.epoch_order(150, seed=1, epoch=2)
    assert sorted(drawn) == sorted(order[:148])
    for x, context in batches:
        assert x.shape[1] % 16 == 0
        assert x.shape[1] - lengths[context].max() < 16
        np.testing.assert_array_equal(x, rows[context, : x.shape[1]])
    spread = np.mean([np.ptp(lengths[context]) for _, context in batches])
    assert spread < 0.3 * np.mean([np.ptp(lengths[order[i : i + 4]]) for i in range(0, 148, 4)])
    later = list(pipeline.batches_in_memory(arrays, **options, skip_batches=30))
    np.testing.assert_array_equal(later[0][1], batches[30][1])
    other = pipeline.batches_in_memory(arrays, **{**options, "epoch": 3})
    assert (next(other)[1] != batches[0][1]).any()
