"""Maximum likelihood in Keras' own terms: `compile`, `fit`, `evaluate`, and their saving."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from zoo.core.checks import EVALUATION_SEED, unpacked
from zoo.errors import InvalidInputError
from zoo.ops.units import bits_per_dim_from_nats

__all__ = ["MaximumLikelihood"]

_UNUSED = ("loss_weights", "metrics", "weighted_metrics")  # of Keras' compile


class MaximumLikelihood(keras.Model):
    """A Keras model that `fit` trains on x, or (x, context), by its own density.

    Subclasses have `config`, `score`, `checked_data` and `checked_context`, as
    `zoo.kinds.base.ZooModel` has.
    """

    config: Any

    def _create_training_state(self) -> None:
        self._objective: Callable[..., Any] | None = None
        self._frozen_paths: tuple[str, ...] = ()
        self._loss_tracker_nats = keras.metrics.Mean(name="loss")
        self.noise_seed = keras.random.SeedGenerator(seed=0, name="noise_seed")

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
        """What `compile` was called with, for Keras' saving."""
        optimizer = getattr(self, "optimizer", None)
        if optimizer is None:
            return {}
        config = {"optimizer": keras.saving.serialize_keras_object(optimizer)}
        return {**config, "frozen": list(self._frozen_paths)} if self._frozen_paths else config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles with `get_compile_config`'s output."""
        if config:
            self._freeze(config.get("frozen", ()))
            self.compile(keras.saving.deserialize_keras_object(config["optimizer"]))
            self.optimizer.build(self.trainable_variables)

    def compile(self, optimizer: Any = "adam", *, loss: Any = None, **kwargs: Any) -> None:
        """Keras' compile; `loss`, `metrics` and the weights of both must stay None.

        The loss is the model's own, -log_prob in nats, and the only metric.
        """
        if loss is not None:
            raise InvalidInputError(
                f"{type(self).__name__} trains by maximum likelihood, -log_prob, and takes no "
                f"loss; got {loss!r}."
            )
        if unused := [key for key in _UNUSED if kwargs.get(key)]:
            raise InvalidInputError(
                f"{type(self).__name__} reports its loss and bits_per_dim, nothing else: leave out "
                f"{', '.join(unused)}."
            )
        super().compile(optimizer=optimizer, **kwargs)

    @property
    def metrics(self) -> list[Any]:
        """The loss in nats; Keras resets it every epoch."""
        return [self._loss_tracker_nats]

    def learn_from(self, objective: Callable[..., Any]) -> None:
        """Sets what `fit` and `zoo train` minimise, in place of -log_prob.

        objective: (model, x, context, seed) -> [batch] nats, such as
        `zoo.objectives.distillation.DistillationLoss` and `zoo.objectives.reverse_kl.ReverseKL`;
        one that a recipe anneals takes `annealing` as well.
        """
        self._objective = objective

    def _loss_nats(
        self, x: Any, context: Any, seed: Any, *, training: bool, annealing: Any = None
    ) -> Any:
        """What training minimises, [batch]: -log_prob, where a model has no other objective.

        annealing: (kind, beta) of an objective that a recipe anneals.
        """
        if self._objective is not None:
            annealed = {} if annealing is None else {"annealing": annealing}
            return self._objective(self, x, context, seed, **annealed)
        return -self.score(x, context, seed, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of maximum likelihood on x, or (x, context)."""
        x, context = self._rows(data)
        seed = self._next_noise_seed()
        with tf.GradientTape() as tape:
            nats = self._loss_nats(x, context, seed, training=True)  # [batch]
            loss = tf.reduce_mean(nats) / tf.distribute.get_strategy().num_replicas_in_sync
            loss = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        # A step that is not finite shows in the history and leaves the weights finite: no gradient.
        # A loss that is scaled has to overflow at times, and its optimizer passes over such steps.
        if not isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            finite = tf.math.is_finite(loss) & tf.math.is_finite(tf.linalg.global_norm(gradients))
            gradients = [tf.where(finite, g, tf.zeros_like(g)) for g in gradients]
        self.optimizer.apply(gradients, variables)
        self._loss_tracker_nats.update_state(nats)
        return self._results()

    def _next_noise_seed(self) -> Any:
        """int32 [2], another one at every step: training sees new dequantisation noise."""
        seed = tf.cast(tf.reshape(self.noise_seed.next(), [-1])[:2], tf.int64)
        return tf.cast(tf.bitwise.bitwise_and(seed, 0x7FFFFFFF), tf.int32)

    def test_step(self, data: Any) -> dict[str, Any]:
        """The mean of -log_prob in nats."""
        x, context = self._rows(data)
        seed = tf.constant(EVALUATION_SEED, tf.int32)
        self._loss_tracker_nats.update_state(self._loss_nats(x, context, seed, training=False))
        return self._results()

    def _results(self) -> dict[str, Any]:
        loss = self._loss_tracker_nats.result()
        return {"loss": loss, "bits_per_dim": bits_per_dim_from_nats(-loss, self.config.event_size)}

    def _rows(self, data: Any) -> tuple[Any, Any]:
        x, context = unpacked(data, conditional=bool(self.config.context_size))
        return self.checked_data(x), self.checked_context(context, rows=None)
