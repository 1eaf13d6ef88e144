"""A run that fits in stages: the loop over them, its records and its state.

The state is saved after each stage, and a stage depends on the weights before it, the rows and the
seed alone: a run that is killed takes up the stage that it was in, and ends with the same weights.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from zoo.core.capabilities import capabilities_of
from zoo.core.recipe import Greedy, Recipe
from zoo.core.recipe_json import to_dict
from zoo.core.row_checks import check_finite
from zoo.data import sources
from zoo.errors import ConfigError, DataError, MissingCheckpointError, TrainingError
from zoo.kinds.growing import Stage, Stages
from zoo.models import build
from zoo.ops.units import bits_per_dim_from_nats
from zoo.store.files import write_json_atomic
from zoo.store.folder import RECIPE_FILE, save_checkpoint
from zoo.training.claim import seal, unseal
from zoo.training.records import STAGE_FIELDS, TrainingResult, write_history, write_record
from zoo.training.signals import StopRequests
from zoo.training.state import STATE_FILE, load_latest, save_state

__all__ = ["GreedyRun"]

HARDWARE = f"{os.cpu_count()} CPU cores"


class _Stopped(Exception):  # noqa: N818 (not an error)
    """Ends a stage that is not over."""


class GreedyRun:
    """One run: model, rows, and the counters that are saved with them."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        name: str,
        *,
        resume: bool,
        initial_weights: str | os.PathLike[str] = "",
        before: Path | None = None,
    ) -> None:
        """Raises ConfigError for models without stages, DataError for rows that are too few."""
        del before  # of chains, which a recipe with stages is no part of
        self.recipe, self.folder, self.name = recipe, folder, name
        settings = recipe.training
        if not isinstance(settings, Greedy):
            raise ConfigError(f"Expected a recipe with Greedy training; got {settings.kind}.")
        state = folder / STATE_FILE
        if resume and not state.exists():
            raise MissingCheckpointError(
                f"Nothing to resume: {state} does not exist. Leave out --resume."
            )
        if not resume and state.exists():
            raise TrainingError(
                f"{folder} holds a run already: use --resume to go on, or another --out."
            )
        if initial_weights:
            raise TrainingError(
                f"{name} is fitted in stages, from none: leave out --from. A run that was stopped "
                "goes on with --resume."
            )
        keras.utils.set_random_seed(settings.seed)
        self.model = build(recipe.family, recipe.config, name=name)
        if missing := settings.needs - capabilities_of(self.model):
            raise ConfigError(
                f"{settings.kind} training needs a model that {', '.join(sorted(missing))}; a "
                f"{recipe.family} is trained by SGD."
            )
        if settings.layers > self.model.most_stages:
            raise ConfigError(
                f"The recipe asks for {settings.layers} stages; the config has room for "
                f"{self.model.most_stages}."
            )
        parts = {split: sources.load_arrays(recipe.dataset, split) for split in sources.SPLITS[:2]}
        for split, rows in parts.items():
            if not rows.rows:
                raise DataError(f"Expected {split} rows of {recipe.dataset.name}; got none.")
            check_finite(rows.x, f"{split} rows of {recipe.dataset.name}", DataError)
        train, held_out = ((rows.x, rows.context) for rows in parts.values())
        self.stages = Stages(
            self.model,
            train,
            held_out,
            layers=settings.layers,
            patience=settings.patience,
            seed=settings.seed,
            descent=settings.descent,
            report=self._report,
        )
        self.counters: dict[str, Any] = {
            "step": 0,
            "best_step": 0,
            "best_validation_nats": math.inf,
            "validations_without_gain": 0,
            "seconds": 0.0,
            "hardware": [HARDWARE],
            "started_from": None,
            "lineage": [],
        }
        self.history: list[dict[str, Any]] = []
        if resume:
            counters, self.history = load_latest(
                folder, self.model.variables, recipe=recipe, restore=True
            )
            self.counters.update(counters)
            self.stages.best = self.counters["best_step"]
            self.stages.best_nats = self.counters["best_validation_nats"]
            self.stages.without_gain = self.counters["validations_without_gain"]

    def loop(
        self, max_seconds: float, progress: Callable[[int, int, dict[str, float]], None] | None
    ) -> TrainingResult:
        """Fits stage after stage until something ends the run; saves its state and its record."""
        self._progress, self._deadline = progress, time.monotonic() + max_seconds
        started, before = time.monotonic(), self.counters["seconds"]
        unseal(self.folder)
        write_json_atomic(self.folder / RECIPE_FILE, to_dict(self.recipe))
        if not (self.folder / STATE_FILE).exists():
            self._save()  # so that a run that is killed in its first stage resumes as well
        reason = "finished"
        with StopRequests() as self._stop:
            try:
                for stage in self.stages:
                    self.counters["seconds"] = before + time.monotonic() - started
                    self._note(stage)
                    if not self.stages.over:
                        self._report(0, 1)
            except _Stopped:
                reason = self._stop.reason or "time limit"
        if reason == "finished" and self.stages.out_of_patience:
            reason = "early stopping"
        result = write_record(
            self.folder,
            name=self.name,
            reason=reason,
            counters=self.counters,
            steps_per_epoch=1,
            unit="stage",
        )
        if self.history:
            seal(self.folder)
        return result

    def _report(self, done: int, of: int) -> None:
        """Tells how far the run is, in stages; ends it where it was asked to end."""
        if self._stop.reason or time.monotonic() > self._deadline:
            raise _Stopped
        if self._progress is not None:
            values = {"stage": self.counters["step"] + done / of}
            if self.history:
                values["validation_nats"] = self.history[-1]["validation_nats"]
            self._progress(self.counters["step"], self.stages.layers, values)

    def _note(self, stage: Stage) -> None:
        """Keeps what a stage has made: history, the best weights, the state."""
        size = self.model.config.event_size
        self.history.append(
            {
                "stage": stage.number,
                "seconds": round(self.counters["seconds"], 2),
                "train_nats": stage.train_nats,
                "validation_nats": stage.validation_nats,
                "validation_bits_per_dim": float(
                    bits_per_dim_from_nats(-stage.validation_nats, size)
                ),
                "gain": stage.gain,
            }
        )
        self.counters.update(
            step=stage.number,
            best_step=self.stages.best,
            best_validation_nats=self.stages.best_nats,
            validations_without_gain=self.stages.without_gain,
        )
        write_history(self.folder, self.history, STAGE_FIELDS)
        if self.stages.best == stage.number:
            save_checkpoint(self.folder, self.model, family=self.recipe.family, recipe=self.recipe)
        self._save()

    def _save(self) -> None:
        save_state(
            self.folder / STATE_FILE,
            self.model.variables,
            recipe=self.recipe,
            counters=self.counters,
            history=self.history,
        )
