"""Samples for a card: pictures, sound, or a table of numbers, by the medium.

    image    samples.png, a grid; of a class-conditional model the labels in turn
    audio    samples.wav, one clip of each first factor of the label (digit), the second (speaker)
             in turn; samples.png shows their spectrograms below those of real test clips, time to
             the right, up to half the rate upwards, 50 dB from white to black; for a student its
             teacher's in between
    others   samples.csv; of a table of the publisher's own pairs.png and calibration.png as well,
             of its test rows, where Matplotlib is installed

All are drawn with seed 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zoo import loading
from zoo.core.encoding import write_rows
from zoo.core.recipe import Distillation, Recipe
from zoo.data import sources
from zoo.errors import MissingExtraError
from zoo.evaluation import figures
from zoo.evaluation.golden import example_context
from zoo.media import pictures
from zoo.media.audio import write_audio
from zoo.ops.mel import power_spectrogram
from zoo.publishing.checkpoint import CALIBRATION_FILE, PAIRS_FILE
from zoo.registry.datasets import column_names

__all__ = ["spectrograms", "write_samples"]

NUMBER = 64
SLOW_NUMBER = 16  # of pictures, each of which takes a network pass a pixel
CLIPS = 10
MOST_ROWS = 2000  # of a table, on a picture
DECIBELS = 50.0
SEED = 0


def write_samples(folder: Path, model: Any, recipe: Recipe) -> None:
    """Writes the samples of a model into its folder.

    Raises DataError where clips need their dataset beside them and it is absent.
    """
    medium = model.data.medium
    if medium == "image" and not model.data.levels:
        medium = "features"  # real pixels, which no picture holds
    _WRITERS.get(medium, _write_table)(folder, model, recipe)


def _draw(model: Any, number: int) -> np.ndarray:
    return np.asarray(model.sample(number, seed=SEED, context=example_context(model, number)))


def _write_picture(folder: Path, model: Any, recipe: Recipe) -> None:
    del recipe
    rows = _draw(model, SLOW_NUMBER if model.slow_direction == "sampling" else NUMBER)
    grey = pictures.as_grey(rows, model.data.levels)
    pictures.save_png(folder / "samples.png", pictures.grid(grey))


def _write_table(folder: Path, model: Any, recipe: Recipe) -> None:
    names = column_names(recipe.dataset.name, model.data.size)
    write_rows(folder / "samples.csv", _draw(model, NUMBER), model.data, names)
    if model.data.columns and sources.available(recipe.dataset):
        _draw_figures(folder, model, recipe)


def _draw_figures(folder: Path, model: Any, recipe: Recipe) -> None:
    """Pairs of columns, and calibration; a warning without Matplotlib."""
    test = sources.load_arrays(recipe.dataset, "test").take(MOST_ROWS)
    try:
        figures.pairs(model, test.x, test.context, folder / PAIRS_FILE)
        figures.calibration(model, test.x, test.context, folder / CALIBRATION_FILE)
    except MissingExtraError as error:
        warnings.warn(f"The card gets no pictures. {error}", stacklevel=2)


def _write_sound(folder: Path, model: Any, recipe: Recipe) -> None:
    test = sources.load_arrays(recipe.dataset, "test")
    shown = _shown_rows(test.rows, test.context, getattr(model.config, "context_factors", ()))
    context = None if test.context is None else test.context[shown]
    teacher = recipe.objective.teacher if isinstance(recipe.objective, Distillation) else ""
    models = [loading.load(teacher), model] if teacher else [model]
    drawn = [np.asarray(m.sample(len(shown), seed=SEED, context=context)) for m in models]
    write_audio(folder / "samples.wav", drawn[-1], model.data.rate)
    rows = np.concatenate([spectrograms(clips) for clips in (test.x[shown], *drawn)])
    pictures.save_png(folder / "samples.png", pictures.grid(rows, columns=len(shown)))


def _shown_rows(rows: int, context: np.ndarray | None, factors: tuple[int, ...]) -> np.ndarray:
    """Of labels of two factors one row of each first, the seconds in turn; else the first rows."""
    if context is None or len(factors) != 2:
        return np.arange(min(CLIPS, rows))
    first, second = factors
    voices = np.unique(context % second)
    labels = [second * i + voices[i % len(voices)] for i in range(first)]
    return np.array([np.flatnonzero(context == label)[0] for label in labels])


def spectrograms(clips: np.ndarray) -> np.ndarray:
    """int16 clips [rows, T] -> grey pictures uint8 [rows, 128, frames, 1], loud is dark."""
    power: Any = power_spectrogram(clips, size=256, hop=64)[..., 1:]
    level = 10.0 * np.log10(np.maximum(power, 1e-12))
    loudest = level.max(axis=(1, 2), keepdims=True)
    shade = np.clip((loudest - level) / DECIBELS, 0.0, 1.0)
    return np.round(255.0 * shade).astype(np.uint8).transpose(0, 2, 1)[:, ::-1, :, None]


_WRITERS: dict[str, Callable[[Path, Any, Recipe], None]] = {
    "image": _write_picture,
    "audio": _write_sound,
}
