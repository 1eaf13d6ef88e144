"""Steps that flows of vectors share: flattening, and the normalisation between their layers."""

from __future__ import annotations

from typing import Any

from zoo.core.config import ModelConfig
from zoo.core.lazy import bijectors, tfb
from zoo.layers.norms import Fit, activation_norm_bijector, batch_norm_bijector
from zoo.networks.normalization import AffineParameters, RunningMoments

__all__ = ["flattening", "norm_layer", "norm_step"]


def flattening(config: ModelConfig) -> list[tfb.Bijector]:
    """[D] -> event_shape, for events that are no vectors."""
    if len(config.event_shape) == 1:
        return []
    return [tfb.Reshape(event_shape_out=config.event_shape, event_shape_in=[config.event_size])]


def norm_layer(kind: str, size: int, dtype: Any, name: str) -> Any:
    """The built weights of a "batch_norm" or an "activation_norm" of vectors [size]."""
    layer: Any
    if kind == "batch_norm":
        layer = RunningMoments(size, dtype=dtype, name=name)
    else:
        layer = AffineParameters((size,), dtype=dtype, name=name)
    layer.build(None)
    return layer


def norm_step(
    layer: Any, event_shape: tuple[int, ...], *, training: bool, fit: Fit
) -> bijectors.OnePassBijector:
    """The bijector of a `norm_layer`, of events [*event_shape] whose last axis is the layer's."""
    if isinstance(layer, RunningMoments):
        return batch_norm_bijector(layer, event_shape, training=training, fit=fit)
    return activation_norm_bijector(layer, event_shape, fit=fit)
