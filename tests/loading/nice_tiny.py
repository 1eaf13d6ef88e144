"""A tiny NICE of six dimensions, and what tests of loading ask of it."""

from __future__ import annotations

import keras
import numpy as np

NAME = "nice_tiny"
CONFIG = {"event_shape": [6], "num_couplings": 2, "hidden_units": [64, 65]}
METRICS = {
    "name": NAME,
    "metrics": {"bits_per_dim": {"value": 4.3625, "two_standard_errors": 0.0123}},
}
X = np.linspace(-2.0, 2.0, 18, dtype=np.float32).reshape(3, 6)


def assert_same(model: keras.Model, expected: keras.Model) -> None:
    np.testing.assert_array_equal(model.log_prob(X), expected.log_prob(X))
