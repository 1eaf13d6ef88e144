"""Models that start as zeros, for weights that follow; generators start as always."""

from __future__ import annotations

import keras
import numpy as np

from zoo.store.blank import blank_weights


def build() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, bias_initializer="ones"),
            keras.layers.Dropout(0.5),
        ]
    )
    model.seeds = keras.random.SeedGenerator(5)
    return model


def test_weights_start_as_zeros_within_the_block_alone() -> None:
    with blank_weights():
        blank = build()
    usual = build()
    assert [(v.shape, v.dtype) for v in blank.weights] == [
        (v.shape, v.dtype) for v in usual.weights
    ]
    assert not any(np.any(variable.numpy()) for variable in blank.weights)
    assert all(np.all(variable.numpy()) for variable in usual.weights)


def test_generators_have_their_states() -> None:
    with blank_weights():
        blank = build()
    np.testing.assert_array_equal(blank.seeds.state, build().seeds.state)


def test_blank_weights_train() -> None:
    with blank_weights():
        model = build()
    model.compile("sgd", "mse")
    model.fit(np.ones((64, 3)), np.ones((64, 4)), verbose=0)  # dropout leaves some of them
    assert np.any(model.layers[0].bias.numpy())
