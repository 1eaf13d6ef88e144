"""Training a recipe: one step, its full state on disk, and the loop around them.

The step is a function of (batch, step number) and of the variables: every random number in it comes
from (recipe.seed, step). With the data order a function of (seed, epoch), a run that is killed at
any moment and resumed computes what the undisturbed run computes, bit for bit on a CPU.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np
import tensorflow as tf

from zoo import checkpointing
from zoo.data import pipeline, sources
from zoo.errors import (
    DataError,
    FormatError,
    MissingCheckpointError,
    NonFiniteLossError,
    TrainingError,
)
from zoo.losses import l2_penalty, negative_log_likelihood
from zoo.models import build
from zoo.ops.units import bits_per_dim_from_nats
from zoo.recipes import Recipe, to_dict

__all__ = ["TrainingResult", "TrainingStep", "WarmupSchedule", "train"]

STATE_FILE = "state.npz"
STATE_VERSION = 1
SAVE_SECONDS = 180.0
HISTORY_FIELDS = (
    "step",
    "epoch",
    "seconds",
    "learning_rate",
    "train_nats",
    "validation_nats",
    "validation_bits_per_dim",
    "rows_per_second",
)


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """How a run ended: `reason` is "finished", "early stopping", "time limit" or "signal"."""

    folder: Path
    step: int
    epoch: int
    best_step: int
    best_validation_nats: float
    seconds: float
    reason: str


class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """rate * min(1, (step + 1) / warmup), times a half cosine if asked for.

    The half cosine goes from 1 to `final_fraction`.
    cosine: final + (1 - final) * (1 + cos(pi * step / total_steps)) / 2.
    """

    def __init__(
        self,
        rate: float,
        *,
        warmup_steps: int,
        total_steps: int,
        cosine: bool,
        final_fraction: float,
    ) -> None:
        self.rate = rate
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.cosine = cosine
        self.final_fraction = final_fraction

    def __call__(self, step: Any) -> Any:
        """The rate at `step` (0, 1, ...)."""
        step = tf.cast(step, tf.float32)
        rate = tf.constant(self.rate, tf.float32)
        if self.warmup_steps:
            rate *= tf.minimum(1.0, (step + 1.0) / self.warmup_steps)
        if self.cosine:
            progress = tf.minimum(step / self.total_steps, 1.0)
            half_cosine = 0.5 * (1.0 + tf.cos(math.pi * progress))
            rate *= self.final_fraction + (1.0 - self.final_fraction) * half_cosine
        return rate

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            "rate": self.rate,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "cosine": self.cosine,
            "final_fraction": self.final_fraction,
        }


class TrainingStep:
    """One optimisation step of a recipe on a model.

    It is loss, gradient, clipping, Adam, weight averages.
    Calling it with (x, context or None, step) returns {"nats": [batch], "gradient_norm": scalar}
    and updates `model`, `optimizer` and `averages`. If the loss or the gradient is not finite, the
    gradient is replaced by zeros, so that the weights stay finite and the culprit can be named.
    """

    def __init__(self, model: Any, recipe: Recipe, total_steps: int) -> None:
        self.model = model
        self.recipe = recipe
        settings = recipe.optimizer
        schedule = WarmupSchedule(
            settings.learning_rate,
            warmup_steps=settings.warmup_steps,
            total_steps=total_steps,
            cosine=settings.schedule == "cosine",
            final_fraction=settings.final_fraction,
        )
        self.variables = model.trainable_variables
        self.optimizer = keras.optimizers.Adam(
            schedule,
            beta_1=settings.beta_1,
            beta_2=settings.beta_2,
            epsilon=settings.epsilon,
            weight_decay=settings.weight_decay or None,
        )
        if settings.weight_decay:
            vectors = [v for v in self.variables if len(v.shape) < 2]
            self.optimizer.exclude_from_weight_decay(var_list=vectors)
        self.optimizer.build(self.variables)
        self.averages = (
            [tf.Variable(v.value, trainable=False, name="average") for v in self.variables]
            if recipe.ema_decay
            else []
        )
        # Under XLA even where the network is not: a dozen elementwise passes over all weights
        # become one.
        self._compiled_update = tf.function(self._update, jit_compile=True, autograph=False)
        self.seeds_drawn_from_step: list[Any] = [
            layer.seed_generator
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.Dropout)
        ]

    def __call__(self, x: Any, context: Any, step: Any) -> dict[str, Any]:
        """The step; `step` is an int32 scalar."""
        recipe = self.recipe
        seed = tf.stack([tf.constant(recipe.seed, tf.int32), step])
        for i, generator in enumerate(self.seeds_drawn_from_step):
            state = tf.stack([step, tf.constant(1000 * recipe.seed + i, tf.int32)])
            generator.state.assign(tf.cast(state, generator.state.dtype))
        if recipe.horizontal_flips:
            coin = tf.random.stateless_uniform([tf.shape(x)[0], 1, 1, 1], seed=seed) < 0.5
            x = tf.where(coin, tf.reverse(x, [2]), x)
        with tf.GradientTape() as tape:
            nats = negative_log_likelihood(self.model, x, context, seed, training=True)  # [batch]
            loss = tf.reduce_mean(nats)
            if recipe.l2:
                loss += l2_penalty(self.model.regularized_weights, recipe.l2)
        gradients = tape.gradient(loss, self.variables)
        norm = self._compiled_update(gradients, loss, step)
        return {"nats": nats, "gradient_norm": norm}

    def _update(self, gradients: list[Any], loss: Any, step: Any) -> Any:
        """Clipping, Adam and the averages; returns the gradient's norm.

        One fused pass over the weights.
        """
        recipe = self.recipe
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(norm) & tf.math.is_finite(loss)
        clip = recipe.optimizer.clip_norm
        factor = tf.minimum(1.0, clip / (norm + 1e-12)) if clip else tf.constant(1.0)
        gradients = [tf.where(finite, g * factor, tf.zeros_like(g)) for g in gradients]
        self.optimizer.apply(gradients, self.variables)
        if self.averages:
            # The decay warms up, so that the first weights do not linger in the average.
            count = tf.cast(step, tf.float32)
            decay = tf.minimum(recipe.ema_decay, (1.0 + count) / (10.0 + count))
            for average, variable in zip(self.averages, self.variables, strict=True):
                average.assign(decay * average + (1.0 - decay) * variable)
        return norm

    def state_variables(self) -> list[Any]:
        """Every variable whose value the next step depends on, in a fixed order."""
        return [*self.model.variables, *self.optimizer.variables, *self.averages]

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Inside, the model has its averaged weights (and is itself where there are none)."""
        if not self.averages:
            yield
            return
        kept = [v.numpy() for v in self.variables]
        for variable, average in zip(self.variables, self.averages, strict=True):
            variable.assign(average)
        try:
            yield
        finally:
            for variable, value in zip(self.variables, kept, strict=True):
                variable.assign(value)


def train(
    recipe: Recipe,
    out_dir: str | os.PathLike[str],
    *,
    name: str = "",
    resume: bool = False,
    max_seconds: float = math.inf,
    initial_weights: str | os.PathLike[str] = "",
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Trains the recipe; the best weights so far are in `out_dir` at every moment.

    Writes out_dir/config.json, recipe.json and model.weights.h5 (the averaged weights of the best
    validation), history.csv, run.json, TensorBoard logs under logs/, and state.npz, the full state,
    every few minutes and at the end. SIGTERM and SIGINT save the state and end the run.

    resume: goes on from state.npz, whose recipe must be the same but for max_epochs and patience.
    max_seconds: of this call; the state is saved when they are over.
    initial_weights: a `.weights.h5` to start from, instead of a data-dependent initialisation.
    progress: called after every step with (step, total steps, {"nats", ...}).

    Raises DataError (no data), TrainingError (a folder in use, or with a state and no `resume`),
    MissingCheckpointError (`resume` without a state), NonFiniteLossError.
    """
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        with lock:
            run = _Run(
                recipe, folder, name or folder.name, resume=resume, initial_weights=initial_weights
            )
            return run.loop(max_seconds, progress)
    except filelock.Timeout as error:
        raise TrainingError(
            f"Another training is writing to {folder}; give it another --out."
        ) from error


class _Run:
    """One run: model, step, data, and the counters that are saved with them."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        name: str,
        *,
        resume: bool,
        initial_weights: str | os.PathLike[str],
    ) -> None:
        self.recipe, self.folder, self.name = recipe, folder, name
        state = folder / STATE_FILE
        if resume and not state.exists():
            raise MissingCheckpointError(
                f"Nothing to resume: {state} does not exist. Leave out --resume."
            )
        if not resume and state.exists():
            raise TrainingError(
                f"{folder} holds a run already: use --resume to go on, or another --out."
            )
        self.train_rows = sources.load_arrays(recipe.dataset, "train")
        self.validation_rows = sources.load_arrays(recipe.dataset, "validation")
        self.validation_rows = self.validation_rows.take(
            recipe.validation_rows or self.validation_rows.rows
        )
        self.steps_per_epoch = pipeline.steps_per_epoch(self.train_rows.rows, recipe.batch_size)
        if not self.steps_per_epoch or not self.validation_rows.rows:
            raise DataError(
                f"Expected at least one batch of {recipe.batch_size} rows to train on and one row "
                f"to validate; got {self.train_rows.rows} and {self.validation_rows.rows}."
            )
        self.total_steps = self.steps_per_epoch * recipe.max_epochs
        keras.utils.set_random_seed(recipe.seed)
        self.model = build(
            recipe.family,
            recipe.config,
            conditioner_dtype=_policy(recipe.conditioner_dtype),
            name=name,
        )
        if not resume:
            self._initialize(initial_weights)
        self.step = TrainingStep(self.model, recipe, self.total_steps)
        self._compiled_step = tf.function(
            self.step, autograph=False, jit_compile=recipe.jit_compile
        )
        self._compiled_nats = tf.function(
            lambda x, context: negative_log_likelihood(
                self.model, x, context, tf.constant([0, 0]), training=False
            ),
            autograph=False,
            reduce_retracing=True,
        )
        self.counters: dict[str, Any] = {
            "step": 0,
            "best_step": 0,
            "best_validation_nats": math.inf,
            "validations_without_gain": 0,
            "seconds": 0.0,
            "nats_sum": 0.0,
            "nats_count": 0,
        }
        self.history: list[dict[str, Any]] = []
        if resume:
            self._restore(state)
        self._stop_reason = ""

    def _initialize(self, initial_weights: str | os.PathLike[str]) -> None:
        if initial_weights:
            checkpointing.load_weights(self.model, initial_weights)
            return
        self.model.adapt_whitening(self.train_rows.x)
        if self.recipe.initialization_rows:
            rows = self.train_rows.take(self.recipe.initialization_rows or self.train_rows.rows)
            self.model._fit(rows.x, rows.context, "all")

    # The loop.

    def loop(
        self, max_seconds: float, progress: Callable[[int, int, dict[str, float]], None] | None
    ) -> TrainingResult:
        started, seconds_before = time.monotonic(), self.counters["seconds"]
        saved_at = started
        validate_every = self.recipe.validate_every or self.steps_per_epoch
        writer = tf.summary.create_file_writer(str(self.folder / "logs"))
        reason = "finished"
        if not (self.folder / checkpointing.RECIPE_FILE).exists():
            checkpointing.write_json_atomic(
                self.folder / checkpointing.RECIPE_FILE, to_dict(self.recipe)
            )
        if not (self.folder / STATE_FILE).exists():
            self._save()  # so that a run that is killed before its first step resumes as well
        if self._out_of_patience():  # a finished run that is resumed stays as it is
            reason = "early stopping"
        with self._signals(), writer.as_default():
            for x, context in self._batches() if reason == "finished" else ():
                step = self.counters["step"]
                x = tf.constant(x)
                context = None if context is None else tf.constant(context)
                result = self._compiled_step(x, context, tf.constant(step, tf.int32))
                nats, norm = float(tf.reduce_mean(result["nats"])), float(result["gradient_norm"])
                if not (math.isfinite(nats) and math.isfinite(norm)):
                    raise NonFiniteLossError(self._culprit(step, nats, norm, x, context))
                self.counters["step"] = step = step + 1
                self.counters["nats_sum"] += nats
                self.counters["nats_count"] += 1
                now = time.monotonic()
                self.counters["seconds"] = seconds_before + now - started
                if progress is not None:
                    progress(step, self.total_steps, self._progress_values(nats, norm))
                if step % validate_every == 0 or step == self.total_steps:
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
                if self._stop_reason or now - started > max_seconds:
                    reason = self._stop_reason or "time limit"
                    break
        self._save()
        counters = self.counters
        result_value = TrainingResult(
            folder=self.folder,
            step=counters["step"],
            epoch=counters["step"] // self.steps_per_epoch,
            best_step=counters["best_step"],
            best_validation_nats=counters["best_validation_nats"],
            seconds=counters["seconds"],
            reason=reason,
        )
        checkpointing.write_json_atomic(
            self.folder / "run.json",
            {
                "name": self.name,
                "reason": reason,
                "step": result_value.step,
                "epoch": result_value.epoch,
                "best_step": result_value.best_step,
                "best_validation_nats": _json_number(result_value.best_validation_nats),
                "train_hours": round(result_value.seconds / 3600.0, 3),
                "hardware": f"{os.cpu_count()} CPU cores",
                "software": checkpointing.software_versions(),
            },
        )
        return result_value

    def _batches(self) -> Iterator[tuple[Any, Any]]:
        first_epoch, skip = divmod(self.counters["step"], self.steps_per_epoch)
        for epoch in range(first_epoch, self.recipe.max_epochs):
            yield from pipeline.batches_in_memory(
                self.train_rows,
                batch_size=self.recipe.batch_size,
                seed=self.recipe.seed,
                epoch=epoch,
                skip_batches=skip if epoch == first_epoch else 0,
            )

    def _out_of_patience(self) -> bool:
        patience: int = self.recipe.patience
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
            if self.model.has_batch_norm:
                rows = self.train_rows.take(self.recipe.initialization_rows or self.train_rows.rows)
                self.model.adapt_batch_norm(rows.x, rows.context)
            nats = self._mean_nats()
            if nats < counters["best_validation_nats"]:
                counters.update(best_validation_nats=nats, best_step=counters["step"])
                counters["validations_without_gain"] = 0
                self._publish()
            else:
                counters["validations_without_gain"] += 1
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
                counters["step"] * self.recipe.batch_size / max(counters["seconds"], 1e-9), 1
            ),
        }
        counters.update(nats_sum=0.0, nats_count=0)
        self.history.append(row)
        self._write_history()
        for key in ("train_nats", "validation_nats", "validation_bits_per_dim", "learning_rate"):
            tf.summary.scalar(key, row[key], step=counters["step"])

    def _mean_nats(self) -> float:
        rows, batch_size = self.validation_rows, max(self.recipe.batch_size, 100)
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

    def _culprit(self, step: int, nats: float, norm: float, x: Any, context: Any) -> str:
        """Names the first bijector, on the way from data to latent, whose output is not finite."""
        model = self.model
        value = model._dequantised(x, tf.constant([self.recipe.seed, step]))
        members = model._chain(training=True, context=model._encoded_context(context)).bijectors
        finite = bool(np.isfinite(value.numpy()).all())
        culprit = "the data"
        for member in members:
            if not finite:
                break
            value = member.inverse(tf.identity(value))
            finite = bool(np.isfinite(value.numpy()).all())
            culprit = f"bijector {member.name!r}"
        if finite:
            overflow = "the latents' density or a log-determinant"
            culprit = "the gradient" if math.isfinite(nats) else overflow
        return (
            f"Step {step}: loss {nats:.6g} nats, gradient norm {norm:.6g}; the first value "
            f"that is not finite comes from {culprit}. The last saved state is sound: lower "
            "optimizer.learning_rate or set optimizer.clip_norm, and train again."
        )

    # State.

    def _publish(self) -> None:
        checkpointing.save_checkpoint(
            self.folder, self.model, family=self.recipe.family, recipe=self.recipe
        )

    def _save(self) -> None:
        arrays = {f"variable_{i:04d}": v.numpy() for i, v in enumerate(self.step.state_variables())}
        meta = {
            "version": STATE_VERSION,
            "counters": {
                **self.counters,
                "best_validation_nats": repr(self.counters["best_validation_nats"]),
            },
            "history": self.history,
            "recipe": to_dict(self.recipe),
        }
        meta_bytes = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        with checkpointing.replacing(self.folder / STATE_FILE) as path, path.open("wb") as file:
            np.savez(file, meta=meta_bytes, **arrays)

    def _restore(self, path: Path) -> None:
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                meta = json.loads(bytes(file["meta"]))
                arrays = [file[key] for key in sorted(file.files) if key != "meta"]
        except Exception as error:
            raise FormatError(
                f"{path} cannot be read: {error}. Start again in another --out."
            ) from error
        if meta.get("version") != STATE_VERSION:
            raise FormatError(
                f"{path} has state version {meta.get('version')}; this zoo reads {STATE_VERSION}."
            )
        mine, theirs = to_dict(self.recipe), meta["recipe"]
        free = ("max_epochs", "patience", "notes", "paper")
        different = [k for k in mine if k not in free and mine[k] != theirs.get(k)]
        if different:
            raise TrainingError(
                f"{path} belongs to a recipe with other {', '.join(different)}; "
                "a run resumes under its own recipe."
            )
        variables = self.step.state_variables()
        if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
            raise FormatError(
                f"{path} holds {len(arrays)} arrays that are not this recipe's variables."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        self.counters = {**meta["counters"]}
        self.counters["best_validation_nats"] = float(self.counters["best_validation_nats"])
        self.history = meta["history"]

    def _write_history(self) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, HISTORY_FIELDS, lineterminator="\n")
        table.writeheader()
        table.writerows(self.history)
        checkpointing.write_text_atomic(self.folder / "history.csv", text.getvalue())

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the run after the step in progress (in the main thread alone)."""

        def stop(number: int, *_: Any) -> None:
            self._stop_reason = f"signal {signal.Signals(number).name}"

        try:
            previous = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not the main thread: signals are the caller's
            yield
            return
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _policy(conditioner_dtype: str) -> str:
    return "" if conditioner_dtype == "float32" else conditioner_dtype


def _json_number(value: float) -> float | None:
    return value if math.isfinite(value) else None
