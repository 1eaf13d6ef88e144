"""Losses: per-example nats, [batch].

The mean is taken once, over the global batch, by the caller.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["l2_penalty", "negative_log_likelihood"]


def negative_log_likelihood(
    model: Any, x: Any, context: Any, seed: Any, *, training: bool, annealing: Any = None
) -> Any:
    """-log p(x [| context]) in nats of the data as stored, [batch].

    Of a model that is distilled it is the distillation's loss instead, and -ELBO of a VAE.

    seed: int32 [2], names the dequantisation noise.   training: batch moments and dropout.
    annealing: (kind, beta) of a VAE's warm-up (`zoo.models.latent.vae`), or None.
    """
    if annealing is None:
        return model._loss_nats(x, context, seed, training=training)
    return model._loss_nats(x, context, seed, training=training, annealing=annealing)


def l2_penalty(weights: Any, coefficient: float) -> Any:
    """coefficient * sum of squares of the weights, a scalar."""
    total = sum(
        (tf.reduce_sum(tf.square(tf.convert_to_tensor(w))) for w in weights), start=tf.constant(0.0)
    )
    return coefficient * total
