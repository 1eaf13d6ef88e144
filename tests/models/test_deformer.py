"""Models in any order: heads against SciPy, missing cells, tables, refusals."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from zoo import models
from zoo.data.arrays import Arrays
from zoo.errors import ConfigError, InvalidInputError
from zoo.evaluation.orders import ORDERS, order_metrics
from zoo.evaluation.task import Task
from zoo.networks.transformer import CausalTransformer
from zoo.ops import conditionals
from zoo.tasks.imputation import impute

TABLE: list[dict[str, Any]] = [
    {"name": "size", "kind": "real", "location": 1.0, "scale": 2.0},
    {"name": "colour", "kind": "category", "categories": ["blue", "green", "red"], "missing": True},
    {"name": "number", "kind": "real", "missing": True},
]
SMALL: dict[str, Any] = {
    "size": 8,
    "token_units": (6, 6),
    "num_layers": 1,
    "num_heads": 2,
    "hidden_size": 8,
}
FAMILIES: dict[str, dict[str, Any]] = {"deformer": SMALL, "oamade": {"hidden_units": (9,)}}


def _randomised(model: Any) -> Any:
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:
        fan_in = weight.shape[-2] if len(weight.shape) > 1 else 4
        weight.assign(rng.normal(size=weight.shape) / np.sqrt(fan_in))
    return model


@functools.cache
def _table(family: str) -> Any:
    config = {"columns": TABLE, "num_components": 2, **FAMILIES[family]}
    return _randomised(models.create(family, event_shape=(3,), dtype="float64", **config))


@functools.cache
def _images() -> Any:
    return _randomised(models.create("deformer", event_shape=(2, 2, 1), num_classes=2, **SMALL))


def test_a_mixture_of_gaussians_is_scipys() -> None:
    rng = np.random.default_rng(1)
    raw, y = rng.normal(size=(6, 9)), rng.normal(size=6)
    expected = 0.0
    for k in range(3):
        weight = np.exp(raw[:, k]) / np.exp(raw[:, :3]).sum(1)
        scale = np.exp(conditionals.MIN_LOG_SCALE + np.logaddexp(0.0, raw[:, 6 + k] + 7.0))
        expected = expected + weight * scipy.stats.norm.pdf(y, raw[:, 3 + k], scale)
    assert_allclose(conditionals.gaussian_log_prob(tf.constant(raw), y), np.log(expected))
    one = np.repeat(raw[:1], 20_000, axis=0)
    uniform = tf.constant(rng.uniform(size=(20_000, 2)))
    drawn = conditionals.gaussian_draw(tf.constant(one), uniform, tf.ones(20_000, "float64"))
    grid = np.linspace(-30.0, 30.0, 60_001)
    density = np.exp(conditionals.gaussian_log_prob(tf.constant(one[:1]), grid))
    cumulative = np.cumsum(density) * (grid[1] - grid[0])
    found = scipy.stats.kstest(drawn, lambda value: np.interp(value, grid, cumulative))
    assert found.pvalue > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_missing_cells_leave_the_marginal_of_those_that_are_there(family: str) -> None:
    """The sum, and the integral, over what is missing, where that comes last in the order."""
    model = _table(family)
    given = np.array([[0.3, 1.0, np.nan], [2.0, np.nan, -0.5], [0.7, np.nan, np.nan]])
    scores = model.log_prob(given).numpy()
    grid = np.linspace(-60.0, 60.0, 12_001)
    rows = np.stack([np.full_like(grid, 0.3), np.ones_like(grid), grid], axis=1)
    over_numbers = np.exp(model.log_prob(rows)).sum() * (grid[1] - grid[0])
    assert np.exp(scores[0]) == pytest.approx(over_numbers, rel=1e-5)
    rows = np.array([[2.0, colour, -0.5] for colour in range(3)])
    over_colours = np.exp(model.log_prob(rows, order=[0, 2, 1])).sum()
    assert np.exp(scores[1]) == pytest.approx(over_colours, rel=1e-10)
    over_both = np.exp(model.log_prob([[0.7, colour, np.nan] for colour in range(3)])).sum()
    assert np.exp(scores[2]) == pytest.approx(over_both, rel=1e-10)


def test_frames_of_texts_go_in_and_gaps_are_filled() -> None:
    model = _table("deformer")
    frame = {"size": [0.3, 2.0], "colour": ["green", None], "number": [np.nan, -0.5]}
    rows = np.array([[0.3, 1.0, np.nan], [2.0, np.nan, -0.5]])
    assert_array_equal(model.log_prob(frame), model.log_prob(rows))
    filled = model.impute(frame, seed=3).numpy()
    assert_array_equal(filled[~np.isnan(rows)], rows[~np.isnan(rows)])
    assert filled[1, 1] in (0.0, 1.0, 2.0)
    assert_array_equal(impute(model, rows, seed=3), filled)
    many = model.impute(np.repeat(rows[1:], 3000, axis=0), seed=5).numpy()[:, 1]
    conditional = model.conditional(rows[1:], np.array([True, False, True]), "colour")
    expected = np.exp([conditional.log_prob(colour).numpy()[0] for colour in range(3)])
    assert expected.sum() == pytest.approx(1.0, rel=1e-10)
    counts = np.bincount(many.astype(int), minlength=3)
    assert scipy.stats.chisquare(counts, 3000 * expected).pvalue > 1e-4
    cold = [model.impute(rows[1:], seed=seed, temperature=0.0).numpy()[0, 1] for seed in range(4)]
    assert set(cold) == {float(np.argmax(expected))}


def test_integers_are_imputed_by_a_mask_or_by_gaps_in_a_table_of_numbers() -> None:
    model = _images()
    x = np.array([[1, 0, 1, 1], [0, 0, 1, 0]], "uint8").reshape(2, 2, 2, 1)
    known = np.array([True, True, False, False]).reshape(2, 2, 1)
    drawn = model.impute(x, observed=known, seed=1).numpy()
    gaps = np.where(known.ravel(), x.reshape(2, 4).astype("float32"), np.nan)
    assert_array_equal(impute(model, gaps, seed=1), drawn.reshape(2, 4))
    anything = np.where(known, x, 200).astype("uint8")  # what is not observed need not be data
    assert_array_equal(model.impute(anything, observed=known, seed=1), drawn)
    with pytest.raises(InvalidInputError, match=r"0\.\.1"):
        model.impute(anything, observed=np.ones_like(known), seed=1)
    with pytest.raises(InvalidInputError, match="give observed, bool"):
        model.impute(x)
    with pytest.raises(InvalidInputError, match="models integers"):
        impute(model, [[0.5, 1.0, np.nan, 0.0]])


def test_orders_of_training_are_uniform_and_named_by_row_and_seed() -> None:
    model, size = _images(), 4
    orders = model.drawn_orders(6000, seed=1).numpy()
    assert_array_equal(np.sort(orders), np.tile(np.arange(size), (6000, 1)))
    counts = np.unique(orders @ (size ** np.arange(size)), return_counts=True)[1]
    assert len(counts) == 24
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
    assert_array_equal(model.drawn_orders(6000, seed=1), orders)
    x = tf.constant(np.random.default_rng(0).integers(0, 2, (8, 2, 2, 1)), tf.uint8)
    scores = [model.score(x, None, tf.constant([0, s]), training=True).numpy() for s in (0, 0, 1)]
    assert_array_equal(scores[0], scores[1])
    assert (scores[0] != scores[2]).any()


def test_what_is_measured_hangs_on_the_columns() -> None:
    space = _table("oamade").data
    assert _images().measure == "mass"
    assert _table("oamade").measure == "mixed"
    assert dataclasses.replace(space, columns=space.columns[1:2]).measure == "mass"
    assert dataclasses.replace(space, columns=space.columns[2:]).measure == "density"


def test_figures_over_orders() -> None:
    model = _images()
    rows = np.random.default_rng(2).integers(0, 2, (30, 2, 2, 1)).astype("uint8")
    names = ("log_prob_orders", "log_prob_mixture", "order_spread")
    found, protocol = order_metrics(Task(model=model, rows=Arrays(rows), batch_size=16), names)
    each = np.array([model.log_prob(rows, order=o) for o in model.drawn_orders(ORDERS, 0)])
    means = each.mean(1)
    assert found["log_prob_orders"]["value"] == pytest.approx(means.mean(), rel=1e-5)
    assert found["order_spread"]["value"] == pytest.approx(means.std(ddof=1), rel=1e-3)
    mixture = model.log_prob(rows, num_orders=ORDERS, seed=0).numpy()
    assert found["log_prob_mixture"]["value"] == pytest.approx(mixture.mean(), rel=1e-5)
    assert found["log_prob_mixture"]["value"] >= found["log_prob_orders"]["value"]
    assert "10 uniform orders" in protocol


def test_a_transformer_goes_on_where_it_stopped() -> None:
    network = CausalTransformer(2, 8, 2, 16, dropout=0.5, dtype="float64")
    network.build((None, None, 8))
    h = tf.constant(np.random.default_rng(3).normal(size=(3, 6, 8)))
    whole = network(h)
    caches = network.empty_caches(3, 6)
    parts = []
    for slot in (0, 2, 4):
        part, caches = network.step(h[:, slot : slot + 2], caches, slot)
        parts.append(part)
    assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-10, atol=1e-12)
    assert np.any(network(h, training=True).numpy() != whole.numpy())
    again = CausalTransformer.from_config(network.get_config())
    assert again.get_config() == network.get_config()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "Say what the features are"),
        ({"num_classes": 2, "columns": TABLE}, "Say what the features are"),
        ({"num_classes": 1}, "Say what the features are"),
        ({"columns": TABLE[:2]}, "a number a column"),
        ({"columns": [TABLE[0]] * 3}, "names that differ"),
        ({"columns": TABLE, "num_components": 0}, "num_components"),
        ({"num_classes": 2, "context_size": 3}, "no context"),
        ({"num_classes": 2, "size": 10, "num_heads": 4}, "multiple of num_heads"),
        ({"num_classes": 2, "token_units": (0,)}, "token_units"),
        ({"num_classes": 2, "num_layers": 0}, "at least 1"),
        ({"num_classes": 2, "dropout": 1.0}, "dropout"),
        ({"num_classes": 2, "tokens": "other"}, "tokens must be one of"),
    ],
)
def test_configs_that_cannot_be_built_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models.create("deformer", event_shape=(3,), **config)


def test_a_perceptron_needs_hidden_units() -> None:
    with pytest.raises(ConfigError, match="hidden_units"):
        models.create("oamade", event_shape=(3,), num_classes=2, hidden_units=())


def test_a_class_that_was_not_learnt_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"0\.\.1"):
        _images().log_prob(np.full((1, 2, 2, 1), 2, "uint8"))
    frame = {"size": [0.3], "colour": ["mauve"], "number": [1.0]}
    with pytest.raises(InvalidInputError, match="one of blue, green, red"):
        _table("deformer").log_prob(frame)
