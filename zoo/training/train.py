"""Training a recipe, or a chain of them, in a folder."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.core.recipe import Recipe, stages
from zoo.errors import MissingCheckpointError, TrainingError
from zoo.ops.precision import float32_products
from zoo.store.files import unfinished
from zoo.training.claim import WRITTEN, alone, claim
from zoo.training.records import ENDED, TrainingResult, ended_by
from zoo.training.state import STATE_FILE

__all__ = ["run_before", "stage_folder", "train"]

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
    overwrite: bool = False,
) -> TrainingResult:
    """Trains the recipe; the best weights so far are in `out_dir` at every moment.

    Writes out_dir/config.json, recipe.json and model.weights.h5 (the averaged weights of the best
    validation), history.csv, run.json, TensorBoard logs under logs/, and state.npz, the full state,
    every few minutes and at the end; the state before it is kept, and taken (with a warning) where
    the last one cannot be read. SIGTERM, SIGINT and SIGHUP save the state and end the run.

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

    overwrite: starts in a folder that holds other things, a checkpoint or another run, whose
        records and hashes are removed; any other file stays, unless the run writes one of its name.

    Raises DataError (no data, or rows that are not finite), TrainingError (a folder in use, or with
    a state and no `resume`, or with something else and no `overwrite`; a worker that is lost),
    MissingCheckpointError (`resume` without a state), NonFiniteLossError (a step, or every
    validation; the last weights are kept), ConfigError (a batch that the replicas do not divide).
    """
    folder, started = Path(out_dir), time.monotonic()
    name = name or folder.name
    *before, last = [recipe] if initial_weights else stages(recipe)
    folders = [*(stage_folder(folder, number) for number in range(1, len(before) + 1)), folder]
    if resume and not any((part / STATE_FILE).exists() for part in folders):
        raise MissingCheckpointError(
            f"Nothing to resume: {folder / STATE_FILE} does not exist. Leave out --resume."
        )
    writes = strategy is None or strategy.extended.should_checkpoint  # else the chief does
    if writes and not resume:
        for part in folders:
            claim(part, overwrite=overwrite)
    previous: Path | None = None
    for number, (stage, part) in enumerate(zip(before, folders, strict=False), 1):
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
        resume=resume and (folder / STATE_FILE).exists(),
        initial_weights=initial_weights,
        before=previous,
        max_seconds=max_seconds - (time.monotonic() - started),
        progress=progress,
        strategy=strategy,
    )


def run_before(recipe: Recipe, folder: Path) -> Path | None:
    """The folder of the stage that the chain's last one goes on from; None without a chain.

    folder: of the chain's run. Raises TrainingError where that stage has not been trained.
    """
    number = len(stages(recipe)) - 1
    if not number:
        return None
    part = stage_folder(folder, number)
    if ended_by(part) not in ENDED:
        raise TrainingError(
            f"The recipe goes on from another run, which is to be trained first: {part} holds no "
            "finished one."
        )
    return part


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
    with alone(folder) if writes else contextlib.nullcontext():
        for left in unfinished(folder, WRITTEN) if writes else ():
            left.unlink(missing_ok=True)
        with float32_products(exact=recipe.training.exact_products):
            if strategy is None:
                module, _, runner = recipe.training.runner.partition(":")
                run = getattr(importlib.import_module(module), runner)
                return run(recipe, folder, name, **options).loop(max_seconds, progress)
            _ = recipe.sgd  # which says why there is no batch to share
            from zoo.training.replicas import ReplicatedRun

            return ReplicatedRun(strategy, recipe, folder, name, **options).loop(
                max_seconds, progress
            )
