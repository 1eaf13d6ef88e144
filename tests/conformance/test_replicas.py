"""Law: two replicas with half the batch each are one replica with the whole of it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import MODELS, costly, dense, having
from numpy.testing import assert_allclose

from zoo.core.capabilities import Scores

NUM_ROWS = 8


def _mean_nats_and_gradients(model, x, labels):
    """Of the rows here, divided by the global batch."""
    with tf.GradientTape() as tape:
        context = model.checked_context(labels, rows=None)
        nats = -model.score(x, context, tf.constant([5, 6]), training=True)
        loss = tf.reduce_sum(nats) / NUM_ROWS
    variables = model.trainable_variables
    return loss, dense(tape.gradient(loss, variables, unconnected_gradients="zero"))


def _differences(case, strategy: tf.distribute.Strategy) -> tuple[float, float, float]:
    """Largest differences between one replica and two.

    Of loss, gradients (relative) and running moments.
    """
    x, labels = case.rows(NUM_ROWS), case.labels(NUM_ROWS)
    model = case.build("float64")
    loss, gradients = _mean_nats_and_gradients(model, tf.constant(x), labels)

    with strategy.scope():
        mirrored = case.build("float64")
    assert mirrored.variables[0].value.values[1].device.endswith("CPU:1")
    half = NUM_ROWS // 2

    def shard(context: tf.distribute.ValueContext):
        rows = slice(
            context.replica_id_in_sync_group * half, (context.replica_id_in_sync_group + 1) * half
        )
        return tf.constant(x[rows]), None if labels is None else tf.constant(labels[rows])

    values = strategy.experimental_distribute_values_from_function(shard)

    # Eagerly, without tracing every replica: graphs are those of tests/test_replicated_runs.py.
    losses, mirrored_gradients = strategy.run(
        lambda pair: _mean_nats_and_gradients(mirrored, *pair), (values,)
    )
    total = strategy.reduce("SUM", losses, axis=None)
    worst = 0.0
    for one, two in zip(gradients, mirrored_gradients, strict=True):
        difference = np.abs(strategy.reduce("SUM", two, axis=None) - one).max()
        worst = max(worst, float(difference / (1.0 + np.abs(one).max())))
    moments = [
        float(np.abs(one.numpy() - two.numpy()).max())
        for one, two in zip(
            model.non_trainable_variables, mirrored.non_trainable_variables, strict=True
        )
        if one.dtype != "int64"  # states of seed generators
    ]
    return abs(float(total - loss)), worst, max(moments, default=0.0)


@pytest.mark.parametrize("name", costly(having(Scores)))
def test_two_replicas_are_one(name: str, two_replicas: tf.distribute.Strategy) -> None:
    case = MODELS[name]
    loss_difference, gradient_difference, moments_difference = _differences(case, two_replicas)
    if "replicas" in case.cannot:
        assert loss_difference > 1e-6, f"declared, and not so: {case.cannot['replicas']}"
    else:
        assert loss_difference < 1e-9
        assert gradient_difference < 1e-6
        assert moments_difference < 1e-9


@pytest.mark.parametrize(
    "name", ["nice-vector", "made-2d", pytest.param("maf-vector", marks=pytest.mark.slow)]
)
def test_fit_on_two_replicas_is_fit_on_one(name: str, two_replicas: tf.distribute.Strategy) -> None:
    case = MODELS[name]
    x, labels = case.rows(2 * NUM_ROWS), case.labels(2 * NUM_ROWS)
    data = tf.data.Dataset.from_tensor_slices(x if labels is None else (x, labels)).batch(NUM_ROWS)

    def fitted(model):
        model.compile(optimizer=keras.optimizers.SGD(0.01))
        history = model.fit(data, epochs=2, shuffle=False, verbose=0)
        return history.history["loss"], [v.numpy() for v in model.trainable_variables]

    losses, weights = fitted(case.build())
    with two_replicas.scope():
        mirrored_losses, mirrored_weights = fitted(case.build())
    assert losses[1] < losses[0]
    assert_allclose(mirrored_losses, losses, rtol=1e-4)
    for one, two in zip(weights, mirrored_weights, strict=True):
        assert_allclose(two, one, rtol=1e-3, atol=1e-5)
