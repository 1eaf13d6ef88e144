"""A context beside what a coupling's network sees."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["joined"]


def joined(x: Any, context: Any) -> Any:
    """x [..., D] and behind it the context [batch, C], or [1, C] for all: [..., D + C].

    x alone where there is no context.
    """
    if context is None:
        return x
    lead = tf.concat([tf.shape(x)[:-1], tf.shape(context)[-1:]], 0)
    return tf.concat([x, tf.broadcast_to(tf.cast(context, x.dtype), lead)], -1)
