"""Stacked weights of flows without a network."""

from __future__ import annotations

import keras
import numpy as np
from numpy.testing import assert_array_equal

from zoo.layers.flow_parameters import FlowParameters


def _built(**kwargs) -> FlowParameters:
    keras.utils.set_random_seed(0)
    layer = FlowParameters(200, {"w": (3,), "b": ()}, {"w": 2.0}, name="planar", **kwargs)
    layer.build(None)
    return layer


def test_every_layer_gets_its_own_slice() -> None:
    layer = _built()
    stacked = {w.path.rsplit("/", 1)[1]: w.numpy() for w in layer.weights}
    assert {name: w.shape for name, w in stacked.items()} == {"w": (200, 3), "b": (200,)}
    layers = layer.layers()
    assert len(layers) == 200
    assert_array_equal(layers[7]["w"], stacked["w"][7])
    assert_array_equal(layers[7]["b"], stacked["b"][7])


def test_weights_start_as_they_were_told() -> None:
    layers = _built().layers()
    assert abs(np.std([row["w"] for row in layers]) - 2.0) < 0.2
    assert_array_equal([row["b"] for row in layers], 0.0)


def test_the_config_makes_the_layer_again() -> None:
    layer = _built(dtype="float64")
    again = FlowParameters.from_config(layer.get_config())
    again.build(None)
    assert again.get_config() == layer.get_config()
    assert [w.shape for w in again.weights] == [w.shape for w in layer.weights]
    assert [w.dtype for w in again.weights] == ["float64", "float64"]
