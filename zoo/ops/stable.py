"""Positivity and boundedness, by functions with a name and a reason."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["logistic_log_prob", "soft_clip"]


def soft_clip(x: Any, limit: float, negative_limit: float | None = None) -> Any:
    """limit * tanh(x / limit): the identity near 0, never beyond +-limit.

    negative_limit: the limit of negative x, where it is another.

    A log-scale that passes through it keeps exp(log_scale) within float32 whatever the network
    says.
    """
    clipped = limit * tf.tanh(x / limit)
    if negative_limit is None:
        return clipped
    return tf.where(x < 0.0, negative_limit * tf.tanh(x / negative_limit), clipped)


def logistic_log_prob(z: Any) -> Any:
    """log of the standard logistic density: -softplus(z) - softplus(-z).

    Finite for every finite z.
    """
    return -tf.nn.softplus(z) - tf.nn.softplus(-z)
