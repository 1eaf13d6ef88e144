"""The whitening of a model's preprocessing: layers that are fitted to data, and frozen."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from zoo.core.lazy import bijectors, tfb
from zoo.layers.norms import AffineParameters
from zoo.ops.row_weights import batch_mean, row_shares

__all__ = ["SeparableWhiteningMatrices", "WhiteningMatrix", "whitening_layer"]


@keras.saving.register_keras_serializable("zoo")
class WhiteningMatrix(keras.layers.Layer):
    """Mean, ZCA matrix, its inverse and its log-determinant.

    `initialize` fits them to the training rows.
    W = U (S + eps I)**(-1/2) U^T of the covariance U S U^T; eps keeps constant directions finite.
    standardised: W V**(-1/2), W of the correlations and V the columns' variances, which may be of
    any scales (ZCA-cor; Kessy, Lewin & Strimmer 2018, arXiv:1512.00809).
    """

    def __init__(
        self,
        event_size: int,
        *,
        epsilon: float = 1e-6,
        standardised: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.event_size = event_size
        self.epsilon = epsilon
        self.standardised = standardised

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
        scales = tf.ones_like(mean)
        if self.standardised:
            variances = tf.linalg.diag_part(covariance)
            scales = tf.sqrt(tf.where(variances > 0.0, variances, tf.ones_like(variances)))
            covariance /= scales[:, None] * scales
        matrix, inverse_matrix, log_det = _root_of_inverse(covariance, self.epsilon)
        matrix, inverse_matrix = matrix / scales, scales[:, None] * inverse_matrix
        log_det -= tf.reduce_sum(tf.math.log(scales))
        for variable, value in (
            (self.mean, mean),
            (self.matrix, matrix),
            (self.inverse_matrix, inverse_matrix),
            (self.log_det, log_det),
        ):
            variable.assign(tf.cast(value, variable.dtype))

    def bijector(self, event_shape: tuple[int, ...]) -> tfb.Bijector:
        """From model space to data [*event_shape] forward."""
        return bijectors.ZCAWhitening(
            mean=tf.convert_to_tensor(self.mean),
            matrix=tf.convert_to_tensor(self.matrix),
            inverse_matrix=tf.convert_to_tensor(self.inverse_matrix),
            log_det=tf.convert_to_tensor(self.log_det),
            event_shape=event_shape,
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "event_size": self.event_size,
            "epsilon": self.epsilon,
            "standardised": self.standardised,
        }


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

    def bijector(self, event_shape: tuple[int, ...]) -> tfb.Bijector:
        """From model space to data [*event_shape], the layer's shape, forward."""
        del event_shape
        return bijectors.SeparableWhitening(
            mean=tf.convert_to_tensor(self.mean),
            matrices=[tf.convert_to_tensor(matrix) for matrix in self.matrices],
            inverse_matrices=[tf.convert_to_tensor(matrix) for matrix in self.inverse_matrices],
            log_det=tf.convert_to_tensor(self.log_det),
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "shape": self.shape,
            "epsilon": self.epsilon,
            "sweeps": self.sweeps,
        }


def _moments(x: Any) -> tuple[Any, Any]:
    """Mean [D] and covariance [D, D] of the rows x [batch, D] by their weights, in float64."""
    rows = tf.cast(x, tf.float64)
    mean = batch_mean(rows)
    centred = rows - mean
    return mean, tf.matmul(centred, row_shares(centred), transpose_a=True)


def _root_of_inverse(covariance: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """W = U (S + eps I)**(-1/2) U^T of the covariance U S U^T, its inverse, log|det W|."""
    eigenvalues, vectors = tf.linalg.eigh(covariance)
    deviations = tf.sqrt(tf.maximum(eigenvalues, 0.0) + epsilon)
    return (
        tf.matmul(vectors / deviations, vectors, transpose_b=True),
        tf.matmul(vectors * deviations, vectors, transpose_b=True),
        -tf.reduce_sum(tf.math.log(deviations)),
    )


def whitening_layer(kind: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """The built layer of a `Preprocessing.whitening` of events [*shape]; None for "none"."""
    layer: Any = None
    if kind == "standardise":
        layer = AffineParameters(
            shape, trainable=False, min_deviation=0.0, dtype=dtype, name="standardisation"
        )
    elif kind in ("zca", "zca_cor"):
        layer = WhiteningMatrix(
            tf.TensorShape(shape).num_elements(),
            standardised=kind == "zca_cor",
            dtype=dtype,
            name=kind,
        )
    elif kind == "separable":
        layer = SeparableWhiteningMatrices(shape, dtype=dtype, name="separable")
    if layer is not None:
        layer.build(None)
    return layer
