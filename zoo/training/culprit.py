"""Which part of a model is the first to be not finite, when a step is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.core.capabilities import Bijective
from zoo.objectives import NegativeELBO, NegativeLogLikelihood

__all__ = ["report"]


def report(
    model: Any,
    objective: Any,
    x: Any,
    context: Any,
    *,
    seed: int,
    step: int,
    nats: float,
    norm: float,
) -> str:
    """The message of a step that was not finite, with the part that it comes from.

    x, context: the step's rows.   nats, norm: its loss and the norm of its gradient.
    """
    culprit = _culprit(model, objective, x, context, seed, step, nats)
    return (
        f"Step {step}: loss {nats:.6g} nats, gradient norm {norm:.6g}; the first value "
        f"that is not finite comes from {culprit}. "
        "The last saved state is sound: lower optimizer.learning_rate or set optimizer.clip_norm, "
        "and train again."
    )


def _culprit(
    model: Any, objective: Any, x: Any, context: Any, seed: int, step: int, nats: float
) -> str:
    """The first bijector, on the way from data to latent, whose output is not finite."""
    if not isinstance(objective, NegativeLogLikelihood | NegativeELBO):
        return f"the objective {type(objective).__name__}"  # which has not seen x pass through
    x = tf.constant(x)
    context = None if context is None else tf.constant(context)
    value, members = tf.cast(x, model.compute_dtype), []
    if isinstance(model, Bijective):
        value = model.dequantised(x, tf.constant([seed, step]))
        members = model.chain(training=True, context=model.encoded_context(context)).bijectors
    if members and (flow := getattr(members[0], "flow_in_position", None)):
        value, members = members[0].into_position(value), flow.bijectors
    if not np.isfinite(value.numpy()).all():
        return "the data"
    for member in members:
        value = member.inverse(tf.identity(value))
        if not np.isfinite(value.numpy()).all():
            return f"bijector {member.name!r}"
    if math.isfinite(nats):
        return "the gradient"
    return "the latents' density or a log-determinant" if members else "the networks"
