"""Means over the replicas of a `tf.distribute` strategy."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["replica_mean"]


def replica_mean(value: Any) -> Any:
    """The mean of a tensor over a strategy's replicas; of one, the tensor itself."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)
