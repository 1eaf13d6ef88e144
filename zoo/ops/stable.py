"""Boundedness, by a function with a name and a reason."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["soft_clip"]


def soft_clip(x: Any, limit: float) -> Any:
    """limit * tanh(x / limit): the identity near 0, never beyond +-limit.

    A log-scale that passes through it keeps exp(log_scale) within float32 whatever the network
    says.
    """
    return limit * tf.tanh(x / limit)
