"""The normalising layers of flows: their weights, and how they take them from data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from zoo.core.lazy import bijectors
from zoo.ops.row_weights import batch_moments

__all__ = ["AffineParameters", "Fit", "RunningMoments", "norm_layer"]

# What evaluating a chain's inverse also sets from the data: nothing; every data-dependent weight;
# or the moments of batch norm alone.
Fit = Literal["nothing", "all", "moments"]


@keras.saving.register_keras_serializable("zoo")
class AffineParameters(keras.layers.Layer):
    """A trainable shift and log-scale of shape `shape`, with initialisation from data.

    `initialize(x)` sets them to the mean and log standard deviation of x over all axes but the last
    ones that `shape` covers, so that (x - shift) exp(-log_scale) has mean 0 and the deviation
    `deviation` (Glow, arXiv:1807.03039, Sec. 3.1). `log_scale` is `log_scale_factor` times a
    weight: under Adam that multiplies its learning rate by the factor.
    min_deviation: what smaller deviations of x count as; with 0, what is constant keeps its scale.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        use_shift: bool = True,
        log_scale_factor: float = 1.0,
        min_deviation: float = 1e-3,
        deviation: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shape = tuple(shape)
        self.use_shift = use_shift
        self.log_scale_factor = log_scale_factor
        self.min_deviation = min_deviation
        self.deviation = deviation

    def build(self, input_shape: Any = None) -> None:
        """Creates the weights."""
        del input_shape
        self.raw_log_scale = self.add_weight(
            shape=self.shape, initializer="zeros", name="raw_log_scale"
        )
        if self.use_shift:
            self.raw_shift = self.add_weight(shape=self.shape, initializer="zeros", name="shift")
        self.built = True

    @property
    def log_scale(self) -> Any:
        """The log-scale, a tensor of shape `shape`."""
        return self.log_scale_factor * tf.convert_to_tensor(self.raw_log_scale)

    @property
    def shift(self) -> Any:
        """The shift, a tensor of shape `shape`; zeros without `use_shift`."""
        if self.use_shift:
            return tf.convert_to_tensor(self.raw_shift)
        return tf.zeros(self.shape, self.raw_log_scale.dtype)

    def initialize(self, x: Any) -> None:
        """Sets the weights from the rows x [batch, ..., *shape], in float64, by their weights."""
        mean, variance = batch_moments(tf.cast(x, tf.float64), kept=len(self.shape))
        found = tf.maximum(tf.sqrt(variance), self.min_deviation)
        epsilon = np.finfo(self.raw_log_scale.dtype).eps  # what rounding makes of a constant
        found = tf.where(found > epsilon * tf.abs(mean), found, tf.ones_like(found))
        log_scale = (tf.math.log(found) - math.log(self.deviation)) / self.log_scale_factor
        self.raw_log_scale.assign(tf.cast(log_scale, self.raw_log_scale.dtype))
        if self.use_shift:
            self.raw_shift.assign(tf.cast(mean, self.raw_shift.dtype))

    def bijector(
        self,
        event_shape: tuple[int, ...],
        *,
        training: bool = False,
        fit: Fit = "nothing",
        shift_change: Any = None,
        log_scale_change: Any = None,
    ) -> bijectors.OnePassBijector:
        """x = z exp(log_scale) + shift of events [*event_shape].

        `fit="all"` sets the weights from the data first.
        shift_change, log_scale_change: [batch, *shape], what a context adds to either; nothing at
        the start, where the weights are set.
        """
        del training  # nothing that differs there
        if fit == "all":

            def initialized(x: Any) -> tuple[Any, Any]:
                self.initialize(x)
                return self.shift, self.log_scale

            return bijectors.DataDependentAffine(
                initialized, event_shape=event_shape, name="initializing_affine"
            )
        shift = self.shift if shift_change is None else self.shift + shift_change
        log_scale = self.log_scale
        if log_scale_change is not None:
            log_scale += log_scale_change
        return bijectors.DiagonalAffine(shift, log_scale, event_shape=event_shape, name=self.name)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "shape": self.shape,
            "use_shift": self.use_shift,
            "log_scale_factor": self.log_scale_factor,
            "min_deviation": self.min_deviation,
            "deviation": self.deviation,
        }


@keras.saving.register_keras_serializable("zoo")
class RunningMoments(keras.layers.Layer):
    """log_gamma, beta (trainable) and running mean and variance of a batch norm bijector.

    Moments are those of the last axis; all other axes are averaged. Under `tf.distribute` the
    moments of the global batch are used (synchronised batch norm), of weighted rows by their
    weights. A layer whose weights are frozen keeps its running moments, and runs with them.
    """

    def __init__(
        self, num_channels: int, *, decay: float = 0.99, epsilon: float = 1e-5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_channels = num_channels
        self.decay = decay
        self.epsilon = epsilon

    def build(self, input_shape: Any = None) -> None:
        """Creates the weights."""
        del input_shape
        shape = (self.num_channels,)
        self.log_gamma = self.add_weight(shape=shape, initializer="zeros", name="log_gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.mean = self.add_weight(shape=shape, initializer="zeros", name="mean", trainable=False)
        self.variance = self.add_weight(
            shape=shape, initializer="ones", name="variance", trainable=False
        )
        self.built = True

    @property
    def frozen(self) -> bool:
        """Whether no weight is trained: the layer is then as it is in evaluation."""
        return not self.log_gamma.trainable and not self.beta.trainable

    def running_moments(self, *_: Any) -> tuple[Any, Any]:
        """(mean, variance) of the training set, as far as it has been seen."""
        return tf.convert_to_tensor(self.mean), tf.convert_to_tensor(self.variance)

    def batch_moments(self, x: Any) -> tuple[Any, Any]:
        """(mean, variance) of the batch x; the running moments move towards them.

        Not where the variance overflows: one row of such a size would stay in them for ever.
        """
        mean, variance = batch_moments(x)
        self._move(mean, variance, decay=self.decay)
        return mean, variance

    def _move(self, mean: Any, variance: Any, *, decay: float) -> None:
        finite = tf.math.is_finite(mean) & tf.math.is_finite(variance)
        for variable, value in ((self.mean, mean), (self.variance, variance)):
            moved = decay * variable + (1.0 - decay) * tf.stop_gradient(value)
            variable.assign(tf.where(finite, moved, variable))

    def initialize(self, x: Any) -> None:
        """Sets the running moments to those of the rows x, unless their variance overflows."""
        self._move(*batch_moments(x), decay=0.0)

    def bijector(
        self, event_shape: tuple[int, ...], *, training: bool = False, fit: Fit = "nothing"
    ) -> bijectors.OnePassBijector:
        """The batch norm of events [*event_shape]: batch moments in training, else running ones.

        `fit` sets the running ones from the data first; of a frozen layer "all" alone does.
        """

        def initializing_moments(x: Any) -> tuple[Any, Any]:
            self.initialize(x)
            return self.running_moments()

        moments: Callable[[Any], tuple[Any, Any]]
        if fit == "all" or (fit == "moments" and not self.frozen):
            moments = initializing_moments
        else:
            moments = self.batch_moments if training and not self.frozen else self.running_moments
        return bijectors.BatchNorm(
            moments,
            log_gamma=tf.convert_to_tensor(self.log_gamma),
            beta=tf.convert_to_tensor(self.beta),
            epsilon=self.epsilon,
            event_shape=event_shape,
            name=self.name,
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        config = super().get_config()
        return {
            **config,
            "num_channels": self.num_channels,
            "decay": self.decay,
            "epsilon": self.epsilon,
        }


def norm_layer(kind: str, size: int, dtype: Any, name: str) -> AffineParameters | RunningMoments:
    """The built weights of a "batch_norm" or an "activation_norm" of `size` channels."""
    layer: AffineParameters | RunningMoments
    if kind == "batch_norm":
        layer = RunningMoments(size, dtype=dtype, name=name)
    else:
        layer = AffineParameters((size,), dtype=dtype, name=name)
    layer.build(None)
    return layer
