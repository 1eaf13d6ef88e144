"""Keras' own fit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_runs

from zoo.errors import (
    InvalidInputError,
)
from zoo.models import build


@pytest.mark.parametrize("name", ["nice", "maf"])
def test_fit_on_a_dataset_lowers_the_loss(name: str, tmp_path: Path) -> None:
    recipe = tiny_runs.RECIPES[name]
    keras.utils.set_random_seed(2)
    model = build(recipe.family, recipe.config)
    arrays = tiny_runs.load_arrays(recipe.dataset, "train")
    model.adapt(arrays.x, arrays.context)
    elements = arrays.x if arrays.context is None else (arrays.x, arrays.context)
    dataset = tf.data.Dataset.from_tensor_slices(elements).shuffle(96, seed=0).batch(16)
    before = -np.mean(model.log_prob(arrays.x, arrays.context), dtype=np.float64)
    model.compile(optimizer=keras.optimizers.Adam(5e-3))
    history = model.fit(dataset, epochs=15, shuffle=False, verbose=0)
    after = -np.mean(model.log_prob(arrays.x, arrays.context), dtype=np.float64)
    assert after < before - 0.5
    assert history.history["loss"][-1] < history.history["loss"][0] - 0.5
    evaluated = model.evaluate(dataset, verbose=0, return_dict=True)
    assert evaluated["loss"] == pytest.approx(after, rel=1e-5)
    bits = after / (model.config.event_size * math.log(2.0))
    assert evaluated["bits_per_dim"] == pytest.approx(bits, rel=1e-5)

    # Saved and loaded, it goes on where it was: the optimizer's moments came along.
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 15 * 6
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables) > 2
    for mine, theirs in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    ordered = tf.data.Dataset.from_tensor_slices(elements).batch(16)
    losses = [
        m.fit(ordered, epochs=1, shuffle=False, verbose=0).history["loss"][0]
        for m in (model, loaded)
    ]
    # Keras does not save where its generators of noise are: dequantisation and dropout differ.
    assert losses[1] == pytest.approx(losses[0], rel=0.02 if model.data.dtype == "uint8" else 1e-5)


def test_compile_refuses_a_loss() -> None:
    model = build("maf", tiny_runs.RECIPES["maf"].config)
    with pytest.raises(InvalidInputError, match=r"maximum likelihood.*takes no loss; got 'mse'"):
        model.compile(optimizer="adam", loss="mse")


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        (lambda x: {"image": x}, r"dictionary with \['image'\]"),
        (lambda x: (x, np.zeros(len(x), "int32")), "unconditional, and the dataset yields pairs"),
        (lambda x: x[:, :2], r"Expected x of shape \[batch, 4, 4, 1\]"),
        (lambda x: x / 255.0, "takes grey levels 0..255 as integers"),
    ],
    ids=["dictionary", "pairs", "shape", "floats"],
)
def test_fit_refuses_other_elements(elements: Any, message: str) -> None:
    recipe = tiny_runs.RECIPES["nice"]
    model = build(recipe.family, recipe.config)
    model.compile(optimizer="adam", run_eagerly=True)
    x = tiny_runs.load_arrays(recipe.dataset, "validation").x
    dataset = tf.data.Dataset.from_tensor_slices(elements(x)).batch(8)
    with pytest.raises(InvalidInputError, match=message):
        model.fit(dataset, shuffle=False, verbose=0)


def small(context_size: int = 0) -> Any:
    config = {"event_shape": (2,), "hidden_units": (4,), "num_layers": 1}
    model = build("maf", {**config, "context_size": context_size})
    model.compile(optimizer="adam", run_eagerly=True)
    return model


X = np.array([[1.0, 2.0], [-1.0, 0.5], [0.5, 3.0], [2.0, -1.0]], np.float32)
LABELS = np.array([0, 1, 2, 0])


@pytest.mark.parametrize(
    ("context_size", "call", "message"),
    [
        (3, lambda m: m.fit((X, LABELS)), r"a tuple of 2.*own: fit\(x, context\)\. Pairs are"),
        (3, lambda m: m.fit([X, LABELS]), r"a list of 2.*own: fit\(x, context\)"),
        (3, lambda m: m.evaluate((X, LABELS)), r"own: evaluate\(x, context\)"),
        (3, lambda m: m.train_on_batch((X, LABELS)), r"own: train_on_batch\(x, context\)"),
        (3, lambda m: m.fit({"x": X, "y": LABELS}), r"dictionary with \['x', 'y'\].*fit\(x, con"),
        (3, lambda m: m.fit(X), r"is conditional: give the context of each row, fit\(x, context\)"),
        (3, lambda m: m.fit(X, LABELS, validation_data=X), r"validation_data=\(x, context\)"),
        (0, lambda m: m.fit(X, X), r"unconditional.*no targets\. Give fit\(x\)"),
        (0, lambda m: m.fit(X, LABELS), r"Give fit\(x\)"),
        (0, lambda m: m.evaluate(X, LABELS), r"Give evaluate\(x\)"),
        (0, lambda m: m.fit(X, validation_data=(X, X)), "Give validation_data=x"),
    ],
)
def test_arrays_in_the_wrong_place(context_size: int, call: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        call(small(context_size))


def test_lists_of_rows_and_validation_rows_of_one_array() -> None:
    history = small().fit(X.tolist(), validation_data=[X], verbose=0).history
    assert np.isfinite([*history["loss"], *history["val_loss"]]).all()
    history = small(3).fit(X, LABELS, validation_data=[X, LABELS], verbose=0).history
    assert np.isfinite([*history["loss"], *history["val_loss"]]).all()
