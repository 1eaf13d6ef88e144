"""Training a recipe, or a chain of them, in a folder."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock

from zoo.core.recipe import Recipe, stages
from zoo.errors import TrainingError
from zoo.ops.precision import float32_products
from zoo.training.records import ENDED, TrainingResult, ended_by
from zoo.training.run import Run
from zoo.training.state import STATE_FILE

__all__ = ["stage_folder", "train"]

Progress = Callable[[int, int, dict[str, float]], None]


def train(
    recipe: Recipe,
    out_dir: str | os.PathLike[str],
    *,
    name: str = "",
    resume: bool = False,
    max_seconds: float = math.inf,
    initial_weights: str | os.PathLike[str] = "",
    progress: Progress | None = None,
    strategy: Any = None,
) -> TrainingResult:
    """Trains the recipe; the best weights so far are in `out_dir` at every moment.

    Writes out_dir/config.json, recipe.json and model.weights.h5 (the averaged weights of the best
    validation), history.csv, run.json, TensorBoard logs under logs/, and state.npz, the full state,
    every few minutes and at the end; the state before it is kept, and taken (with a warning) where
    the last one cannot be read. SIGTERM and SIGINT save the state and end the run.

    The runs that the recipe comes after are trained first, first to last, each in a folder of its
    own, out_dir/stages/1, 2, …; one that has finished is not trained again. The result is that of
    the stage in which the call ended.

    resume: goes on from state.npz, whose recipe must be the same but for max_epochs and patience;
        of a chain, in the stage where it stopped.
    max_seconds: of this call; the state is saved when they are over.
    initial_weights: a `.weights.h5` to start from, instead of a data-dependent initialisation or
        the runs before.
    progress: called after every step with (step, total steps, {"nats", ...}).
    strategy: of `zoo.training.devices.create`; None for one device. A state that was saved under
        one strategy resumes under any other. Of several workers the chief alone writes; all read
        `out_dir`, which they share.

    Raises DataError (no data), TrainingError (a folder in use, or with a state and no `resume`; a
    worker that is lost), MissingCheckpointError (`resume` without a state), NonFiniteLossError,
    ConfigError (a batch that the replicas do not divide).
    """
    folder, started = Path(out_dir), time.monotonic()
    name = name or folder.name
    *before, last = [recipe] if initial_weights else stages(recipe)
    previous: Path | None = None
    for number, stage in enumerate(before, 1):
        part = stage_folder(folder, number)
        if ended_by(part) not in ENDED:
            result = _train(
                stage,
                part,
                f"{name}, stage {number} of {len(before) + 1}",
                resume=resume and (part / STATE_FILE).exists(),
                before=previous,
                max_seconds=max_seconds - (time.monotonic() - started),
                progress=progress,
                strategy=strategy,
            )
            if result.reason not in ENDED:
                return result
        previous = part
    return _train(
        last,
        folder,
        name,
        resume=resume and (previous is None or (folder / STATE_FILE).exists()),
        initial_weights=initial_weights,
        before=previous,
        max_seconds=max_seconds - (time.monotonic() - started),
        progress=progress,
        strategy=strategy,
    )


def stage_folder(folder: Path, number: int) -> Path:
    """Where the run of a chain's stage lies, of the run in `folder`; the first is number 1."""
    return folder / "stages" / str(number)


def _train(
    recipe: Recipe,
    folder: Path,
    name: str,
    *,
    max_seconds: float,
    progress: Progress | None,
    strategy: Any,
    **options: Any,
) -> TrainingResult:
    """One run. options: of `Run`."""
    folder.mkdir(parents=True, exist_ok=True)
    writes = strategy is None or strategy.extended.should_checkpoint  # else the chief does
    try:
        with filelock.FileLock(folder / ".lock", timeout=0) if writes else contextlib.nullcontext():
            for unfinished in (
                folder.glob(".*.tmp") if writes else ()
            ):  # of writers that were killed
                unfinished.unlink(missing_ok=True)
            with float32_products(exact=recipe.training.conditioner_dtype != "tensorfloat32"):
                if strategy is None:
                    return Run(recipe, folder, name, **options).loop(max_seconds, progress)
                from zoo.training.replicas import ReplicatedRun

                return ReplicatedRun(strategy, recipe, folder, name, **options).loop(
                    max_seconds, progress
                )
    except filelock.Timeout as error:
        raise TrainingError(
            f"Another training is writing to {folder}; give it another --out."
        ) from error
