"""Networks of a user's own as conditioners and as embeddings of a context."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

import zoo
from zoo import models
from zoo.errors import ConfigError
from zoo.networks.custom import Masked, layer_of, layer_values
from zoo.networks.made import MADE
from zoo.store.folder import save_checkpoint

X = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
C = np.random.default_rng(1).normal(size=(5, 2)).astype("float32")


@keras.saving.register_keras_serializable("tests")
class Before(keras.layers.Layer):
    """Features of every coordinate, of the sum of those before it and of the context."""

    def __init__(self, units: int = 4, *, seeing_itself: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.seeing_itself = units, seeing_itself
        self.dense = keras.layers.Dense(units, activation="tanh", dtype=self.dtype_policy)

    def call(self, x: Any, context: Any = None) -> Any:
        before = tf.cumsum(x, axis=-1, exclusive=not self.seeing_itself)[..., None]
        index = tf.ones_like(before) * tf.range(x.shape[-1], dtype=x.dtype)[:, None]
        seen = [before, index]
        if context is not None:
            given = tf.ones_like(before) * context[:, None, :]
            seen.append(given)
        return self.dense(tf.concat(seen, -1))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(), "units": self.units, "seeing_itself": self.seeing_itself
        }  # fmt: skip


class Unregistered(keras.layers.Dense):
    """A layer that no other process would know."""


def randomised(model: Any) -> Any:
    rng = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(0.4 * rng.normal(size=variable.shape))
    return model


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("maf", {"num_layers": 2, "network": Before()}),
        ("made", {"num_components": 2, "network": Before(3)}),
        ("iaf", {"num_layers": 2, "network": Before()}),
        ("nice", {"num_couplings": 2, "network": keras.layers.Dense(4, activation="tanh")}),
        ("realnvp", {"num_couplings": 2, "network": keras.layers.Dense(4, activation="tanh")}),
    ],
    ids=["maf", "made", "iaf", "nice", "realnvp"],
)
def test_a_layer_conditions_every_step_with_weights_of_its_own(family: str, config: Any) -> None:
    model = models.create(family, event_shape=(3,), context_shape=(2,), **config)
    fresh = [v.path for v in model.trainable_variables]
    assert len(set(fresh)) == len(fresh)
    before = model.log_prob(X, C).numpy()
    assert_allclose(before, model.log_prob(X, C[::-1].copy()), rtol=1e-5)  # features count for 0
    randomised(model)
    assert_allclose(model.decode(model.encode(X, C), C), X, atol=1e-4)
    assert (model.log_prob(X, C).numpy() != model.log_prob(X, C[::-1].copy()).numpy()).any()
    again = type(model).from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    assert_array_equal(again.log_prob(X, C), model.log_prob(X, C))


def test_couplings_of_images_take_convolutions() -> None:
    network = keras.Sequential(
        [keras.layers.Conv2D(3, 3, padding="same", activation="relu"), keras.layers.Conv2D(2, 1)]
    )
    model = randomised(
        models.create(
            "realnvp", event_shape=(4, 4, 1), num_scales=1, num_final=2, network=network,
            context_shape=(2,), preprocessing={},
        )
    )  # fmt: skip
    x = np.random.default_rng(3).normal(size=(5, 4, 4, 1)).astype("float32")
    assert_allclose(model.decode(model.encode(x, C), C), x, atol=1e-4)


def test_a_network_follows_the_dtype_of_the_model() -> None:
    network = keras.Sequential([keras.layers.Dense(4, activation="tanh")])
    model = models.create("nice", event_shape=(3,), network=network, dtype="float64")
    assert {v.dtype for v in model.trainable_variables} == {"float64"}


@pytest.mark.parametrize("layer", [Before(seeing_itself=True), keras.layers.Reshape((3, 1))])
def test_a_network_that_sees_its_own_coordinate_is_no_autoregressive_one(layer: Any) -> None:
    with pytest.raises(ConfigError, match=r"coordinate 0 depend on coordinate 0.*take any network"):
        models.create("maf", event_shape=(3,), network=layer)


def test_the_trial_leaves_the_weights_as_they_are() -> None:
    values = layer_values(Before())
    tf.random.set_seed(0)
    layer = Masked(values, 3, 2, name="masked")
    kept: list[np.ndarray] = []
    checked = Masked._check_order

    def noted(self: Masked) -> None:
        kept.extend(v.numpy() for v in self.layer.trainable_variables)
        checked(self)

    layer._check_order = noted.__get__(layer)  # type: ignore[method-assign]
    layer.build()
    for before, after in zip(kept, layer.layer.trainable_variables, strict=True):
        assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("family", "network", "message"),
    [
        ("maf", keras.layers.Dense(4), r"\[batch, 3\] to \[batch, 3, features\].*got \[None, 4\]"),
        ("nice", keras.layers.Reshape((2, 1)), r"to \[None, 'features'\]; got"),
        ("nice", Unregistered(3), r"@keras\.saving\.register_keras_serializable.*class Unreg"),
        ("nice", keras.Sequential([Unregistered(3)]), "above class Unregistered"),
        ("nice", keras.layers.Lambda(lambda x: x), "holds no code"),
        ("nice", np.tanh, "Expected a Keras layer"),
        ("nice", "dense", "network must be an object of JSON"),
        ("maf", Before(), ""),
    ],
    ids=["flat", "rank", "unregistered", "nested", "lambda", "function", "text", "fine"],
)
def test_what_is_no_conditioner_is_refused(family: str, network: Any, message: str) -> None:
    if not message:
        assert models.create(family, event_shape=(3,), network=network).built
        return
    with pytest.raises(ConfigError, match=message):
        models.create(family, event_shape=(3,), network=network)


def test_a_config_names_no_class_that_is_imported_for_it() -> None:
    forged = {"module": "os", "class_name": "system", "config": {}, "registered_name": "system"}
    with pytest.raises(ConfigError, match="not registered with Keras"):
        layer_of(forged, "layer", "float32")
    forged = {"module": "keras.layers", "class_name": "Nothing", "config": {}}
    with pytest.raises(ConfigError, match="cannot be built"):
        layer_of(forged, "layer", "float32")


def test_a_folder_is_loaded_where_the_class_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = randomised(models.create("maf", event_shape=(3,), num_layers=1, network=Before()))
    save_checkpoint(tmp_path, model, family="maf")
    assert_array_equal(zoo.load(tmp_path).log_prob(X), model.log_prob(X))
    monkeypatch.delitem(keras.saving.get_custom_objects(), "tests>Before")
    with pytest.raises(ConfigError, match="Before is not registered with Keras"):
        zoo.load(tmp_path)


def test_made_itself_is_such_a_network() -> None:
    network = MADE(3, (8,), 4, context_size=2)
    model = randomised(
        models.create("maf", event_shape=(3,), num_layers=1, network=network, context_shape=(2,))
    )
    assert_allclose(model.decode(model.encode(X, C), C), X, atol=1e-4)
