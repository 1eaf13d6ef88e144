"""The bijectors of normalising layers, and how they take their weights from data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import tensorflow as tf

from zoo.core.lazy import bijectors
from zoo.networks.normalization import AffineParameters, RunningMoments

__all__ = ["Fit", "activation_norm_bijector", "batch_norm_bijector"]

# What evaluating a chain's inverse also sets from the data: nothing; every data-dependent weight;
# or the moments of batch norm alone.
Fit = Literal["nothing", "all", "moments"]


def activation_norm_bijector(
    layer: AffineParameters, event_shape: tuple[int, ...], *, fit: Fit = "nothing"
) -> bijectors.OnePassBijector:
    """x = z exp(log_scale) + shift with the layer's weights.

    `fit="all"` sets them from the data first.
    """
    if fit == "all":

        def initialized(x: Any) -> tuple[Any, Any]:
            layer.initialize(x)
            return layer.shift, layer.log_scale

        return bijectors.DataDependentAffine(
            initialized, event_shape=event_shape, name="initializing_affine"
        )
    return bijectors.DiagonalAffine(
        layer.shift, layer.log_scale, event_shape=event_shape, name=layer.name
    )


def batch_norm_bijector(
    layer: RunningMoments,
    event_shape: tuple[int, ...],
    *,
    training: bool = False,
    fit: Fit = "nothing",
) -> bijectors.BatchNorm:
    """The layer's batch norm: batch moments in training, else running ones.

    `fit` sets the running ones first.
    """

    def initializing_moments(x: Any) -> tuple[Any, Any]:
        layer.initialize(x)
        return layer.running_moments()

    moments: Callable[[Any], tuple[Any, Any]]
    if fit != "nothing":
        moments = initializing_moments
    else:
        moments = layer.batch_moments if training else layer.running_moments
    return bijectors.BatchNorm(
        moments,
        log_gamma=tf.convert_to_tensor(layer.log_gamma),
        beta=tf.convert_to_tensor(layer.beta),
        epsilon=layer.epsilon,
        event_shape=event_shape,
        name=layer.name,
    )
