"""One gradient of an objective: what Keras' `fit` and a recipe's training step share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from zoo.ops.row_weights import rows_weighted, weighted_mean

__all__ = ["gradients_of", "guarded", "nats_of"]


def nats_of(
    objective: Any,
    model: Any,
    x: Any,
    context: Any,
    seed: Any,
    *,
    step: Any = None,
    training: bool = False,
) -> Any:
    """The objective of real rows, [batch] nats, under the context that such rows have.

    seed: int32 [2].   step: int32 scalar.   Labels alone are completed by what the rows
    themselves say (`model.context_of_rows`), such as the length of a clip.
    """
    context = model.context_of_rows(x, context)
    return objective(model, x, context, seed, step=step, training=training)


def gradients_of(
    objective: Any,
    model: Any,
    variables: Sequence[Any],
    x: Any,
    context: Any,
    seed: Any,
    *,
    step: Any,
    l2: float = 0.0,
    weights: Any = None,
    scaled: Callable[[Any], Any] = tf.identity,
) -> tuple[list[Any], Any, Any]:
    """(gradients, loss, nats [batch]) of a batch.

    loss: the mean of nats plus l2 times the sum of squares of `model.regularized_weights`.
    weights: [batch], of the rows: the mean is then sum(w nats) / sum(w), over the global batch, and
        so are the means inside the model. A row of weight k counts as that row given k times.
    scaled: what the gradients are of, in place of the loss itself.
    """
    with tf.GradientTape() as tape, rows_weighted(weights):
        nats = nats_of(objective, model, x, context, seed, step=step, training=True)
        loss = weighted_mean(nats, weights)
        if l2:
            squares = [
                tf.reduce_sum(tf.square(tf.convert_to_tensor(w))) for w in model.regularized_weights
            ]
            loss += l2 * sum(squares, start=tf.constant(0.0))
        target = scaled(loss)
    return tape.gradient(target, variables), loss, nats


def guarded(
    gradients: Sequence[Any], loss: Any, *, clip_norm: float = 0.0
) -> tuple[list[Any], Any]:
    """(gradients, their norm): clipped, and zero where the loss or the gradient is not finite.

    Such a step leaves the weights finite, so that what is not can be named.
    clip_norm: of all gradients together; 0 for none.
    """
    norm = _global_norm(gradients) if clip_norm else tf.linalg.global_norm(gradients)
    finite = tf.math.is_finite(norm) & tf.math.is_finite(loss)
    factor = tf.minimum(1.0, clip_norm / (norm + 1e-12)) if clip_norm else tf.constant(1.0)
    return [
        tf.where(finite, g * tf.cast(factor, g.dtype), tf.zeros_like(g)) for g in gradients
    ], norm


def _global_norm(gradients: Sequence[Any]) -> Any:
    """sqrt(sum g**2), also where the squares overflow: max|g| sqrt(sum (g / max|g|)**2).

    One row far out of a flow's range has a finite gradient of 1e20 and more, which clipping is for;
    its square is beyond float32.
    """
    norm = tf.linalg.global_norm(gradients)
    largest = tf.reduce_max(tf.stack([tf.reduce_max(tf.abs(g)) for g in gradients]))
    scaled = largest * tf.linalg.global_norm([g / largest for g in gradients])
    return tf.where(tf.math.is_finite(norm), norm, scaled)
