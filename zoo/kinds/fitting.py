"""Training in Keras' own terms: `compile`, `fit`, `evaluate`, and their saving."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from zoo.core.checks import EVALUATION_SEED, checked_arrays, checked_weights, unpacked
from zoo.core.encoding import frames_encoded, names_of
from zoo.errors import InvalidInputError
from zoo.kinds.arguments import as_arrays
from zoo.kinds.compiled import FIT_COMPILING_SECONDS, fit_seconds, suits_xla
from zoo.kinds.predicting import Predicting
from zoo.kinds.starting import small_weights, started
from zoo.kinds.weighting import check_rows, named, with_weights
from zoo.objectives import NegativeLogLikelihood, Objective
from zoo.objectives.gradient import gradients_of, guarded, nats_of
from zoo.ops.units import bits_per_dim_from_nats

__all__ = ["Fitting"]

_UNUSED = ("loss_weights", "metrics", "weighted_metrics")  # of Keras' compile


class Fitting(Predicting):
    """A Keras model that `fit` trains on x, or (x, context), by an objective, or by its own.

    Subclasses have `config`, `score`, `checked_data` and `checked_context`, as
    `zoo.kinds.model.ZooModel` has.
    """

    config: Any
    conditioner_dtype: str
    data: Any
    context: Any
    release: Any
    column_names: tuple[str, ...]
    jit_compile: bool

    def _create_training_state(self) -> None:
        self._objective: Objective | None = None
        self._frozen_paths: tuple[str, ...] = ()
        self._loss_tracker_nats = keras.metrics.Mean(name="loss")
        self.noise_seed = keras.random.SeedGenerator(seed=0, name="noise_seed")
        self.note_start()

    def note_start(self) -> None:
        """Takes the weights as they are for those of a fresh model, which `fit` adapts."""
        with tf.init_scope():  # they have values even where the model is made in a graph
            self._start = tuple(small_weights(self)) if tf.executing_eagerly() else None

    @property
    def is_fresh(self) -> bool:
        """Whether nothing has set the weights, neither data nor training nor a file."""
        if self._start is None or not tf.executing_eagerly():
            return False
        return all(map(np.array_equal, small_weights(self), self._start))

    def freeze(self, pattern: str) -> list[str]:
        """Keeps some weights as they are in training; returns their paths.

        Before `compile`; a compiled model is saved with it.

        pattern: a regular expression, searched in each weight's path, "coupling_0/hidden_1/kernel".
        Raises InvalidInputError for no regular expression, one that is found in no trainable
        weight's path, and one that leaves nothing to train.
        """
        try:
            found = [v for v in self.trainable_variables if re.search(pattern, v.path)]
        except re.error as error:
            raise InvalidInputError(
                f"Expected a regular expression; got {pattern!r} ({error})."
            ) from error
        if not found or len(found) == len(self.trainable_variables):
            some = ", ".join(v.path for v in self.trainable_variables[:3])
            raise InvalidInputError(
                f"{pattern!r} is found in {'all' if found else 'none'} of the trainable weights' "
                f"paths, such as {some}: expected one that is found in some of them."
            )
        self._freeze(v.path for v in found)
        return [v.path for v in found]

    def _freeze(self, paths: Iterable[str]) -> None:
        self._frozen_paths = (*self._frozen_paths, *paths)
        for variable in self.trainable_variables:
            if variable.path in self._frozen_paths:
                variable.trainable = False

    def get_compile_config(self) -> dict[str, Any]:
        """What `compile` was called with, for Keras' saving; {} with an objective of its own."""
        optimizer = getattr(self, "optimizer", None)
        if optimizer is None or self._objective is not None:  # which may hold another model
            return {}
        config = {"optimizer": keras.saving.serialize_keras_object(optimizer)}
        return {**config, "frozen": list(self._frozen_paths)} if self._frozen_paths else config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles with `get_compile_config`'s output."""
        if config:
            self._freeze(config.get("frozen", ()))
            self.compile(keras.saving.deserialize_keras_object(config["optimizer"]))
            self.optimizer.build(self.trainable_variables)

    def compile(
        self,
        optimizer: Any = "adam",
        *,
        objective: Objective | None = None,
        loss: Any = None,
        jit_compile: bool | Literal["auto"] = "auto",
        **kwargs: Any,
    ) -> None:
        """Keras' compile; `loss`, `metrics` and the weights of both must stay None.

        objective: what `fit` and `evaluate` minimise, in nats per row, such as
            `zoo.objectives.distillation.DistillationLoss` or
            `zoo.objectives.reverse_kl.ReverseKL`; without, the model's own (`default_objective`).
            A model that is saved with an objective is loaded without its optimizer.
        jit_compile: whether steps are compiled by XLA. "auto" is decided by each `fit`: on a CPU,
            dense networks in full precision are where that pays, by an estimate of all steps so
            far (`zoo.kinds.compiled`); with an accelerator it is Keras' choice.
        Raises InvalidInputError for a loss, which has no rows of a density, and for metrics.
        """
        if loss is not None:
            raise InvalidInputError(
                f"{type(self).__name__} trains by maximum likelihood, -log_prob, and takes no "
                f"loss; got {loss!r}."
            )
        if objective is not None and not isinstance(objective, Objective):
            raise InvalidInputError(f"objective must be one of zoo.objectives; got {objective!r}.")
        if unused := [key for key in _UNUSED if kwargs.get(key)]:
            raise InvalidInputError(
                f"{type(self).__name__} reports its loss and bits_per_dim, nothing else: leave out "
                f"{', '.join(unused)}."
            )
        self._objective = objective
        self._jit_by_rule = jit_compile == "auto" and not tf.config.list_physical_devices("GPU")
        self._seconds_fitted = 0.0
        chosen = False if self._jit_by_rule else jit_compile
        super().compile(optimizer=optimizer, jit_compile=chosen, **kwargs)

    def fit(self, *args: Any, adapt: bool = True, **kwargs: Any) -> Any:
        """Keras' fit of x, or x and labels y; sample_weight and class_weight count rows.

        x may be a data frame: its columns' names are then those of the model (`column_names`), and
        later frames have their columns taken by name.
        A fresh model, which nothing was loaded into and which was neither trained nor adapted,
        starts from its data: `adapt` on the first of its rows, of arrays on rows from all over.
        Batch norm is evaluated with the moments of these rows, measured anew after every epoch.
        adapt: False starts with the weights as they are.
        A row of weight k counts as that row given k times: each step's loss is
        sum(w nats) / sum(w) over its global batch, and the history's over the epoch.
        class_weight: of a label, {label: weight}, 1 for the others.
        Raises InvalidInputError for weights that are not one a row, finite and >= 0, for class
        weights where there are no labels, and for masked arrays; warns of digits that x loses.
        """
        x = named(keras.Model.fit, args, kwargs).get("x")
        names = names_of(x[0] if isinstance(x, tuple) else x)
        if not self.column_names and len(names) == self.data.size:
            self.column_names = names
        arguments = self._honoured(keras.Model.fit, args, kwargs)
        self._train_on()
        self._choose_program(arguments)
        with (
            self._started_afresh_after_errors(),
            started(self, arguments, adapt=adapt) as arguments,
        ):
            return super().fit(**arguments)

    def _choose_program(self, arguments: dict[str, Any]) -> None:
        """Goes over to XLA where that pays for the fits so far and this one."""
        if not self.compiled or not self._jit_by_rule or self.run_eagerly:
            return
        if self.jit_compile:
            self._check_before(arguments)
            return
        self._seconds_fitted += fit_seconds(arguments, self.count_params())
        if (
            self._seconds_fitted >= FIT_COMPILING_SECONDS
            and suits_xla(self.weights, self.conditioner_dtype)
            and self.distribute_strategy.num_replicas_in_sync == 1
        ):
            self.jit_compile = True
            self.train_function = self.test_function = self.predict_function = None
            self._check_before(arguments)

    def _check_before(self, arguments: dict[str, Any]) -> None:
        """Checks rows that are given: XLA drops the assertions of a step."""
        x, held_out = arguments.get("x"), arguments.get("validation_data")
        if isinstance(x, tf.data.Dataset):
            arguments["x"] = x.map(self._asserted)
        elif hasattr(x, "shape"):
            self._batch((x, arguments.get("y"), arguments.get("sample_weight")))
        if isinstance(held_out, tf.data.Dataset):
            arguments["validation_data"] = held_out.map(self._asserted)
        elif hasattr(held_out, "shape") or isinstance(held_out, tuple):
            self._batch(held_out)

    def _asserted(self, *parts: Any) -> Any:
        """An element of a dataset, after the assertions of its checks."""
        element = parts if len(parts) > 1 else parts[0]
        checked = [tensor for tensor in self._batch(element) if tensor is not None]
        with tf.control_dependencies(checked):
            return tf.nest.map_structure(tf.identity, element)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Keras' evaluate; with sample_weight the mean is sum(w nats) / sum(w) over all rows."""
        return super().evaluate(**self._honoured(keras.Model.evaluate, args, kwargs))

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Keras' train_on_batch; weights as in `fit`."""
        arguments = self._honoured(keras.Model.train_on_batch, args, kwargs)
        self._train_on()
        with self._started_afresh_after_errors():
            return super().train_on_batch(**arguments)

    @contextlib.contextmanager
    def _started_afresh_after_errors(self) -> Iterator[None]:
        """A step whose first trace failed could not make the optimizer's variables in a second."""
        try:
            yield
        except Exception:
            self.train_function = None
            raise

    def _train_on(self) -> None:
        """The weights will no longer be those of a release."""
        self.release = self.release and self.release.trained_on()

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Keras' test_on_batch; weights as in `evaluate`."""
        return super().test_on_batch(**self._honoured(keras.Model.test_on_batch, args, kwargs))

    def _honoured(self, method: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        arguments = named(method, args, kwargs)
        arguments = frames_encoded(arguments, self.data, self.context, self.column_names)
        arguments = as_arrays(arguments, method.__name__, conditional=self.context is not None)
        # Keras' adapters drop masks and cast without a word.
        others = (value for name, value in arguments.items() if name != "x")
        checked_arrays(self.data.dtype, arguments.get("x"), *others)
        arguments = with_weights(arguments, labels=self.config.context_size)
        if not arguments.get("_use_cached_eval_dataset"):  # of a fit that has checked them
            may_miss = any(column.missing for column in self.data.columns)
            check_rows(arguments, may_miss=may_miss)
        return arguments

    def default_objective(self) -> Objective:
        """What the model minimises where nothing else is asked for: -log p."""
        return NegativeLogLikelihood()

    @property
    def objective(self) -> Objective:
        """What `fit` minimises: that of `compile`, else the model's own."""
        return self._objective or self.default_objective()

    def observe(self, x: Any, context: Any) -> None:
        """Keeps what a model knows of its rows beside trained weights; nothing here.

        For models that do not start from the data: `adapt` does it for fresh ones.
        """
        del x, context

    def context_of_rows(self, x: Any, context: Any) -> Any:
        """The context of rows that are learnt from: what the rows say of it joins the labels."""
        del x
        return context

    @property
    def metrics(self) -> list[Any]:
        """The loss in nats; Keras resets it every epoch."""
        return [self._loss_tracker_nats]

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of the objective on x, (x, context) or (x, context or None, weights).

        As a recipe's run takes it; the loss is sum(w nats) / sum(w) over the global batch.

        The noise is named by (0, step), step the optimizer's; a step that is not finite shows in
        the history and leaves the weights as they are.
        """
        x, context, weights = self._batch(data)
        step = tf.cast(self.optimizer.iterations, tf.int32)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        gradients, loss, nats = gradients_of(
            self.objective,
            self,
            self.trainable_variables,
            x,
            context,
            tf.stack([tf.constant(0), step]),
            step=step,
            weights=weights,
            scaled=lambda loss: self.optimizer.scale_loss(loss / replicas),
        )
        # A loss that is scaled has to overflow at times; its optimizer passes over such steps.
        if not isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            gradients, _ = guarded(gradients, loss)
        self.optimizer.apply(gradients, self.trainable_variables)
        self._track(nats, weights)
        return self._results()

    def _next_noise_seed(self) -> Any:
        """int32 [2], another one at every step: training sees new dequantisation noise."""
        seed = tf.cast(tf.reshape(self.noise_seed.next(), [-1])[:2], tf.int64)
        return tf.cast(tf.bitwise.bitwise_and(seed, 0x7FFFFFFF), tf.int32)

    def test_step(self, data: Any) -> dict[str, Any]:
        """The mean of the objective in nats, of weighted rows sum(w nats) / sum(w)."""
        x, context, weights = self._batch(data)
        seed = tf.constant(EVALUATION_SEED, tf.int32)
        self._track(nats_of(self.objective, self, x, context, seed), weights)
        return self._results()

    def _track(self, nats: Any, weights: Any) -> None:
        if weights is not None:  # a row that does not count may be anything
            nats = tf.where(weights > 0.0, nats, tf.zeros_like(nats))
        self._loss_tracker_nats.update_state(nats, weights)

    def _results(self) -> dict[str, Any]:
        loss = self._loss_tracker_nats.result()
        return {"loss": loss, "bits_per_dim": bits_per_dim_from_nats(-loss, self.config.event_size)}

    def _batch(self, data: Any) -> tuple[Any, Any, Any]:
        """(x, context, weights or None) of an element, checked."""
        x, given, weights = unpacked(data, conditional=self.context is not None)
        x, context = self._rows(x, given)
        return x, context, checked_weights(weights, x.shape[0], self.compute_dtype)

    def _rows(self, x: Any, context: Any) -> tuple[Any, Any]:
        return self.checked_data(x), self.checked_context(context, rows=None)
