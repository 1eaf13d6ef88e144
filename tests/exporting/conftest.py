"""Three tiny models, exported once: grey levels, labelled features, and a hook of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo import exporting
from zoo.core.signature import Signature
from zoo.core.space import Space
from zoo.kinds.signatures import row_field
from zoo.models.flows.nice import NICE

NUM_ROWS = 3


class Streaming(NICE):
    """A model that answers one thing more: the mean of all rows so far, with explicit state."""

    def serving_signatures(self) -> dict[str, Signature]:
        state = Space(shape=(2,), dtype="float32", meaning="sum and number of rows so far")

        def mean_step(x: Any, state: Any) -> dict[str, Any]:
            state = state + tf.stack([tf.reduce_mean(x, -1), tf.ones_like(x[:, 0])], -1)
            return {"mean": state[:, 0] / state[:, 1], "state": state}

        return {
            **super().serving_signatures(),
            "mean_step": Signature(
                description="mean of the features so far",
                function=mean_step,
                inputs={"x": self.data, "state": state},
                outputs={"mean": row_field(self, "mean of features", unit=""), "state": state},
            ),
        }


def _randomised(model: Any, rows: np.ndarray, context: Any = None) -> Any:
    model.adapt(rows, context)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0.0, 0.1, variable.shape))
    return model


@pytest.fixture(scope="session")
def batches() -> dict[str, dict[str, np.ndarray]]:
    """name -> rows of every input of its signatures, valid ones."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(NUM_ROWS, 3)).astype("float32")
    shared = {
        "seed": np.array([[1, 2], [3, -4], [5, 6]], "int32"),
        "temperature": np.array([1.0, 0.0, 0.7], "float32"),
    }
    return {
        "digits": {
            "x": rng.integers(0, 256, (NUM_ROWS, 4, 4, 1), dtype="uint8"),
            "z": rng.normal(size=(NUM_ROWS, 16)).astype("float32"),
            **shared,
        },
        "labels": {
            "x": features,
            "z": features,
            "context": np.array([0, 1, 1], "int32"),
            **shared,
        },
        "streaming": {"x": features, "z": features, "state": np.zeros((3, 2), "float32"), **shared},
    }


@pytest.fixture(scope="session")
def models(batches: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """name -> model; between them dropout, batch norm, standardisation, a label."""
    keras.utils.set_random_seed(3)
    digits = zoo.create("nice", name="digits", event_shape=(4, 4, 1), hidden_units=(16,))
    labels = zoo.create(
        "maf",
        name="labels",
        event_shape=(3,),
        preprocessing={"whitening": "standardise"},
        context_size=2,
        num_layers=2,
        hidden_units=(8,),
        normalization="batch_norm",
    )
    config = {"event_shape": (3,), "num_couplings": 2, "hidden_units": (4,), "dropout": 0.2}
    streaming = Streaming(config, name="streaming")
    for model in (digits, labels, streaming):
        batch = batches[model.name]
        _randomised(model, batch["x"], batch.get("context"))
    return {model.name: model for model in (digits, labels, streaming)}


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Any]) -> Path:
    """The base folder of the exports of all three, version 2."""
    path = tmp_path_factory.mktemp("export") / "base"
    for model in models.values():
        exporting.export(model, path, 2)
    return path
