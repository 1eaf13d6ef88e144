"""A MADE of columns of several kinds: each conditional alone, and what holds of whole rows."""

from __future__ import annotations

import math

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal
from tiny import TINY, drawn_columns

import zoo
from zoo import models
from zoo.bases.columns import conditional_of
from zoo.core.columns import Column
from zoo.core.encoding import decoded, encoded
from zoo.errors import ConfigError, InvalidInputError

KINDS = {
    "real": Column(name="x", kind="real", location=1.0, scale=2.0),
    "heavy": Column(name="x", kind="real", location=1.0, scale=2.0, heavy=True),
    "positive": Column(name="x", kind="positive", location=0.3, scale=0.6),
    "bounded": Column(name="x", kind="bounded", minimum=-1.0, maximum=3.0),
    "circular": Column(name="x", kind="circular", minimum=-180.0, period=360.0),
    "count": Column(name="x", kind="count", location=4.0, scale=3.0),
    "integer": Column(name="x", kind="integer", location=-2.0, scale=3.0),
    "heavy_count": Column(name="x", kind="count", location=4.0, scale=2.0, heavy=True),
    "date": Column(name="x", kind="date", location=19000.0, scale=300.0),
    "category": Column(name="x", kind="category", categories=("a", "b", "c")),
}


def randomise(model, seed: int = 0, scale: float = 1.0):
    """Every weight drawn anew."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        fan_in = np.prod(variable.shape[:-1]) or 1
        variable.assign(scale * rng.normal(size=variable.shape) / np.sqrt(fan_in))
    return model


def _of(column: Column, seed: int = 3):
    """A model of one column with random weights, in float64."""
    config = {"event_shape": (1,), "columns": [column.to_dict()], "num_components": 3}
    model = models.create("table_made", num_units=4, num_blocks=0, dtype="float64", **config)
    return randomise(model, seed, 0.7)


def _cells(column: Column) -> tuple[np.ndarray, np.ndarray]:
    """(values, widths) over which exp(log_prob) adds up to 1."""
    if column.is_categorical:
        return np.arange(3.0), np.ones(3)
    if column.is_whole:
        low = 0 if column.kind == "count" else -400
        values = np.arange(low, 200_000.0)
        return values, np.ones(len(values))
    if column.kind == "circular":
        edges = np.linspace(-180.0, 180.0, 20_001)
    elif column.kind == "bounded":
        edges = -1.0 + 4.0 * scipy.special.expit(np.linspace(-40.0, 40.0, 20_001))
        edges = np.unique(edges)
    elif column.kind == "positive":
        edges = np.exp(np.linspace(-40.0, 40.0, 20_001))
    else:
        edges = column.location + column.scale * np.sinh(np.linspace(-40.0, 40.0, 40_001))
    return 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_has_a_density_or_a_mass_of_one(kind: str) -> None:
    model = _of(KINDS[kind])
    values, widths = _cells(KINDS[kind])
    total = float((np.exp(model.log_prob(values[:, None])) * widths).sum())
    assert total == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_of_a_column_follow_its_density_and_stay_in_its_support(kind: str) -> None:
    """Counts in twenty bins of equal probability, or of each value: Pearson's chi-squared."""
    column = KINDS[kind]
    model = _of(column)
    draws = model.sample(100_000, seed=5).numpy()[:, 0]
    assert np.isfinite(model.log_prob(draws[:, None])).all()  # so none is outside
    values, widths = _cells(column)
    mass = np.exp(model.log_prob(values[:, None]).numpy()) * widths
    cumulative = np.cumsum(mass) / mass.sum()
    if column.has_mass:
        edges = values + 0.5
        at = np.unique(np.searchsorted(cumulative, np.arange(1, 20) / 20))
    else:
        edges = values + 0.5 * widths
        at = np.searchsorted(cumulative, np.arange(1, 20) / 20)
    at = at[at < len(edges) - 1]
    counts = np.bincount(np.searchsorted(edges[at], draws, side="left"), minlength=len(at) + 1)
    expected = np.diff(np.concatenate([[0.0], cumulative[at], [1.0]])) * len(draws)
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-4


@pytest.mark.parametrize(
    ("kind", "outside"),
    [
        *(("positive", x) for x in (0.0, -1.0)),
        *(("bounded", x) for x in (-1.0, 3.0, 4.0)),
        *(("circular", x) for x in (-180.5, 180.0)),
        *(("count", x) for x in (-1.0, 2.5)),
        *(("category", x) for x in (3.0, -1.0, 0.5)),
    ],
)
def test_outside_its_support_a_column_has_no_probability_and_no_gradient(
    kind: str, outside: float
) -> None:
    model = _of(KINDS[kind])
    x = tf.constant([[outside]], tf.float64)
    assert model.log_prob(x).numpy() == [-np.inf]
    with tf.GradientTape() as tape:
        nats = model.score(x, None, None)
    gradients = tape.gradient(nats, model.trainable_variables, unconnected_gradients="zero")
    assert all(np.isfinite(g).all() for g in gradients)


def test_a_category_and_an_integer_are_what_their_formulas_say() -> None:
    logits = tf.constant([[0.2, -1.0, 0.7]], tf.float64)
    category = conditional_of(KINDS["category"], 1)
    assert_allclose(
        category.log_prob(logits, tf.constant([2.0], tf.float64)),
        scipy.special.log_softmax(logits.numpy())[:, 2],
    )
    raw = tf.constant([[0.0, 0.5, -0.3]], tf.float64)  # one logistic
    integer = conditional_of(KINDS["integer"], 1)
    place = scipy.stats.logistic(0.5, _scale(-0.3))
    edges = (np.array([3.5, 4.5]) + 2.0) / 3.0
    expected = np.log(np.diff(place.cdf(edges)))
    assert_allclose(integer.log_prob(raw, tf.constant([4.0], tf.float64)), expected, rtol=1e-9)


def _scale(raw: float) -> float:
    """exp of a log-scale above its floor of -7."""
    return math.exp(-7.0 + math.log1p(math.exp(raw + 7.0)))


@pytest.fixture(scope="module")
def tiny():
    return randomise(models.create("table_made", **TINY["table_made"]), 1, 0.7)


def test_a_factor_depends_on_the_columns_before_it_alone(tiny, rng: np.random.Generator) -> None:
    x = drawn_columns(tiny.config.columns, 6, rng)
    factors = tiny.column_log_prob(x).numpy()
    assert_allclose(factors.sum(1), tiny.log_prob(x), rtol=1e-5)
    for i in range(5):
        other = x.copy()
        other[:, i:] = drawn_columns(tiny.config.columns, 6, np.random.default_rng(9))[:, i:]
        assert_array_equal(tiny.column_log_prob(other).numpy()[:, :i], factors[:, :i])
        if i < 4:
            assert (tiny.column_log_prob(other).numpy()[:, i + 1 :] != factors[:, i + 1 :]).any()


def test_a_missing_cell_has_no_factor_and_is_seen_by_those_behind(rng) -> None:
    columns = [
        {**column, "missing": i == 1} for i, column in enumerate(TINY["table_made"]["columns"])
    ]
    model = randomise(models.create("table_made", **{**TINY["table_made"], "columns": columns}))
    x = drawn_columns(model.config.columns, 4, rng)
    whole = model.column_log_prob(x).numpy()
    x[:, 1] = np.nan
    factors = model.column_log_prob(x).numpy()
    assert_array_equal(factors[:, 0], whole[:, 0])
    assert_array_equal(factors[:, 1], 0.0)
    assert (factors[:, 2:] != whole[:, 2:]).all()
    x[2, 3] = np.nan
    with pytest.raises(InvalidInputError, match=r"finite number in row 2, column 'hour'"):
        model.log_prob(x)


def test_frames_go_in_by_their_names_and_samples_come_back_as_people_write_them(tiny) -> None:
    x = tiny.sample(20, seed=2).numpy()
    frame = pd.DataFrame(decoded(x, tiny.data.columns))
    assert set(frame["colour"]) <= {"blue", "green", "red"}
    assert frame["visits"].dtype == "int64"
    mixed = frame[frame.columns[::-1]].assign(note="passed over")
    assert_array_equal(tiny.log_prob(mixed), tiny.log_prob(x))
    assert_array_equal(encoded(frame, tiny.data.columns).astype("float32"), x)
    with pytest.raises(InvalidInputError, match=r"lacks the column 'hour'"):
        tiny.log_prob(frame.drop(columns=["hour"]))
    frame.loc[3, "colour"] = "violet"
    with pytest.raises(InvalidInputError, match=r"one of blue, green, red in row 3.*'violet'"):
        tiny.log_prob(frame)


def test_keras_takes_frames_as_it_takes_their_numbers() -> None:
    config = {**TINY["table_made"], "context_columns": [{"name": "day", "kind": "count"}]}
    frames, numbers = (models.create("table_made", **config) for _ in range(2))
    numbers.set_weights(frames.get_weights())
    rng = np.random.default_rng(0)
    x = drawn_columns(frames.config.columns, 24, rng)
    day = np.arange(24, dtype="float32")[:, None]
    frame = pd.DataFrame(decoded(x, frames.data.columns)).assign(day=day[:, 0])
    histories = []
    for model, rows, given in ((frames, frame, frame), (numbers, x, day)):
        model.compile(run_eagerly=True)
        held_out = (rows, given)
        fitted = model.fit(rows, given, validation_data=held_out, shuffle=False, verbose=0)
        histories.append(fitted.history)
        predicted = model.predict((rows, given), verbose=0)
        assert_allclose(predicted, model.log_prob(rows, given), rtol=1e-5)
    assert histories[0] == histories[1]


def test_the_measure_is_that_of_the_columns() -> None:
    found = {
        names: models.create(
            "table_made",
            event_shape=(len(names),),
            columns=[{**KINDS[kind].to_dict(), "name": kind} for kind in names],
            num_units=4,
        ).measure
        for names in (("real", "circular"), ("count", "category"), ("real", "count"))
    }
    assert list(found.values()) == ["density", "mass", "mixed"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"event_shape": (4,)}, r"event_shape must be \[5\]"),
        ({"columns": [{"name": "a", "kind": "real"}] * 5}, "names that differ"),
        ({"columns": [{"name": "a", "kind": "odd"}]}, "must be one of real"),
        ({"columns": [{"name": "a", "kind": "circular"}]}, "needs its period"),
        ({"columns": [{"name": "a", "kind": "bounded", "minimum": 1.0}]}, "needs its minimum"),
        (
            {
                "event_shape": (1,),
                "columns": [{"name": "a", "kind": "category", "categories": ["x", "x"]}],
            },
            "that differ",
        ),
        ({"columns": [{"name": "a", "kind": "real", "scale": 0.0}]}, "scale above 0"),
        ({"columns": [{"name": "a", "kind": "real", "odd": 1}]}, "Not a column"),
        ({"context_size": 3}, "no context_size"),
        ({"dropout": 1.0}, "dropout"),
        ({"num_components": 0}, "num_components"),
    ],
)
def test_a_config_that_describes_no_table_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models.create("table_made", **{**TINY["table_made"], **changes})


def test_a_conditional_gaussian_is_learnt_from_a_real_context() -> None:
    """x | c ~ N(2 c, exp(c)^2): within 0.02 nats of the truth on other c."""
    rng = np.random.default_rng(0)

    def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
        c = rng.uniform(-1.0, 1.0, (count, 1))
        return (2.0 * c + np.exp(c) * rng.normal(size=c.shape)).astype("float32"), c.astype(
            "float32"
        )

    model = zoo.create(
        "table_made",
        event_shape=(1,),
        columns=[{"name": "x", "kind": "real", "scale": 1.7}],
        context_columns=[{"name": "c", "kind": "real", "scale": 0.6}],
        num_units=32,
        num_blocks=1,
        num_components=4,
    )
    x, c = rows(20_000)
    model.compile(keras.optimizers.Adam(5e-3), jit_compile=True)
    model.fit(x, c, batch_size=500, epochs=12, verbose=0)
    x, c = rows(20_000)
    truth = scipy.stats.norm(2.0 * c, np.exp(c)).logpdf(x).mean()
    assert float(tf.reduce_mean(model.log_prob(x, c))) > truth - 0.02


def test_a_missing_cell_is_drawn_from_its_conditional() -> None:
    """P(first | second) of two categories, by Bayes' rule from the model's own probabilities."""
    columns = [{"name": name, "kind": "category", "categories": ["a", "b", "c"]} for name in "xy"]
    model = randomise(
        models.create("table_made", event_shape=(2,), columns=columns, num_units=8, num_blocks=1), 5
    )
    pairs = np.array([[i, 1.0] for i in range(3)], "float32")
    joint = np.exp(model.log_prob(pairs).numpy())
    rows = np.array([[np.nan, 1.0]] * 500, "float32")
    drawn = model.impute(rows, seed=1)
    assert (drawn[:, 1] == 1.0).all()
    counts = np.bincount(drawn[:, 0].astype(int), minlength=3)
    assert scipy.stats.chisquare(counts, 500 * joint / joint.sum()).pvalue > 1e-4
