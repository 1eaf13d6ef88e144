"""One optimisation step of a recipe: objective, gradient, clipping, Adam, weight averages."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import keras
import tensorflow as tf

from zoo.core.recipe import Recipe
from zoo.objectives import Objective
from zoo.objectives.gradient import gradients_of, guarded
from zoo.training.augmentation import augmented
from zoo.training.build import build_objective

__all__ = ["TrainingStep", "WarmupSchedule"]


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

    optimizer_classes: ClassVar[dict[str, Any]] = {
        "adam": keras.optimizers.Adam,
        "adamax": keras.optimizers.Adamax,
    }
    # By XLA, even where the network is not: a dozen elementwise passes over all weights become one.
    compiles_update: ClassVar[bool] = True

    def __init__(
        self, model: Any, recipe: Recipe, total_steps: int, objective: Objective | None = None
    ) -> None:
        """objective: the recipe's, for this model; made here where it is not given."""
        self.model = model
        self.recipe = recipe
        self.objective = objective or build_objective(recipe, model)
        settings = recipe.sgd.optimizer
        schedule = WarmupSchedule(
            settings.learning_rate,
            warmup_steps=settings.warmup_steps,
            total_steps=total_steps,
            cosine=settings.schedule == "cosine",
            final_fraction=settings.final_fraction,
        )
        self.variables = model.trainable_variables
        self.optimizer = self.optimizer_classes[settings.algorithm](
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
            if recipe.sgd.ema_decay
            else []
        )
        self._compiled_update = tf.function(
            self._update, jit_compile=self.compiles_update or None, autograph=False
        )
        self.seeds_drawn_from_step: list[Any] = [
            layer.seed_generator
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.Dropout)
        ]

    def __call__(self, x: Any, context: Any, step: Any) -> dict[str, Any]:
        """The step; `step` is an int32 scalar."""
        gradients, loss, nats = self._gradients(x, context, step)
        norm = self._compiled_update(gradients, loss, step)
        return {"nats": nats, "gradient_norm": norm}

    def _gradients(self, x: Any, context: Any, step: Any) -> tuple[list[Any], Any, Any]:
        """(gradients, loss, nats [batch]) of the rows given."""
        recipe = self.recipe
        seed = tf.stack([tf.constant(recipe.sgd.seed, tf.int32), step])
        for i, generator in enumerate(self.seeds_drawn_from_step):
            state = tf.stack([step, tf.constant((1000 * recipe.sgd.seed + i) % 2**31, tf.int32)])
            generator.state.assign(self._generator_state(state, generator.state.dtype))
        x = augmented(x, recipe.sgd.augment, seed, uniform=self._uniform)
        return gradients_of(
            self.objective,
            self.model,
            self.variables,
            x,
            context,
            seed,
            step=step,
            l2=recipe.sgd.l2,
        )

    def _generator_state(self, state: Any, dtype: Any) -> Any:
        """int32 [2], which names the draws of a layer in a step, as the generator's state."""
        return tf.cast(state, dtype)

    def _uniform(self, x: Any, seed: Any) -> Any:
        """A uniform number for each image: [batch, 1, 1, 1]."""
        return tf.random.stateless_uniform([tf.shape(x)[0], 1, 1, 1], seed=seed)

    def _update(self, gradients: list[Any], loss: Any, step: Any) -> Any:
        """Clipping, Adam and the averages; returns the gradient's norm.

        One fused pass over the weights.
        """
        recipe = self.recipe
        gradients, norm = guarded(gradients, loss, clip_norm=recipe.sgd.optimizer.clip_norm)
        self.optimizer.apply(gradients, self.variables)
        if self.averages:
            # The decay warms up, so that the first weights do not linger in the average.
            count = tf.cast(step, tf.float32)
            decay = tf.minimum(recipe.sgd.ema_decay, (1.0 + count) / (10.0 + count))
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
