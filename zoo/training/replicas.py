"""A recipe's step and run on the replicas of a `tf.distribute` strategy.

Every replica computes the gradient of its part of the global batch, under XLA where the recipe asks
for it; the mean over the replicas is the gradient of the global batch; every replica then applies
it to its own copy of the weights, in one fused pass and with equal numbers, so that the copies stay
equal. The collective lies outside of what XLA compiles, except on a TPU, where all of it is one
program. A model that averages over the batch inside (batch norm) has collectives in its forward
pass, too, and its gradient is then not compiled by XLA on CPUs and GPUs.

Under several workers each process runs this loop on its own part of the same batches; the chief
alone writes. Requests to stop are summed with the gradients, so that all workers stop at one step.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from zoo.core.recipe import Recipe
from zoo.errors import ConfigError, TrainingError
from zoo.layers.norms import RunningMoments
from zoo.objectives import Objective
from zoo.ops.noise import replica_seed
from zoo.training import devices
from zoo.training.records import TrainingResult, result_of
from zoo.training.run import HARDWARE, Run
from zoo.training.state import STATE_FILE
from zoo.training.step import TrainingStep

__all__ = ["ReplicatedRun", "ReplicatedStep"]

SIGNAL, TIME_LIMIT = "signal SIGTERM", "time limit"

# What TensorFlow raises in a collective when another worker is gone, or does not answer in time.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)


class _ReplicaUpdates:
    """An optimiser that every replica applies to its own copies, given the mean gradient already.

    Keras' own `apply` sums gradients over the replicas, and leaves the replica to update a
    variable; here nothing leaves it, so that XLA can compile the whole update.
    """

    weight_decay: Any  # what a Keras optimiser has
    learning_rate: Any
    update_step: Any
    _use_weight_decay: Any
    _variables: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Keras aggregates its counter over the replicas at every assignment; a copy each will do.
        self._variables.clear()  # of that counter; the schedule of the rate has no variable
        self._iterations = keras.Variable(0, name="iteration", dtype="int", trainable=False)

    def _backend_update_step(
        self, grads: list[Any], trainable_variables: list[Any], learning_rate: Any
    ) -> None:
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(gradient, variable, learning_rate)

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        if self.weight_decay is None:
            return
        for variable in variables:
            if self._use_weight_decay(variable):
                variable.assign_sub(variable * self.weight_decay * self.learning_rate)


class _ReplicaAdam(_ReplicaUpdates, keras.optimizers.Adam):
    """Adam on replicas."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, name="adam", **kwargs)


class _ReplicaAdamax(_ReplicaUpdates, keras.optimizers.Adamax):
    """Adamax on replicas."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, name="adamax", **kwargs)


class ReplicatedStep(TrainingStep):
    """`TrainingStep` as a replica takes it, inside `strategy.run`.

    It returns what is the same on all replicas: {"nats": mean over the global batch,
    "gradient_norm", "stop": [2], above 0 where some worker asks}.
    """

    optimizer_classes: ClassVar[dict[str, Any]] = {
        "adam": _ReplicaAdam,
        "adamax": _ReplicaAdamax,
    }

    def __init__(
        self,
        model: Any,
        recipe: Recipe,
        total_steps: int,
        objective: Objective | None = None,
        *,
        compiled_whole: bool = False,
    ) -> None:
        """compiled_whole: XLA compiles all that the replica does (TPU)."""
        super().__init__(model, recipe, total_steps, objective)
        self._gradients_of = self._gradients
        if compiled_whole:
            self._compiled_update = self._update
        elif recipe.sgd.jit_compile and not has_collectives(model):
            self._gradients_of = tf.function(self._gradients, jit_compile=True, autograph=False)

    def __call__(self, x: Any, context: Any, step: Any, stop: Any = (0.0, 0.0)) -> dict[str, Any]:
        """One replica's step on its rows. stop: float32 [2], this worker's wishes."""
        replicas = tf.distribute.get_replica_context()
        gradients, loss, nats = self._gradients_of(x, context, step)
        gradients = [tf.convert_to_tensor(g) for g in gradients]
        figures = tf.concat([tf.stack([loss, tf.reduce_mean(nats)]), stop], 0)
        *gradients, figures = replicas.all_reduce(
            tf.distribute.ReduceOp.MEAN, [*gradients, figures]
        )
        norm = self._compiled_update(gradients, figures[0], step)
        return {"nats": figures[1], "gradient_norm": norm, "stop": figures[2:]}

    def _generator_state(self, state: Any, dtype: Any) -> Any:
        return tf.cast(replica_seed(state), dtype)

    def _uniform(self, x: Any, seed: Any) -> Any:
        """This replica's part of the numbers that one replica would draw for the global batch."""
        replicas = tf.distribute.get_replica_context()
        rows = tf.shape(x)[0]
        numbers = tf.random.stateless_uniform(
            [replicas.num_replicas_in_sync * rows, 1, 1, 1], seed=seed
        )
        start = replicas.replica_id_in_sync_group * rows
        return tf.slice(numbers, [start, 0, 0, 0], [rows, 1, 1, 1])


def _worker_number(strategy: Any) -> int:
    """Which of the workers this process is, in the order of their replicas."""
    ids: list[int] = []

    def note(context: Any) -> Any:
        ids.append(int(context.replica_id_in_sync_group))
        return tf.constant(0)

    strategy.experimental_distribute_values_from_function(note)
    return min(ids) // devices.local_replicas(strategy)


def _only_first(value: np.ndarray, first: bool) -> Any:  # noqa: FBT001
    return tf.constant(value if first else np.zeros_like(value))


def has_collectives(model: Any) -> bool:
    """Whether the model's forward pass in training averages over the global batch."""
    if getattr(model.config, "free_bits", 0.0):
        return True
    layers = (RunningMoments, keras.layers.BatchNormalization)
    return any(isinstance(layer, layers) for layer in model._flatten_layers())


def _cause(error: Exception) -> str:
    """What a collective's error says beside the lines of the program that it went through."""
    text = str(error)
    found = re.search(r"Collective ops is aborted by: (.*)", text) or re.search(
        r"^(?!Graph execution error|Detected at|  ?File|\s*$)(.+)", text, re.MULTILINE
    )
    return (found.group(1) if found else type(error).__name__).strip()[:200]


class ReplicatedRun(Run):
    """`Run` under a strategy."""

    def __init__(
        self, strategy: Any, recipe: Recipe, folder: Path, name: str, **options: Any
    ) -> None:
        self.strategy = strategy
        self.multi_worker = devices.is_multi_worker(strategy)
        self.writes = bool(strategy.extended.should_checkpoint)
        self._wish = np.zeros(2, np.float32)
        self._agreed = np.zeros(2, np.float32)
        replicas = strategy.num_replicas_in_sync
        self.workers = replicas // devices.local_replicas(strategy)
        if self.multi_worker:
            self.worker = _worker_number(strategy)
        kind = type(strategy).__name__.removesuffix("Strategy").lower()
        kind = "multi-worker" if self.multi_worker else kind
        self.hardware = f"{HARDWARE}, {replicas} replicas ({kind})"
        if recipe.sgd.batch_size % replicas:
            raise ConfigError(
                f"The global batch is divided evenly: batch_size {recipe.sgd.batch_size} is "
                f"no multiple of {replicas} replicas. Set batch_size to "
                f"{-(-recipe.sgd.batch_size // replicas) * replicas}, or take other devices."
            )
        with self._lost_workers():
            super().__init__(recipe, folder, name, **options)
            if self.multi_worker:
                self._take_from_chief()

    def _scope(self) -> contextlib.AbstractContextManager[Any]:
        scope: contextlib.AbstractContextManager[Any] = self.strategy.scope()
        return scope

    def _create_step(self) -> Any:
        whole = isinstance(self.strategy, tf.distribute.TPUStrategy)
        return ReplicatedStep(
            self.model, self.recipe, self.total_steps, self.objective, compiled_whole=whole
        )

    def _compile(self) -> None:
        def step(*arguments: Any) -> Any:
            return self.strategy.run(self.step, args=arguments)

        def nats(x: Any, context: Any) -> Any:
            return self.strategy.gather(
                self.strategy.run(self.evaluation_nats, args=(x, context)), axis=0
            )

        self._compiled_step = tf.function(step, autograph=False)
        self._compiled_nats = tf.function(nats, autograph=False, reduce_retracing=True)

    def _must_not_exist(self, state: Path) -> bool:
        return self.writes and state.exists()

    def _take_from_chief(self) -> None:
        """Every worker gets the chief's values, and must be at the chief's step.

        A start from data is rounded otherwise on other hardware, and the files of a run may not be
        the same on all machines.
        """
        steps = self.strategy.gather(
            self._from_replicas(lambda _: tf.constant([self.counters["step"]])), axis=0
        ).numpy()
        if len(set(steps.tolist())) > 1:
            raise TrainingError(
                f"The workers are at different steps: {sorted(set(steps.tolist()))}. Give all of "
                "them the same --out, on a disk that they share."
            )
        for variable in self.step.state_variables():
            value = variable.numpy()
            whole = value.dtype.kind in "iu"
            sent = value.astype(np.int64) if whole else value
            values = self._from_replicas(functools.partial(_only_first, sent))
            total = self.strategy.reduce("SUM", values, axis=None).numpy()
            variable.assign(total.astype(value.dtype))

    def _from_replicas(self, value: Callable[[bool], Any]) -> Any:
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: value(context.replica_id_in_sync_group == 0)
        )

    # The loop.

    def loop(self, *arguments: Any) -> TrainingResult:
        """As `Run.loop`; raises TrainingError where another worker is lost."""
        with self._lost_workers():
            return super().loop(*arguments)

    @contextlib.contextmanager
    def _lost_workers(self) -> Any:
        try:
            yield
        except _LOST as error:
            if not self.multi_worker:
                raise
            raise TrainingError(
                "Another worker of this training is gone, or has not answered in time. "
                f"{self._saved_text()} Start every worker again, with --resume. (TensorFlow: "
                f"{_cause(error)})"
            ) from error

    def _saved_text(self) -> str:
        if not (self.folder / STATE_FILE).exists():
            return "No state was saved yet."
        return f"The last saved state lies in {self.folder / STATE_FILE}."

    def _advance(self, x: Any, context: Any, step: int) -> tuple[float, float]:
        stop = self._from_replicas(lambda _: tf.constant(self._wish))
        result = self._compiled_step(
            devices.shards(self.strategy, x),
            devices.shards(self.strategy, context),
            tf.constant(step, tf.int32),
            stop,
        )
        values = {
            key: devices.local_value(self.strategy, value).numpy() for key, value in result.items()
        }
        self._agreed = values["stop"]
        return float(values["nats"]), float(values["gradient_norm"])

    def _ending(self, wish: str) -> str:
        """Why the run ends here; of several workers all see a wish with the step after it."""
        if not self.multi_worker:
            return wish
        if wish:
            self._wish[int(wish == TIME_LIMIT)] = 1.0
        signalled, late = (value > 0.0 for value in self._agreed)
        if signalled:
            return wish if wish.startswith("signal") else SIGNAL
        return TIME_LIMIT if late else ""

    def _mean_nats(self) -> float:
        rows, replicas = self.validation_rows, self.strategy.num_replicas_in_sync
        size = min(self.evaluation_batch_size, rows.rows)
        size = math.ceil(size / replicas) * replicas
        total = 0.0
        for start in range(0, rows.rows, size):
            # The last batch is filled up with its last row: one shape, divided evenly.
            index = np.minimum(np.arange(start, start + size), rows.rows - 1)
            index = index.reshape(self.workers, -1)[self.worker]
            nats = self._compiled_nats(
                devices.shards(self.strategy, rows.x[index]),
                devices.shards(
                    self.strategy, None if rows.context is None else rows.context[index]
                ),
            ).numpy()
            total += float(np.sum(nats[: rows.rows - start], dtype=np.float64))
        mean = total / rows.rows
        return mean if math.isfinite(mean) else math.inf

    def _record(self, reason: str) -> TrainingResult:
        if self.writes:
            return super()._record(reason)
        return result_of(
            self.folder,
            reason=reason,
            counters=self.counters,
            steps_per_epoch=self.steps_per_epoch,
        )
