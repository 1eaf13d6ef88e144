"""Steps that flows of vectors share."""

from __future__ import annotations

from zoo.core.config import ModelConfig
from zoo.core.lazy import tfb

__all__ = ["flattening"]


def flattening(config: ModelConfig) -> list[tfb.Bijector]:
    """[D] -> event_shape, for events that are no vectors."""
    if len(config.event_shape) == 1:
        return []
    return [tfb.Reshape(event_shape_out=config.event_shape, event_shape_in=[config.event_size])]
