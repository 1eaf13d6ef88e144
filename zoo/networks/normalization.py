"""The weights of normalising bijectors: per-channel affine parameters and running moments."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["AffineParameters", "RunningMoments", "WhiteningMatrix"]


@keras.saving.register_keras_serializable("zoo")
class AffineParameters(keras.layers.Layer):
    """A trainable shift and log-scale of shape `shape`, with initialisation from data.

    `initialize(x)` sets them to the mean and log standard deviation of x over all axes but the last
    ones that `shape` covers, so that (x - shift) exp(-log_scale) has mean 0 and deviation 1 (Glow,
    arXiv:1807.03039, Sec. 3.1). `log_scale` is `log_scale_factor` times a weight: under Adam that
    multiplies its learning rate by the factor.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        use_shift: bool = True,
        log_scale_factor: float = 1.0,
        min_deviation: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shape = tuple(shape)
        self.use_shift = use_shift
        self.log_scale_factor = log_scale_factor
        self.min_deviation = min_deviation

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
        """Sets the weights from the rows x [batch, ..., *shape]."""
        axes = list(range(x.shape.rank - len(self.shape)))
        mean, variance = tf.nn.moments(x, axes)
        deviation = tf.maximum(tf.sqrt(variance), self.min_deviation)
        self.raw_log_scale.assign(tf.math.log(deviation) / self.log_scale_factor)
        if self.use_shift:
            self.raw_shift.assign(mean)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "shape": self.shape,
            "use_shift": self.use_shift,
            "log_scale_factor": self.log_scale_factor,
            "min_deviation": self.min_deviation,
        }


@keras.saving.register_keras_serializable("zoo")
class RunningMoments(keras.layers.Layer):
    """log_gamma, beta (trainable) and running mean and variance of a batch norm bijector.

    Moments are those of the last axis; all other axes are averaged. Under `tf.distribute` the
    moments of the global batch are used (synchronised batch norm).
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

    def running_moments(self, *_: Any) -> tuple[Any, Any]:
        """(mean, variance) of the training set, as far as it has been seen."""
        return tf.convert_to_tensor(self.mean), tf.convert_to_tensor(self.variance)

    def batch_moments(self, x: Any) -> tuple[Any, Any]:
        """(mean, variance) of the batch x; the running moments move towards them."""
        mean, variance = self._moments(x)
        for variable, value in ((self.mean, mean), (self.variance, variance)):
            variable.assign(self.decay * variable + (1.0 - self.decay) * tf.stop_gradient(value))
        return mean, variance

    def initialize(self, x: Any) -> None:
        """Sets the running moments to those of the rows x."""
        mean, variance = self._moments(x)
        self.mean.assign(mean)
        self.variance.assign(variance)

    def _moments(self, x: Any) -> tuple[Any, Any]:
        axes = list(range(x.shape.rank - 1))
        mean, variance = tf.nn.moments(x, axes)
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            square = context.all_reduce(tf.distribute.ReduceOp.MEAN, variance + tf.square(mean))
            mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
            variance = square - tf.square(mean)
        return mean, variance

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        config = super().get_config()
        return {
            **config,
            "num_channels": self.num_channels,
            "decay": self.decay,
            "epsilon": self.epsilon,
        }


@keras.saving.register_keras_serializable("zoo")
class WhiteningMatrix(keras.layers.Layer):
    """Mean, ZCA matrix, its inverse and its log-determinant.

    `initialize` fits them to the training rows.
    W = U (S + eps I)**(-1/2) U^T of the covariance U S U^T; eps keeps constant directions finite.
    """

    def __init__(self, event_size: int, *, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.event_size = event_size
        self.epsilon = epsilon

    def build(self, input_shape: Any = None) -> None:
        """Creates the (frozen) weights: the identity until `initialize`."""
        del input_shape
        square, size = (self.event_size, self.event_size), (self.event_size,)
        self.mean = self.add_weight(shape=size, initializer="zeros", name="mean", trainable=False)
        self.matrix = self.add_weight(
            shape=square, initializer="identity", name="matrix", trainable=False
        )
        self.inverse_matrix = self.add_weight(
            shape=square, initializer="identity", name="inverse_matrix", trainable=False
        )
        self.log_det = self.add_weight(
            shape=(), initializer="zeros", name="log_det", trainable=False
        )
        self.built = True

    def initialize(self, x: Any) -> None:
        """Fits to the rows x [batch, D], in float64."""
        rows = tf.cast(x, tf.float64)
        mean = tf.reduce_mean(rows, 0)
        centred = rows - mean
        covariance = tf.matmul(centred, centred, transpose_a=True) / tf.cast(
            tf.shape(rows)[0], tf.float64
        )
        eigenvalues, vectors = tf.linalg.eigh(covariance)
        deviations = tf.sqrt(tf.maximum(eigenvalues, 0.0) + self.epsilon)
        for variable, value in (
            (self.mean, mean),
            (self.matrix, tf.matmul(vectors / deviations, vectors, transpose_b=True)),
            (self.inverse_matrix, tf.matmul(vectors * deviations, vectors, transpose_b=True)),
            (self.log_det, -tf.reduce_sum(tf.math.log(deviations))),
        ):
            variable.assign(tf.cast(value, variable.dtype))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "event_size": self.event_size, "epsilon": self.epsilon}
