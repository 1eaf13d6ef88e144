"""The whitening of a model's preprocessing: its weights, and the bijector that has them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from zoo.core.lazy import bijectors, tfb
from zoo.layers.norms import activation_norm_bijector
from zoo.networks.normalization import (
    AffineParameters,
    SeparableWhiteningMatrices,
    WhiteningMatrix,
)

__all__ = ["whitening_bijector", "whitening_layer"]


def whitening_layer(kind: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """The built weights of a `Preprocessing.whitening` of events [*shape]; None for "none"."""
    layer: Any = None
    if kind == "standardise":
        layer = AffineParameters(
            shape, trainable=False, min_deviation=1e-6, dtype=dtype, name="standardisation"
        )
    elif kind == "zca":
        layer = WhiteningMatrix(tf.TensorShape(shape).num_elements(), dtype=dtype, name="zca")
    elif kind == "separable":
        layer = SeparableWhiteningMatrices(shape, dtype=dtype, name="separable")
    if layer is not None:
        layer.build(None)
    return layer


def whitening_bijector(layer: Any, shape: tuple[int, ...]) -> tfb.Bijector:
    """The bijector of a `whitening_layer`: from model space to data forward."""
    if isinstance(layer, AffineParameters):
        return activation_norm_bijector(layer, shape)
    if isinstance(layer, WhiteningMatrix):
        return bijectors.ZCAWhitening(
            mean=tf.convert_to_tensor(layer.mean),
            matrix=tf.convert_to_tensor(layer.matrix),
            inverse_matrix=tf.convert_to_tensor(layer.inverse_matrix),
            log_det=tf.convert_to_tensor(layer.log_det),
            event_shape=shape,
        )
    return bijectors.SeparableWhitening(
        mean=tf.convert_to_tensor(layer.mean),
        matrices=[tf.convert_to_tensor(matrix) for matrix in layer.matrices],
        inverse_matrices=[tf.convert_to_tensor(matrix) for matrix in layer.inverse_matrices],
        log_det=tf.convert_to_tensor(layer.log_det),
    )
