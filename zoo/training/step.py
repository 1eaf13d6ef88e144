"""One optimisation step of a recipe: loss, gradient, clipping, Adam, weight averages."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import keras
import tensorflow as tf

from zoo.core.recipe import Recipe
from zoo.objectives.likelihood import l2_penalty, negative_log_likelihood
from zoo.ops.noise import binarized
from zoo.training.augmentation import patch_symmetries, shifted_images

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
        gradients, loss, nats = self._gradients(x, context, step)
        norm = self._compiled_update(gradients, loss, step)
        return {"nats": nats, "gradient_norm": norm}

    def _gradients(self, x: Any, context: Any, step: Any) -> tuple[list[Any], Any, Any]:
        """(gradients, loss, nats [batch]) of the rows given."""
        recipe = self.recipe
        seed = tf.stack([tf.constant(recipe.seed, tf.int32), step])
        for i, generator in enumerate(self.seeds_drawn_from_step):
            state = tf.stack([step, tf.constant((1000 * recipe.seed + i) % 2**31, tf.int32)])
            generator.state.assign(self._generator_state(state, generator.state.dtype))
        if recipe.horizontal_flips:
            x = tf.where(self._uniform(x, seed) < 0.5, tf.reverse(x, [2]), x)
        if recipe.shift_pixels:
            x = shifted_images(x, recipe.shift_pixels, seed)
        if recipe.patch_symmetries:
            x = patch_symmetries(x, seed)
        if recipe.dynamic_binarization:
            x = binarized(x, seed)
        with tf.GradientTape() as tape:
            nats = negative_log_likelihood(
                self.model, x, context, seed, training=True, annealing=self._annealing(step)
            )  # [batch]
            loss = tf.reduce_mean(nats)
            if recipe.l2:
                loss += l2_penalty(self.model.regularized_weights, recipe.l2)
        return tape.gradient(loss, self.variables), loss, nats

    def _generator_state(self, state: Any, dtype: Any) -> Any:
        """int32 [2], which names the draws of a layer in a step, as the generator's state."""
        return tf.cast(state, dtype)

    def _uniform(self, x: Any, seed: Any) -> Any:
        """A uniform number for each image: [batch, 1, 1, 1]."""
        return tf.random.stateless_uniform([tf.shape(x)[0], 1, 1, 1], seed=seed)

    def _annealing(self, step: Any) -> tuple[str, Any] | None:
        """(kind, beta) at this step, or None where the recipe has no annealing."""
        recipe = self.recipe
        if not recipe.annealing_steps:
            return None
        start = 0.01 if recipe.annealing == "joint" else 0.0
        progress = tf.cast(step, tf.float32) / recipe.annealing_steps
        return recipe.annealing, tf.minimum(1.0, start + progress)

    def _update(self, gradients: list[Any], loss: Any, step: Any) -> Any:
        """Clipping, Adam and the averages; returns the gradient's norm.

        One fused pass over the weights.
        """
        recipe = self.recipe
        clip = recipe.optimizer.clip_norm
        norm = _global_norm(gradients) if clip else tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(norm) & tf.math.is_finite(loss)
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


def _global_norm(gradients: list[Any]) -> Any:
    """sqrt(sum g**2), also where the squares overflow: max|g| sqrt(sum (g / max|g|)**2).

    One row far out of a flow's range has a finite gradient of 1e20 and more, which clipping is for;
    its square is beyond float32.
    """
    norm = tf.linalg.global_norm(gradients)
    largest = tf.reduce_max(tf.stack([tf.reduce_max(tf.abs(g)) for g in gradients]))
    scaled = largest * tf.linalg.global_norm([g / largest for g in gradients])
    return tf.where(tf.math.is_finite(norm), norm, scaled)
