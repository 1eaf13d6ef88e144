"""Trains a classifier of categories by others: the stage of a coupling that sorts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.core.training import Descent
from zoo.networks.batch_norm import measuring

__all__ = ["classify"]

_MOMENT_ROWS = 16_384


def classify(
    network: Any,
    given: np.ndarray,
    wanted: np.ndarray,
    *,
    features: Callable[[Any], Any],
    inside: np.ndarray,
    descent: Descent,
    seed: tuple[int, int],
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Minimises the mean cross-entropy of `wanted` given `given`, by Adam; sets the moments.

    network: `features`(given) -> logits [batch, |b| K].   given: integers [rows, |a|].
    wanted: integers [rows, |b|].   inside: which classes each of b has, booleans [|b|, K].
    seed: names the order of rows.   report: called after each epoch.
    The last batch of an epoch is left out where it is not whole; few rows are one batch.
    The network is frozen before and after.
    """
    network.trainable = True
    batch = min(descent.batch_size, len(given))
    variables = network.trainable_variables
    optimizer = keras.optimizers.Adam(descent.learning_rate)
    optimizer.build(variables)
    shape = [batch, *inside.shape]

    def step(rows: Any) -> None:
        with tf.GradientTape() as tape:
            one_hot = features(tf.gather(all_given, rows))
            logits = tf.reshape(tf.cast(network(one_hot, training=True), one_hot.dtype), shape)
            logits = tf.where(inside, logits, tf.cast(-1e9, logits.dtype))
            nats = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather(all_wanted, rows), logits
            )
            loss = tf.reduce_mean(nats)
        optimizer.apply(tape.gradient(loss, variables), variables)

    def epoch(order: Any) -> Any:
        def body(number: Any) -> tuple[Any]:
            step(order[number])
            return (number + 1,)

        # One after the other: a step reads what the one before has written.
        return tf.while_loop(lambda n: n < steps, body, (tf.constant(0),), parallel_iterations=1)

    all_given, all_wanted = tf.constant(given, tf.int32), tf.constant(wanted, tf.int32)
    steps = len(given) // batch
    run = tf.function(
        epoch, input_signature=[tf.TensorSpec([steps, batch], tf.int32)], autograph=False
    )
    rng = np.random.default_rng(seed)
    for number in range(descent.epochs):
        order = rng.permutation(len(given))[: steps * batch].reshape(steps, batch)
        run(tf.constant(order, tf.int32))
        if report is not None:
            report(number + 1, descent.epochs)
    with measuring():  # layer by layer, since each runs by its new moments
        network(features(all_given[:_MOMENT_ROWS]), training=True)
    network.trainable = False
