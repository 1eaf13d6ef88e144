"""Frozen means frozen: layers without a trainable weight run as in evaluation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from tiny import TINY

from zoo.models import build

CASES: dict[str, dict[str, Any]] = {
    "maf": {"context_size": 0},  # batch norm between the layers
    "realnvp": {"normalization": "batch_norm"},  # and inside the conditioner
    "nice": {"dropout": 0.5},
}


def flow_and_rows(family: str) -> tuple[Any, np.ndarray]:
    keras.utils.set_random_seed(2)
    flow = build(family, {**TINY[family], **CASES[family]})
    rng = np.random.default_rng(1)
    for variable in flow.trainable_variables:
        variable.assign_add(rng.normal(scale=0.1, size=variable.shape))
    shape = (32, *flow.data.shape)
    if flow.data.levels:
        return flow, rng.integers(0, 256, shape).astype(np.uint8)
    return flow, (5.0 + 3.0 * rng.normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize("family", CASES)
def test_a_frozen_flow_in_a_bigger_model_stays_as_it_is(family: str) -> None:
    flow, x = flow_and_rows(family)
    flow.trainable = False
    before, nats = flow.get_weights(), flow.log_prob(x).numpy()
    inputs = keras.Input(flow.data.shape, dtype=flow.data.dtype)
    scores = flow(inputs)
    head = keras.layers.Dense(1)(keras.layers.Reshape((1,))(scores))
    model = keras.Model(inputs, head)
    model.compile(keras.optimizers.SGD(1e-6), loss="mse")
    model.fit(x, np.zeros((32, 1)), batch_size=8, epochs=2, verbose=0)
    for mine, theirs in zip(flow.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(flow.log_prob(x), nats)
    np.testing.assert_allclose(flow(x, training=True), nats, rtol=1e-5)


@pytest.mark.parametrize("how", ["Keras", "zoo"])
@pytest.mark.parametrize("family", ["maf", "realnvp"])
def test_frozen_norms_keep_their_moments(family: str, how: str) -> None:
    """Of a model that is trained otherwise, by `layer.trainable` and by `freeze`."""
    flow, x = flow_and_rows(family)
    if how == "zoo":
        assert flow.freeze("norm")
    else:
        for layer in flow._flatten_layers():
            if "norm" in layer.name and layer is not flow:
                layer.trainable = False
    moments = {v.path: v.numpy() for v in flow.non_trainable_variables if "seed" not in v.path}
    weights = [v.numpy() for v in flow.trainable_variables]
    assert any("moving_" in path or "/mean" in path for path in moments)
    flow.compile(keras.optimizers.SGD(1e-4))
    flow.fit(x, batch_size=8, verbose=0)
    flow.adapt_batch_norm(x)
    for variable in flow.non_trainable_variables:
        if variable.path in moments:
            np.testing.assert_array_equal(variable, moments[variable.path])
    assert any(
        (v.numpy() != w).any() for v, w in zip(flow.trainable_variables, weights, strict=True)
    )
