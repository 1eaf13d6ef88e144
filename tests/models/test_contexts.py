"""Contexts of any kind: what they are, what a model learns of them, and what is refused."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import contextual
import keras
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import zoo
from zoo import models
from zoo.core.columns import Column
from zoo.core.context import Context
from zoo.errors import ConfigError, InvalidInputError
from zoo.store.folder import CONFIG_FILE, save_checkpoint
from zoo.training.own_families import table_config

COLUMNS = [
    {"name": "year", "kind": "real", "location": 2000.0, "scale": 10.0},
    {"name": "place", "kind": "category", "categories": ["here", "there"]},
]
# Nats below the truth that each family may be in the mean; what its form cannot reach is looser.
BARS = {
    **dict.fromkeys(contextual.SIZES, 0.02),
}


def small(**config: Any) -> Any:
    given = {"event_shape": (2,), "num_layers": 1, "hidden_units": (8,), **config}
    return models.create("maf", **given)


@functools.cache
def numbers() -> Any:
    return small(context_shape=(3,))


def rows(count: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 2)).astype("float32")


def conditions(count: int = 6, size: int = 3) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (100.0 + 20.0 * rng.normal(size=(count, size))).astype("float32")


def trained(model: Any) -> Any:
    """The model with weights that see the context."""
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.3 * rng.normal(size=variable.shape))
    return model


@pytest.mark.parametrize(("family", "bar"), [("made", 0.1), ("planar", 0.3)])
def test_a_gaussian_given_numbers_is_learnt(family: str, bar: float) -> None:
    below, error = contextual.excess(family, steps=300, rate=1e-2)
    assert -4.0 * error < below < bar


@pytest.mark.slow
@pytest.mark.parametrize("family", contextual.SIZES)
def test_a_gaussian_given_numbers_is_recovered(family: str) -> None:
    below, error = contextual.excess(family, steps=6000)
    assert -4.0 * error < below < BARS[family]


def test_real_contexts_are_standardised_by_the_rows_that_fit_starts_from() -> None:
    model, c = small(context_shape=(3,)), conditions(200)
    c[:, 1] = 7.0  # constant: its scale stays
    model.compile("adam")
    model.fit(rows(200), c, epochs=1, batch_size=100, verbose=0)
    seen = model.encoded_context(c).numpy()
    assert_allclose(seen.mean(0), 0.0, atol=1e-5)
    assert_allclose(seen.std(0), [1.0, 0.0, 1.0], atol=1e-4)
    plain = small(context={"shape": (3,), "whitening": "none"})
    plain.adapt(rows(200), c)
    assert_array_equal(plain.encoded_context(c), c)


def test_an_image_is_standardised_by_channel_or_taken_in_levels() -> None:
    pictures = np.random.default_rng(2).integers(0, 256, (5, 8, 6, 3)).astype("uint8")
    stored = small(context_shape=(8, 6, 3), context_levels=256)
    assert stored.context.dtype == "uint8"
    assert stored.context_width == 64
    real = small(context_shape=(8, 6, 3), embedding=5)
    real.adapt(rows(5), pictures / 7.0)
    encoder = real.context_encoder
    assert encoder.width == 5
    assert_allclose(encoder._seen(pictures / 7.0).numpy().mean((0, 1, 2)), 0.0, atol=1e-5)
    for model in (stored, real):
        x, given = rows(5), pictures if model is stored else (pictures / 7.0).astype("float32")
        assert np.ptp(trained(model).log_prob(np.repeat(x[:1], 5, 0), given)) > 0.0


def test_columns_are_given_as_numbers_or_as_a_frame() -> None:
    model = trained(small(context_columns=COLUMNS, embedding=(4,)))
    frame = pd.DataFrame({"place": ["here", "there"] * 3, "year": np.arange(1998.0, 2004.0)})
    table = np.stack([frame["year"], np.arange(6) % 2], 1).astype("float32")
    expected = model.log_prob(rows(), table).numpy()
    assert np.ptp(expected) > 0.0
    assert_array_equal(model.log_prob(rows(), frame), expected)
    assert_allclose(model.distribution(frame).log_prob(rows()), expected, rtol=1e-5)
    assert model.sample(3, seed=1, context=frame[:1]).shape == (3, 2)
    model.compile("adam")
    assert np.isfinite(model.fit(rows(), frame, epochs=1, verbose=0).history["loss"]).all()


def test_one_context_is_for_all_draws() -> None:
    model, c = trained(small(context_shape=(3,))), conditions()
    one = model.sample(6, seed=2, context=c[0])
    assert_array_equal(one, model.sample(6, seed=2, context=c[:1]))
    assert_array_equal(one, model.sample(6, seed=2, context=np.repeat(c[:1], 6, 0)))
    assert (one.numpy() != model.sample(6, seed=2, context=c).numpy()).any()
    assert model.distribution(c.reshape(2, 3, 3)).batch_shape == (2, 3)


def test_a_label_may_have_an_embedding() -> None:
    model = trained(small(context_size=4, embedding=(3,)))
    assert model.context_width == 3
    x = np.repeat(rows(1), 4, 0)
    assert len(np.unique(model.log_prob(x, np.arange(4, dtype="int32")))) == 4


def test_a_checkpoint_of_config_and_weights_alone_is_the_model(tmp_path: Path) -> None:
    model = small(context_columns=COLUMNS, embedding=keras.Sequential([keras.layers.Dense(4)]))
    table = np.stack([np.arange(1998.0, 2004.0), np.arange(6) % 2], 1).astype("float32")
    trained(model)
    save_checkpoint(tmp_path, model, family="maf")
    loaded = zoo.load(tmp_path)
    assert loaded.config == model.config
    assert_array_equal(loaded.log_prob(rows(), table), model.log_prob(rows(), table))


def test_zoo_fit_gives_a_flow_the_columns_of_a_context() -> None:
    columns = [Column(name="a", kind="real"), Column(name="b", kind="positive")]
    given = [Column(**column) for column in COLUMNS]
    config = table_config("nice", columns, given, {}, {"num_couplings": 2})
    assert config.context.columns == tuple(given)
    assert config.context_space().shape == (2,)
    with pytest.raises(ConfigError, match="conditioned on no columns"):
        table_config("deformer", columns, given, {}, {})


def test_unconditional_configs_have_no_word_of_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, small(), family="maf")
    config = json.loads((tmp_path / CONFIG_FILE).read_text())["config"]
    assert not config.keys() & {"context", "network"}


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (None, r"conditional: give context, numbers of shape \[batch, 3\]"),
        (conditions(6, 2), r"numbers of shape \[batch, 3\]; got \[6, 2\]"),
        (conditions()[0], r"got \[3\]\. One for all rows: np\.tile"),
        (conditions(5), r"a context a row: 6; got 5"),
        (np.full((6, 3), np.nan), r"NaN or infinity; expected finite.*Row 0"),
        (np.full((6, 3), "x"), "Expected numbers in context"),
        ({"a": [1.0]}, "context"),
    ],
    ids=str,
)
def test_a_context_that_is_none_of_the_models_is_refused(context: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        numbers().log_prob(rows(), context)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (np.zeros((6, 4, 4, 1)), r"integers 0\.\.15.*got float64.*np\.round\(15"),
        (np.full((6, 4, 4, 1), 16), r"Context levels must be in 0\.\.15; got 16\.\.16"),
        (np.zeros((6, 4, 5, 1), int), r"\[batch, 4, 4, 1\]; got \[6, 4, 5, 1\]"),
    ],
    ids=["floats", "levels", "shape"],
)
def test_an_image_that_is_no_context_is_refused(context: Any, message: str) -> None:
    model = small(context_shape=(4, 4, 1), context_levels=16)
    with pytest.raises(InvalidInputError, match=message):
        model.log_prob(rows(), context)


def test_contexts_are_refused_in_fit_and_by_columns() -> None:
    model = small(context_shape=(3,))
    model.compile("adam")
    with pytest.raises(InvalidInputError, match="give the context of each row"):
        model.fit(rows(), verbose=0)
    with pytest.raises(InvalidInputError, match="contexts of the rows"):
        model.fit(rows(), np.full((6, 3), np.inf), verbose=0)
    with pytest.raises(InvalidInputError, match="lacks the column 'place'"):
        small(context_columns=COLUMNS).log_prob(rows(), pd.DataFrame({"year": np.zeros(6)}))
    with pytest.raises(InvalidInputError, match="unconditional: leave out context"):
        small().log_prob(rows(), conditions())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"context_shape": (0,)}, "positive integers"),
        ({"context_shape": (3,), "context_size": 2}, "not on both"),
        ({"context_shape": (3,), "context_columns": COLUMNS}, "not both"),
        ({"context_columns": [COLUMNS[0], COLUMNS[0]]}, "names that differ"),
        ({"context_shape": (3,), "context_levels": 1}, "2 to 256"),
        ({"embedding": (3,)}, "neither a shape nor columns"),
        ({"context": {"size": 3}}, "A context has no size; its fields: shape"),
        ({"context_shape": (3,), "context": {"whitening": "zca"}}, "whitening must be"),
        ({"context_shape": (3,), "embedding": "big"}, "Expected a Keras layer"),
    ],
    ids=str,
)
def test_a_context_that_cannot_be_built_is_refused(config: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**config)


def test_a_context_is_a_value() -> None:
    context = Context(shape=[3], units=5)
    assert context == Context.from_dict(context.to_dict())
    assert context.to_dict() == {"shape": [3], "units": [5]}
    assert small(context=context).config.context == context
