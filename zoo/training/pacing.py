"""Training for so many minutes: as many epochs as they hold, so that the schedule ends in time."""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.core.recipe import Recipe, variant
from zoo.core.training import SGD
from zoo.errors import TrainingError
from zoo.training.records import TrainingResult
from zoo.training.train import train

__all__ = ["epochs_within", "train_within"]

_STEPS = 12  # that are timed; the first two compile, and are left out
_SHARE = 0.1  # of the time, at most, to time them
_SCORED = 0.4  # what a row costs to score, of what it costs to learn from


class _EnoughError(Exception):
    """The steps were timed."""


def train_within(
    recipe: Recipe,
    folder: Path,
    rows: Mapping[str, int],
    *,
    minutes: float = math.inf,
    **options: Any,
) -> TrainingResult:
    """`train` for so many minutes: a recipe with more epochs than they hold has fewer.

    A few steps are timed first, in a folder that is thrown away; a recipe in stages ends with the
    time alone.
    rows: of the splits "train" and "validation".   options: of `train`.
    Raises TrainingError where the time ends before any weights are kept.
    """
    seconds, started = 60.0 * minutes, time.monotonic()
    if math.isfinite(seconds) and isinstance(recipe.training, SGD):
        pace = _seconds_a_step(recipe, _SHARE * seconds)
        passed = time.monotonic() - started
        # The step is compiled once more.
        recipe = epochs_within(recipe, seconds - 2.0 * passed, pace, rows)
        seconds -= passed
    result = train(recipe, folder, max_seconds=seconds, **options)
    if result.reason == "time limit" and not result.best_step:
        earliest = getattr(recipe.training, "validate_every", 0) or "an epoch of"
        raise TrainingError(
            f"{minutes:g} minutes hold {result.step:,} steps, and weights are judged and kept "
            f"after {earliest} steps at the earliest. The "
            "state is saved: go on with --resume and more --minutes."
        )
    return result


def epochs_within(
    recipe: Recipe, seconds: float, seconds_a_step: float, rows: Mapping[str, int]
) -> Recipe:
    """The recipe with as many epochs as the time holds, at least one and at most its own.

    Recipes in stages stay as they are.
    """
    training = recipe.training
    if not isinstance(training, SGD):
        return recipe
    steps = max(1, rows["train"] // training.batch_size)
    scored = min(training.validation_rows or rows["validation"], rows["validation"])
    validation = _SCORED * scored / training.batch_size  # in steps
    cost = seconds_a_step * steps * (1.0 + validation / (training.validate_every or steps))
    epochs = int(0.9 * seconds / cost)
    return variant(recipe, max_epochs=max(1, min(training.max_epochs, epochs)))


def _seconds_a_step(recipe: Recipe, most: float) -> float:
    """The mean of a few steps, timed for about so many seconds at most."""
    started, times = time.monotonic(), []

    def note(step: int, total: int, values: dict[str, float]) -> None:
        del step, total, values
        times.append(time.monotonic())
        if len(times) >= _STEPS or (len(times) > 3 and times[-1] - started > most):
            raise _EnoughError

    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(action="ignore"),
        contextlib.suppress(_EnoughError),
    ):
        result = train(recipe, folder, progress=note)
        if result.reason.startswith("signal"):
            raise TrainingError(f"{result.reason} came while the first steps were timed.")
    return (times[-1] - times[1]) / max(len(times) - 2, 1) if len(times) > 2 else 0.1
