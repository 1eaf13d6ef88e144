"""Probability density distillation: a student that speaks as its teacher would (arXiv:1711.10433).

    KL(P_S | P_T) = sum_t E[H(P_S(x_t | z_<t), P_T(x_t | x_<t)) - H(P_S(x_t | z_<t))]     (Eq. 6-10)

x is the student's own clip of noise z. The entropy has a closed form; the cross-entropy is averaged
over several draws of x_t for the same past, so that one pass of the teacher serves them all.
Between two Gaussians the whole term has a closed form (ClariNet, arXiv:1807.07281, Sec. 3.2), which
is the stabler loss. To it come, each with a weight, 0 to leave it out:

    contrastive   - gamma KL(P_S(c_1) | P_T(c_2)), c_2 another label            (Sec. 4.4)
    power         |phi(x) - phi(y)|^2, y a real clip of the same label          (Sec. 4.1)
    spectral      |S(x) - S(y)|, S the log-spectra of both, frame by frame (after ClariNet's Eq. 9)
    perceptual    squared differences of the Gram matrices of a classifier's features of x and y
                  (Sec. 4.2; `zoo.objectives.perceptual`)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from zoo.core.capabilities import capabilities_of
from zoo.core.objective import Distillation
from zoo.errors import ConfigError
from zoo.objectives import perceptual
from zoo.objectives.base import Objective
from zoo.ops import audio_losses
from zoo.ops.noise import replica_seed

__all__ = ["DistillationLoss"]


class DistillationLoss(Objective):
    """The loss of a student against a frozen teacher, in nats a clip.

    settings: the terms and their weights.   teacher: a `WaveNet` of 16-bit samples.
    features: the classifier of the perceptual term; the package's without.
    Raises ConfigError where the closed form is asked for of other than Gaussians, for teachers that
    are no WaveNets, and for a contrastive term of a teacher without two labels.
    """

    def __init__(self, settings: Distillation, teacher: Any, *, features: Any = None) -> None:
        if "Steps" not in capabilities_of(teacher):
            raise ConfigError(f"A teacher must be a WaveNet; {teacher.name} is none.")
        if settings.contrastive and teacher.config.context_size < 2:
            raise ConfigError(
                f"The contrastive term needs a teacher of several labels; {teacher.name} has "
                f"{teacher.config.context_size}. Set contrastive to 0."
            )
        self.settings = settings
        self.teacher = teacher
        teacher.trainable = False
        if settings.perceptual and features is None:
            features = perceptual.load_features()
        self.features = features
        if settings.divergence == "gaussian" and teacher.config.output != "gaussian":
            raise ConfigError(
                "divergence='gaussian' needs a teacher with output='gaussian'; got "
                f"{teacher.config.output!r}. Use divergence='sampled'."
            )

    @classmethod
    def of(
        cls, settings: Distillation, model: Any, *, load: Callable[[str], Any], **unused: Any
    ) -> DistillationLoss:
        """With the published teacher. Raises ConfigError where their clips' lengths differ."""
        del unused
        teacher = load(settings.teacher)
        durations = [getattr(m.config, "num_durations", 0) for m in (teacher, model)]
        if durations[0] != durations[1]:
            raise ConfigError(
                f"num_durations of {teacher.name} and {model.name} must be the same; "
                f"got {durations}."
            )
        return cls(settings, teacher)

    def start(self, model: Any) -> None:
        """Gives a fresh student the conditioner of its teacher, unless they differ in size.

        The teacher has learned what a word is made of when; the student's networks need only learn
        to say it.
        """
        if model.conditioner is None or self.teacher.conditioner is None:
            return
        fresh, learned = model.conditioner.weights, self.teacher.conditioner.weights
        if [(w.name, w.shape) for w in fresh] != [(w.name, w.shape) for w in learned]:
            return
        for target, value in zip(fresh, learned, strict=True):
            target.assign(tf.cast(value, target.dtype))

    def __call__(
        self,
        model: Any,
        x: Any,
        context: Any,
        seed: Any,
        *,
        step: Any = None,
        training: bool = False,
    ) -> Any:
        """Loss [batch]. x: real clips int16 [batch, T] of the labels.   seed: int32 [2]."""
        del step, training  # a student has neither dropout nor batch moments
        return tf.add_n(list(self.terms(model, x, context, seed).values()))

    def terms(self, student: Any, x: Any, context: Any, seed: Any) -> dict[str, Any]:
        """Every term with its weight applied: {name: [batch] nats}."""
        settings, base = self.settings, student.config.base
        if settings.divergence == "gaussian" and base != "normal":
            raise ConfigError(
                f"divergence='gaussian' needs a student with base='normal'; got {base!r}."
            )
        seeds = tf.unstack(tf.random.split(replica_seed(seed), 3))
        noise = base_noise(base, tf.shape(x), seeds[0], student.compute_dtype)
        noise.set_shape(x.shape)  # no op: XLA makes a dynamic size of tf.ensure_shape
        draw = student.draw(noise, context)
        terms = {"kl": self.divergence(draw, context, base, seeds[1])}
        if settings.contrastive:
            others = self._other_labels(context, seeds[2])
            terms["contrastive"] = -settings.contrastive * self.divergence(
                draw, others, base, seeds[1]
            )
        real = tf.cast(x, draw.x.dtype) / 2.0**15
        if settings.power:
            power = audio_losses.power_loss(draw.x, real)
            terms["power"] = settings.power * tf.cast(power, draw.x.dtype)
        if settings.spectral:
            spectral = audio_losses.spectral_loss(draw.x, real)
            terms["spectral"] = settings.spectral * tf.cast(spectral, draw.x.dtype)
        if settings.perceptual:
            styles = [
                audio_losses.style_loss(made, true)
                for made, true in zip(
                    perceptual.feature_maps(self.features, draw.x),
                    perceptual.feature_maps(self.features, real),
                    strict=True,
                )
            ]
            terms["perceptual"] = settings.perceptual * tf.cast(tf.add_n(styles), draw.x.dtype)
        return terms

    def divergence(self, draw: Any, context: Any, base: str, seed: Any) -> Any:
        """KL(P_S | P_T(. | context)) along the student's clip, summed over time: [batch] nats."""
        settings, output = self.settings, self.teacher.output_distribution
        parameters = self.teacher.parameters_of_floats(draw.x, context)
        if settings.divergence == "gaussian":
            steps = audio_losses.regularised_gaussian_kl(
                draw.mean,
                draw.log_scale,
                *output.mean_and_log_scale(parameters),
                floor=settings.log_scale_floor,
                weight=settings.scale_weight,
            )
            return tf.reduce_sum(steps, -1)
        shape = tf.concat([[settings.num_samples], tf.shape(draw.x)], 0)
        noise = base_noise(base, shape, seed, draw.x.dtype)
        samples = draw.mean + tf.exp(draw.log_scale) * noise  # [K, batch, T]
        cross_entropy = -tf.reduce_mean(output.log_density(parameters, samples), 0)
        return tf.reduce_sum(cross_entropy - audio_losses.base_entropy(draw.log_scale, base), -1)

    def _other_labels(self, context: Any, seed: Any) -> Any:
        """Another label for each row: uniform over all but its own."""
        size = self.teacher.config.context_size
        labels = context if context.shape.rank == 1 else context[:, 0]
        step = tf.random.stateless_uniform(
            tf.shape(labels), seed, minval=1, maxval=size, dtype=labels.dtype
        )
        others = (labels + step) % size
        return others if context.shape.rank == 1 else tf.stack([others, context[:, 1]], -1)


def base_noise(base: str, shape: Any, seed: Any, dtype: Any) -> Any:
    """Standard noise of the student's base: "logistic" or "normal"."""
    if base == "normal":
        return tf.random.stateless_normal(shape, seed, dtype=dtype)
    uniform = tf.random.stateless_uniform(shape, seed, minval=1e-6, maxval=1.0 - 1e-6, dtype=dtype)
    return tf.math.log(uniform) - tf.math.log1p(-uniform)
