"""What a model in training draws, for TensorBoard: pictures of images, sound of clips."""

from __future__ import annotations

import contextlib
import importlib.util
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.media import pictures

__all__ = ["Showcase", "has_tensorboard"]

IMAGES, CLIPS = 16, 4
FIRST_SECONDS = 60.0  # short runs draw nothing
SHARE = 0.02  # of the time, at most


def has_tensorboard() -> bool:
    """Whether TensorBoard is there, which `tf.summary` writes with; warns where it is not."""
    with contextlib.suppress(ModuleNotFoundError):  # where a finder forbids it
        if importlib.util.find_spec("tensorboard") is not None:
            return True
    warnings.warn(
        "TensorBoard is not installed, so that the run writes no logs for it: pip install "
        "'density-zoo[tensorboard]'. history.csv holds the same losses.",
        stacklevel=2,
    )
    return False


class Showcase:
    """Writes samples to the summary writer in force, now and then.

    The first ones a minute after the start; later ones so that drawing takes no more than a
    fiftieth of the time. Draws by one seed, so that pictures of two moments compare, and touches
    nothing of the training's. Rows of features, images whose sampling takes a network pass a
    dimension, and what needs another condition than a label are not drawn.
    """

    def __init__(self, model: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self.model, self.clock = model, clock
        self.due = clock() + FIRST_SECONDS
        data, context = model.data, model.context
        # A condition may be a spectrogram, or numbers: no label to count through.
        countable = context is None or context.num_labels > 0
        self.audio = data.medium == "audio" and countable
        images = data.medium == "image" and data.levels > 0 and data.shape[-1] in (1, 3)
        images = images and countable
        self.drawn = self.audio or (images and model.slow_direction != "sampling")

    def show(self, step: int) -> bool:
        """Writes samples if they are due; whether it did."""
        began = self.clock()
        if not self.drawn or began < self.due:
            return False
        count, classes = CLIPS if self.audio else IMAGES, self.model.context
        context = None
        if classes is not None:
            context = pictures.labels_in_turn(count, classes.num_labels)
        x = np.asarray(self.model.sample(count, seed=0, context=context))
        if self.audio:
            sound = x[..., np.newaxis].astype(np.float32) / 2.0**15
            tf.summary.audio("samples", sound, self.model.data.rate, step=step, max_outputs=count)
        else:
            grey = pictures.as_grey(x, self.model.data.levels)
            tf.summary.image("samples", pictures.grid(grey)[np.newaxis], step=step)
        ended = self.clock()
        self.due = ended + max(FIRST_SECONDS, (ended - began) / SHARE)
        return True
