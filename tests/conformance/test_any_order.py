"""Laws of models in any order: every order is a density, nothing looks ahead, draws are exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from cases import MODELS, having, shared_model
from numpy.testing import assert_allclose, assert_array_equal

from zoo.core.capabilities import AnyOrder
from zoo.errors import InvalidInputError

ROWS = having(AnyOrder)
ENUMERATED = [name for name in ROWS if MODELS[name].data.is_integer]
P_VALUE = 1e-4


def _all_rows(case) -> np.ndarray:
    """Every row that there is, uint8 [classes ** D, *event_shape]."""
    values = itertools.product(range(case.data.levels), repeat=case.event_size)
    return np.array(list(values), "uint8").reshape(-1, *case.event_shape)


def _orders(case, number: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.permutation(case.event_size) for _ in range(number)]


@pytest.mark.parametrize("name", ENUMERATED)
def test_the_mass_of_every_order_is_one(name: str) -> None:
    case, model = MODELS[name], shared_model(MODELS[name], "float64")
    x = _all_rows(case)
    scores = [model.log_prob(x, order=order).numpy() for order in _orders(case)]
    assert_allclose(np.exp(scores).sum(1), np.ones(6), rtol=1e-12)
    assert np.abs(np.diff(scores, axis=0)).max() > 1e-3  # they differ row by row
    mixture = np.exp(model.log_prob(x, num_orders=4, seed=2))
    assert mixture.sum() == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("name", ROWS)
def test_a_mixture_of_orders_is_no_lower_than_their_mean(name: str) -> None:
    case, model = MODELS[name], shared_model(MODELS[name], "float64")
    x = case.rows(16)
    orders = model.drawn_orders(5, seed=2)
    each = np.array([model.ordered_log_prob(x, order) for order in orders])
    mixture = model.log_prob(x, num_orders=5, seed=2).numpy()
    assert_allclose(mixture, np.logaddexp.reduce(each) - np.log(5.0), rtol=1e-12)
    assert (mixture >= each.mean(0) - 1e-12).all()
    raster = np.arange(case.event_size)
    assert_allclose(model.log_prob(x), model.ordered_log_prob(x, raster), rtol=1e-12)


def _parameters(model, x, order) -> np.ndarray:
    flat = tf.cast(tf.reshape(x, [len(x), -1]), model.compute_dtype)
    orders = tf.repeat(tf.constant(order[None], tf.int32), len(x), axis=0)
    return model._parameters(flat, orders, training=False).numpy()


@pytest.mark.parametrize("name", ROWS)
def test_no_feature_depends_on_itself_or_those_behind_it(name: str) -> None:
    case, model = MODELS[name], shared_model(MODELS[name], "float64")
    order = np.random.default_rng(5).permutation(case.event_size)
    x = case.rows(8)
    before = _parameters(model, x, order)
    for place in range(case.event_size):
        changed = x.reshape(8, -1).copy()
        behind = order[place:]
        changed[:, behind] = case.rows(8, seed=77).reshape(8, -1)[:, behind]
        after = _parameters(model, changed.reshape(x.shape), order)
        seen = order[: place + 1]
        assert_array_equal(after[:, seen], before[:, seen])
        assert place == case.event_size - 1 or (after[:, order[-1]] != before[:, order[-1]]).any()


@pytest.mark.parametrize("name", ROWS)
def test_step_by_step_is_all_at_once(name: str) -> None:
    case, model = MODELS[name], shared_model(MODELS[name], "float64")
    order = np.random.default_rng(6).permutation(case.event_size)
    x = case.rows(4)
    whole = _parameters(model, x, order)
    flat = tf.cast(tf.reshape(x, [4, -1]), model.compute_dtype)
    orders = tf.repeat(tf.constant(order[None], tf.int32), 4, axis=0)
    state = model._first(orders)
    for step, feature in enumerate(order):
        raw, state = model._next(tf.constant(step), orders, flat, state)
        assert_allclose(raw, whole[:, feature], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ROWS)
def test_nothing_observed_is_a_sample_and_all_observed_the_row(name: str) -> None:
    case, model = MODELS[name], shared_model(MODELS[name])
    x = case.rows(5)
    nothing = np.zeros(case.event_shape, bool)
    assert_array_equal(model.impute(x, observed=nothing, seed=9), model.sample(5, seed=9))
    assert_array_equal(model.impute(x, observed=~nothing, seed=9), x)
    some = np.arange(case.event_size).reshape(case.event_shape) % 2 == 0
    drawn = model.impute(x, observed=some, seed=9).numpy()
    assert_array_equal(drawn[:, some], x[:, some])
    assert_array_equal(model.impute(x, observed=some, seed=9), drawn)


@pytest.mark.parametrize("name", ENUMERATED)
def test_draws_have_the_conditional_of_the_enumerated_joint(name: str) -> None:
    case, model = MODELS[name], shared_model(MODELS[name])
    size, number = case.event_size, 4000
    observed = np.zeros(size, bool)
    observed[[0, size - 1]] = True
    order = np.concatenate([np.flatnonzero(observed), np.flatnonzero(~observed)])
    x = _all_rows(case)
    flat = x.reshape(len(x), -1)
    here = (flat[:, observed] == 1).all(1)
    log_joint = model.log_prob(x, order=order).numpy()[here].astype(np.float64)
    expected = np.exp(log_joint - np.logaddexp.reduce(log_joint))
    given = np.ones((number, *case.event_shape), "uint8")
    mask = observed.reshape(case.event_shape)
    drawn = model.impute(given, observed=mask, seed=4).numpy().reshape(number, -1)
    counts = np.array([(drawn == row).all(1).sum() for row in flat[here]])
    assert counts.sum() == number
    assert scipy.stats.chisquare(counts, number * expected).pvalue > P_VALUE
    # A feature's own conditional is the sum over what else is not observed.
    feature = int(np.flatnonzero(~observed)[0])
    conditional = model.conditional(given[:1], mask, feature)
    ones = expected[flat[here][:, feature] == 1].sum()
    assert np.exp(conditional.log_prob(1))[0] == pytest.approx(ones, rel=1e-4)
    assert conditional.sample(seed=3).shape == (1,)


@pytest.mark.parametrize("name", ROWS)
def test_what_is_no_order_and_no_mask_is_refused(name: str) -> None:
    case, model = MODELS[name], shared_model(MODELS[name])
    x, size = case.rows(2), case.event_size
    for order in ([0] * size, np.arange(size - 1), np.arange(size) + 0.5, "abc"):
        with pytest.raises(InvalidInputError, match="permutation"):
            model.log_prob(x, order=order)
    with pytest.raises(InvalidInputError, match="either order or num_orders"):
        model.log_prob(x, order=np.arange(size), num_orders=2)
    with pytest.raises(InvalidInputError, match="num_orders must be"):
        model.log_prob(x, num_orders=0)
    for observed in (np.ones(size + 1, bool), np.ones(case.event_shape)):
        with pytest.raises(InvalidInputError, match="Expected observed as bool"):
            model.impute(x, observed=observed)
    everything = np.ones(case.event_shape, bool)
    with pytest.raises(InvalidInputError, match="observed in row 0"):
        model.conditional(x, everything, 0)
    for feature in (size, -1, "no such name", 0.5):
        with pytest.raises(InvalidInputError, match="Expected feature"):
            model.conditional(x, ~everything, feature)
