"""The loop around the step: data, validation, the best weights, the full state."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import loading
from zoo.core.recipe import Recipe
from zoo.core.recipe_json import to_dict
from zoo.core.row_checks import check_finite, warn_of_columns
from zoo.data import pipeline, sources
from zoo.errors import (
    DataError,
    MissingCheckpointError,
    NonFiniteLossError,
    TrainingError,
)
from zoo.objectives.gradient import nats_of
from zoo.ops.noise import binarized
from zoo.ops.units import bits_per_dim_from_nats
from zoo.store.files import write_json_atomic
from zoo.store.folder import RECIPE_FILE, save_checkpoint
from zoo.store.weights import load_weights
from zoo.training.build import build_model, build_objective
from zoo.training.claim import seal, unseal
from zoo.training.culprit import report
from zoo.training.records import ENDED, TrainingResult, write_history, write_record
from zoo.training.showcase import Showcase, has_tensorboard
from zoo.training.signals import StopRequests
from zoo.training.start import assign_shared, lineage, origin
from zoo.training.state import STATE_FILE, load_latest, save_state
from zoo.training.step import TrainingStep

__all__ = ["Run"]

SAVE_SECONDS = 180.0
HARDWARE = f"{os.cpu_count()} CPU cores"


class Run:
    """One run: model, step, data, and the counters that are saved with them."""

    writes = True  # this process writes the run's files
    workers, worker = 1, 0  # processes that share each batch, and which of them this one is
    hardware = HARDWARE

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
        """before: the folder of the finished run that this one goes on from.

        Raises DataError for rows that are too few or not finite; warns of columns of a table that
        are constant or equal.
        """
        self.recipe, self.folder, self.name, self.before = recipe, folder, name, before
        state = folder / STATE_FILE
        if resume and not state.exists():
            raise MissingCheckpointError(
                f"Nothing to resume: {state} does not exist. Leave out --resume."
            )
        if not resume and self._must_not_exist(state):
            raise TrainingError(
                f"{folder} holds a run already: use --resume to go on, or another --out."
            )
        self.train_rows = sources.load_arrays(recipe.dataset, "train")
        self.validation_rows = sources.load_arrays(recipe.dataset, "validation")
        self.validation_rows = self.validation_rows.take(
            recipe.sgd.validation_rows or self.validation_rows.rows
        )
        self.steps_per_epoch = pipeline.steps_per_epoch(self.train_rows.rows, recipe.sgd.batch_size)
        if not self.steps_per_epoch or not self.validation_rows.rows:
            raise DataError(
                f"Expected at least one batch of {recipe.sgd.batch_size} rows to train on and "
                f"one row to validate; got {self.train_rows.rows} and {self.validation_rows.rows}. "
                "Lower batch_size, or give more rows."
            )
        for split, rows in (("train", self.train_rows), ("validation", self.validation_rows)):
            called = f"{split} rows of {recipe.dataset.name}"
            check_finite(rows.x, called, DataError, may_miss=recipe.dataset.may_miss)
            if rows.context is not None:
                check_finite(rows.context, f"contexts of the {called}", DataError)
        if not resume and self.writes:
            warn_of_columns(self.train_rows.x, f"train rows of {recipe.dataset.name}")
        self.total_steps = self.steps_per_epoch * recipe.sgd.max_epochs
        keras.utils.set_random_seed(recipe.sgd.seed)
        with self._scope():
            self.model = build_model(recipe, name)
            self.objective = build_objective(recipe, self.model)
        if not resume:
            self._initialize(initial_weights)
        with self._scope():
            self.step = self._create_step()
        self._compile()
        self._showcase = Showcase(self.model)
        self.counters: dict[str, Any] = {
            "step": 0,
            "best_step": 0,
            "best_validation_nats": math.inf,
            "validations_without_gain": 0,
            "seconds": 0.0,
            "nats_sum": 0.0,
            "nats_count": 0,
            "hardware": [],
            "started_from": None if resume else origin(initial_weights, recipe.start),
            "lineage": [] if resume else lineage(before, initial_weights),
        }
        self.history: list[dict[str, Any]] = []
        if resume:
            counters, self.history = load_latest(
                folder, self.step.state_variables(), recipe=self.recipe, restore=self.writes
            )
            self.counters.update(counters)
        self._published = bool(self.counters["best_step"])  # the folder has weights of this run

    # What `zoo.training.replicas` does otherwise.

    def _scope(self) -> contextlib.AbstractContextManager[Any]:
        """Where variables are created."""
        return contextlib.nullcontext()

    def _create_step(self) -> Any:
        return TrainingStep(self.model, self.recipe, self.total_steps, self.objective)

    def _compile(self) -> None:
        self._compiled_step: Any = tf.function(
            self.step, autograph=False, jit_compile=self.recipe.sgd.jit_compile
        )
        self._compiled_nats: Any = tf.function(
            self.evaluation_nats, autograph=False, reduce_retracing=True
        )

    def _must_not_exist(self, state: Path) -> bool:
        """Whether a state is there that a fresh run would overwrite."""
        return state.exists()

    def _advance(self, x: Any, context: Any, step: int) -> tuple[float, float]:
        """Takes the step on this process' rows; (mean nats, gradient norm) of the whole batch."""
        context = None if context is None else tf.constant(context)
        result = self._compiled_step(tf.constant(x), context, tf.constant(step, tf.int32))
        return float(tf.reduce_mean(result["nats"])), float(result["gradient_norm"])

    def _ending(self, wish: str) -> str:
        """Why the run ends after this step, "" if it goes on. wish: what this process wants."""
        return wish

    # The start.

    def _initialize(self, initial_weights: str | os.PathLike[str]) -> None:
        if initial_weights:
            load_weights(self.model, initial_weights)
            self.model.observe(self.train_rows.x, self.train_rows.context)
            return
        self.model.adapt_whitening(self.train_rows.x)
        if self.recipe.sgd.initialization_rows:
            rows = self.train_rows.take(self.recipe.sgd.initialization_rows)
            self.model.initialize(rows.x, rows.context, "all")
        if before := self.before or self.recipe.start:
            assign_shared(self.model, loading.load(before))
            self.model.observe(self.train_rows.x, self.train_rows.context)
        else:
            self.objective.start(self.model)

    # Validation, as every runner of this recipe does it.

    @property
    def validate_every(self) -> int:
        """Steps between validations."""
        return self.recipe.sgd.validate_every or self.steps_per_epoch

    @property
    def evaluation_batch_size(self) -> int:
        """Validation rows scored at a time; clips are long rows."""
        return (
            self.recipe.sgd.batch_size * 4
            if self.recipe.sgd.bucket_size
            else max(self.recipe.sgd.batch_size, 100)
        )

    @property
    def moment_rows(self) -> int:
        """How many of the first training rows set batch norm's moments; 0 without batch norm."""
        if not self.model.has_batch_norm:
            return 0
        return min(
            self.recipe.sgd.initialization_rows or self.train_rows.rows, self.train_rows.rows
        )

    def evaluation_nats(self, x: Any, context: Any) -> Any:
        """The score of rows in validations, [batch] nats."""
        if self.recipe.sgd.binarises:
            x = binarized(x, tf.constant([0, 0]))
        return nats_of(self.objective, self.model, x, context, tf.constant([0, 0]))

    # The loop.

    def loop(
        self, max_seconds: float, progress: Callable[[int, int, dict[str, float]], None] | None
    ) -> TrainingResult:
        """Trains until something ends the run; saves its state and its record."""
        started, seconds_before = time.monotonic(), self.counters["seconds"]
        saved_at = started
        self._logs = self.writes and has_tensorboard()
        writer = (
            tf.summary.create_file_writer(str(self.folder / "logs"))
            if self._logs
            else tf.summary.create_noop_writer()
        )
        reason = "finished"
        if self.writes:  # of a resumed run, max_epochs and patience may be new
            unseal(self.folder)
            write_json_atomic(self.folder / RECIPE_FILE, to_dict(self.recipe))
        if not (self.folder / STATE_FILE).exists():
            self._save()  # so that a run that is killed before its first step resumes as well
        if self._out_of_patience():  # a finished run that is resumed stays as it is
            reason = "early stopping"
        with StopRequests() as stop, writer.as_default():
            for x, context in self.batches() if reason == "finished" else ():
                step = self.counters["step"]
                nats, norm = self._advance(x, context, step)
                if not (math.isfinite(nats) and math.isfinite(norm)):
                    raise NonFiniteLossError(
                        report(
                            self.model,
                            self.step.objective,
                            x,
                            context,
                            seed=self.recipe.sgd.seed,
                            step=step,
                            nats=nats,
                            norm=norm,
                        )
                    )
                self.counters["step"] = step = step + 1
                self.counters["nats_sum"] += nats
                self.counters["nats_count"] += 1
                if self.hardware not in self.counters["hardware"]:
                    self.counters["hardware"].append(self.hardware)
                now = time.monotonic()
                self.counters["seconds"] = seconds_before + now - started
                if progress is not None and not stop.reason:  # the terminal may be gone
                    progress(step, self.total_steps, self._progress_values(nats, norm))
                if step % self.validate_every == 0 or step == self.total_steps:
                    self._validate()
                    if self._out_of_patience():
                        reason = "early stopping"
                        break
                    if now - saved_at > SAVE_SECONDS / 3:
                        self._save()
                        saved_at = time.monotonic()
                if now - saved_at > SAVE_SECONDS:
                    self._save()
                    saved_at = time.monotonic()
                late = "time limit" if now - started > max_seconds else ""
                if ending := self._ending(stop.reason or late):
                    reason = ending
                    break
        self._save()
        if reason in ENDED and self._never_finite():
            with self.step.averaged_weights():
                self._publish()
            self._record("no finite validation")
            raise NonFiniteLossError(
                f"None of {len(self.history)} validations was finite, though every training step "
                f"was: no weights are the best. The last ones are kept in {self.folder}. Look at "
                "the validation rows (`zoo score`), lower optimizer.learning_rate, or standardise."
            )
        return self._record(reason)

    def _never_finite(self) -> bool:
        """Whether the run was validated, and never by a finite number."""
        return bool(self.history) and not math.isfinite(self.counters["best_validation_nats"])

    def _record(self, reason: str) -> TrainingResult:
        result = write_record(
            self.folder,
            name=self.name,
            reason=reason,
            counters=self.counters,
            steps_per_epoch=self.steps_per_epoch,
        )
        if self.writes and self._published:
            seal(self.folder)
        return result

    def batches(self) -> Iterator[tuple[Any, Any]]:
        """(x, context or None) of the steps to come, this process' rows, in their order."""
        first_epoch, skip = divmod(self.counters["step"], self.steps_per_epoch)
        for epoch in range(first_epoch, self.recipe.sgd.max_epochs):
            yield from pipeline.batches_in_memory(
                self.train_rows,
                batch_size=self.recipe.sgd.batch_size,
                seed=self.recipe.sgd.seed,
                epoch=epoch,
                skip_batches=skip if epoch == first_epoch else 0,
                bucket_size=self.recipe.sgd.bucket_size,
                num_shards=self.workers,
                shard=self.worker,
            )

    def _out_of_patience(self) -> bool:
        patience: int = self.recipe.sgd.patience
        return bool(patience) and self.counters["validations_without_gain"] >= patience

    def _progress_values(self, nats: float, norm: float) -> dict[str, float]:
        values = {
            "nats": nats,
            "gradient_norm": norm,
            "epoch": self.counters["step"] / self.steps_per_epoch,
        }
        if self.history:
            values["validation_nats"] = self.history[-1]["validation_nats"]
        return values

    def _validate(self) -> None:
        counters = self.counters
        with self.step.averaged_weights():
            if self.moment_rows:
                rows = self.train_rows.take(self.moment_rows)
                self.model.adapt_batch_norm(rows.x, rows.context)
            nats = self._mean_nats()
            if nats < counters["best_validation_nats"]:
                counters.update(best_validation_nats=nats, best_step=counters["step"])
                counters["validations_without_gain"] = 0
                self._publish()
            else:
                counters["validations_without_gain"] += 1
            if self._logs:
                self._showcase.show(counters["step"])
        row = {
            "step": counters["step"],
            "epoch": round(counters["step"] / self.steps_per_epoch, 4),
            "seconds": round(counters["seconds"], 2),
            "learning_rate": float(self.step.optimizer.learning_rate),
            "train_nats": counters["nats_sum"] / max(counters["nats_count"], 1),
            "validation_nats": nats,
            "validation_bits_per_dim": float(
                bits_per_dim_from_nats(-nats, self.model.config.event_size)
            ),
            "rows_per_second": round(
                counters["step"] * self.recipe.sgd.batch_size / max(counters["seconds"], 1e-9),
                1,
            ),
        }
        counters.update(nats_sum=0.0, nats_count=0)
        self.history.append(row)
        if self.writes:
            write_history(self.folder, self.history)
        logged = ("train_nats", "validation_nats", "validation_bits_per_dim", "learning_rate")
        for key in logged if self._logs else ():
            tf.summary.scalar(key, row[key], step=counters["step"])

    def _mean_nats(self) -> float:
        rows, batch_size = self.validation_rows, self.evaluation_batch_size
        total, count = 0.0, 0
        for start in range(0, rows.rows, batch_size):
            stop = start + batch_size
            context = None if rows.context is None else rows.context[start:stop]
            context = None if context is None else tf.constant(context)
            nats = self._compiled_nats(tf.constant(rows.x[start:stop]), context).numpy()
            total += float(np.sum(nats, dtype=np.float64))
            count += len(nats)
        mean = total / count
        # A validation that is not finite is no gain; the step's own check stops a run that
        # diverges.
        return mean if math.isfinite(mean) else math.inf

    # State.

    def _publish(self) -> None:
        if not self.writes:
            return
        save_checkpoint(self.folder, self.model, family=self.recipe.family, recipe=self.recipe)
        self._published = True

    def _save(self) -> None:
        if not self.writes:
            return
        save_state(
            self.folder / STATE_FILE,
            self.step.state_variables(),
            recipe=self.recipe,
            counters=self.counters,
            history=self.history,
        )
