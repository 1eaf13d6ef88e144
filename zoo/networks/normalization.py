"""The weights of normalising bijectors: affine parameters, running moments, whitening."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

__all__ = [
    "AffineParameters",
    "RunningMoments",
    "SeparableWhiteningMatrices",
    "WhiteningMatrix",
    "replica_mean",
]


def replica_mean(value: Any) -> Any:
    """The mean of a tensor over a strategy's replicas; of one, the tensor itself."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)


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
        """(mean, variance) of the batch x; the running moments move towards them.

        Not where the variance overflows: one row of such a size would stay in them for ever.
        """
        mean, variance = self._moments(x)
        finite = tf.math.is_finite(mean) & tf.math.is_finite(variance)
        for variable, value in ((self.mean, mean), (self.variance, variance)):
            moved = self.decay * variable + (1.0 - self.decay) * tf.stop_gradient(value)
            variable.assign(tf.where(finite, moved, variable))
        return mean, variance

    def initialize(self, x: Any) -> None:
        """Sets the running moments to those of the rows x."""
        mean, variance = self._moments(x)
        self.mean.assign(mean)
        self.variance.assign(variance)

    def _moments(self, x: Any) -> tuple[Any, Any]:
        axes = list(range(x.shape.rank - 1))
        mean, variance = tf.nn.moments(x, axes)
        whole = replica_mean(mean)
        if whole is not mean:
            variance = replica_mean(variance + tf.square(mean)) - tf.square(whole)
        return whole, variance

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
        """Fits to the rows x [batch, ...] of D numbers each, in float64."""
        mean, covariance = _moments(tf.reshape(x, [-1, self.event_size]))
        matrix, inverse_matrix, log_det = _root_of_inverse(covariance, self.epsilon)
        for variable, value in (
            (self.mean, mean),
            (self.matrix, matrix),
            (self.inverse_matrix, inverse_matrix),
            (self.log_det, log_det),
        ):
            variable.assign(tf.cast(value, variable.dtype))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "event_size": self.event_size, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable("zoo")
class SeparableWhiteningMatrices(keras.layers.Layer):
    """Mean, one symmetric whitening matrix an axis of the event, their inverses, the log-det.

    `initialize` fits the covariance S_1 x S_2 x ... x S_k, a Kronecker product, by maximum
    likelihood (Dutilleul 1999): in turn, with the others held,

        S_i = (d_i / D) E[X_i (S_1 x ... without S_i ... x S_k)**-1 X_i^T],

    X_i the rows unfolded along axis i. W_i = (S_i + eps I)**(-1/2), symmetric.
    """

    def __init__(
        self, shape: tuple[int, ...], *, epsilon: float = 1e-6, sweeps: int = 10, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.shape = tuple(shape)
        self.epsilon = epsilon
        self.sweeps = sweeps

    def build(self, input_shape: Any = None) -> None:
        """Creates the (frozen) weights: identities until `initialize`."""
        del input_shape
        self.mean = self.add_weight(
            shape=self.shape, initializer="zeros", name="mean", trainable=False
        )
        self.matrices, self.inverse_matrices = (
            [
                self.add_weight(
                    shape=(size, size), initializer="identity", name=f"{name}_{i}", trainable=False
                )
                for i, size in enumerate(self.shape)
            ]
            for name in ("matrix", "inverse_matrix")
        )
        self.log_det = self.add_weight(
            shape=(), initializer="zeros", name="log_det", trainable=False
        )
        self.built = True

    def initialize(self, x: Any) -> None:
        """Fits to the rows x [batch, *shape], in float64."""
        axes, size = range(len(self.shape)), math.prod(self.shape)
        mean, covariance = _moments(tf.reshape(x, [-1, size]))
        covariance = tf.reshape(covariance, self.shape * 2)
        rows, columns = "abcdefgh"[: len(axes)], "ABCDEFGH"[: len(axes)]
        inverses = [tf.eye(d, dtype=tf.float64) for d in self.shape]
        roots = [_root_of_inverse(inverse, 0.0) for inverse in inverses]
        for axis in list(axes) * self.sweeps:
            others = [i for i in axes if i != axis]
            pairs = ",".join([rows + columns, *(rows[i] + columns[i] for i in others)])
            factor = tf.einsum(
                f"{pairs}->{rows[axis]}{columns[axis]}", covariance, *(inverses[i] for i in others)
            )
            factor *= self.shape[axis] / size
            roots[axis] = _root_of_inverse(factor, self.epsilon)
            inverses[axis] = tf.matmul(roots[axis][0], roots[axis][0])
        self.mean.assign(tf.cast(tf.reshape(mean, self.shape), self.mean.dtype))
        log_det = tf.zeros([], tf.float64)
        for axis, (matrix, inverse_matrix, own) in enumerate(roots):
            self.matrices[axis].assign(tf.cast(matrix, self.mean.dtype))
            self.inverse_matrices[axis].assign(tf.cast(inverse_matrix, self.mean.dtype))
            log_det += own * (size / self.shape[axis])
        self.log_det.assign(tf.cast(log_det, self.mean.dtype))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "shape": self.shape,
            "epsilon": self.epsilon,
            "sweeps": self.sweeps,
        }


def _moments(x: Any) -> tuple[Any, Any]:
    """Mean [D] and covariance [D, D] of the rows x [batch, D], in float64."""
    rows = tf.cast(x, tf.float64)
    mean = tf.reduce_mean(rows, 0)
    centred = rows - mean
    count = tf.cast(tf.shape(rows)[0], tf.float64)
    return mean, tf.matmul(centred, centred, transpose_a=True) / count


def _root_of_inverse(covariance: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """W = U (S + eps I)**(-1/2) U^T of the covariance U S U^T, its inverse, log|det W|."""
    eigenvalues, vectors = tf.linalg.eigh(covariance)
    deviations = tf.sqrt(tf.maximum(eigenvalues, 0.0) + epsilon)
    return (
        tf.matmul(vectors / deviations, vectors, transpose_b=True),
        tf.matmul(vectors * deviations, vectors, transpose_b=True),
        -tf.reduce_sum(tf.math.log(deviations)),
    )
