"""Integer discrete flows: mass, exactness both ways, the paper's special case, refusals."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from zoo import models
from zoo.data.sources import Arrays
from zoo.errors import ConfigError, InvalidInputError
from zoo.evaluation.outside import outside_metrics
from zoo.evaluation.task import Task

SMALL: dict[str, Any] = {"num_classes": 17, "hidden_units": (8,), "num_flows": 2}


def _model(event_shape: tuple[int, ...] = (6,), scale: float = 2.0, **config: Any) -> Any:
    """A model whose every weight is drawn anew, so that shifts are of a few units."""
    model = models.create("idf", event_shape=event_shape, **{**SMALL, **config})
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.startswith("coupling"):
            weight.assign(scale * rng.normal(size=weight.shape) / max(1, weight.shape[0]))
    return model


@functools.cache
def _shared() -> Any:
    """For tests that leave it as it is."""
    return _model()


def _rows(count: int, shape: tuple[int, ...] = (6,), seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 17, (count, *shape)).astype("uint8")


@pytest.mark.parametrize("config", [{}, {"base": "mixture"}, {"coupling": "one_sided"}], ids=str)
def test_masses_add_up_to_one(config: dict[str, Any]) -> None:
    """Over a box that holds all but a billionth: the base is narrow, the shifts are bounded."""
    model = _model((2,), num_parts=2, num_flows=3, scale=0.6, **{"num_classes": 2, **config})
    model.base.negative_rate.assign(-20.0 * np.ones_like(model.base.negative_rate))
    assert (
        np.ptp(model.integer_chain().inverse(_grid()) - np.asarray(_grid())[:, ::-1], axis=0).max()
        > 0
    )
    total = np.exp(model.score(_grid(), None, None).numpy().astype(np.float64)).sum()
    assert 1.0 - 1e-6 <= total <= 1.0 + 1e-5


def _grid() -> Any:
    k = np.arange(-6, 8)
    return tf.constant(np.stack(np.meshgrid(k, k), axis=-1).reshape(-1, 2), tf.int32)


def test_log_prob_is_that_of_the_latents() -> None:
    model, x = _shared(), _rows(300)
    z = model.encode(x)
    assert (z.dtype, z.shape) == (tf.int32, (300, 6))
    expected = np.zeros(300)
    location, p = (np.asarray(w, np.float64)[:, 0] for w in model.base.weights)
    rate = np.log1p(np.exp(-p))
    for d in range(6):
        logistic = scipy.stats.logistic(loc=location[d], scale=1.0 / rate[d])
        k = np.asarray(z)[:, d].astype(np.float64)
        low = logistic.cdf(k + 1) - logistic.cdf(k)
        expected += np.log(np.where(k < 0, low, logistic.sf(k) - logistic.sf(k + 1)))
    assert_allclose(model.log_prob(x), expected, rtol=1e-4)
    assert_allclose(model.bits_per_dim(x), -expected / 6 / np.log(2.0), rtol=1e-4)
    assert model.log_prob(x).dtype == tf.float32


def test_round_trips_are_exact_across_batches_and_compilers() -> None:
    """100,000 rows through blocks; some again one by one, in sevens and under XLA."""
    model = _model((8,), num_parts=3, num_flows=3)
    x = _rows(100_000, (8,))
    z = model.encode(x)
    assert np.abs(np.asarray(z) - x[:, ::-1]).max() > 3
    assert_array_equal(model.decode(z), x)
    some = x[:140]
    for size in (1, 7, 128):
        parts = [model.encode(some[i : i + size]) for i in range(0, len(some), size)]
        assert_array_equal(tf.concat(parts, 0), z[:140])
        parts = [model.decode(z[i : min(i + size, 140)]) for i in range(0, 140, size)]
        assert_array_equal(tf.concat(parts, 0), some)
    encode = tf.function(model.encode, autograph=False, jit_compile=True)
    decode = tf.function(model.decode, autograph=False, jit_compile=True)
    assert_array_equal(encode(tf.constant(some)), z[:140])
    assert_array_equal(decode(z[:140]), some)
    assert_array_equal(decode(encode(tf.constant(some))), some)


def test_networks_see_their_present_weights() -> None:
    model, x = _model(), _rows(20)
    before = model.encode(x)
    for weight in model.trainable_weights:
        weight.assign(-1.5 * weight)
    assert np.any(before != model.encode(x))
    assert_array_equal(model.decode(model.encode(x)), x)


def test_one_sided_is_general_with_the_first_network_zero() -> None:
    general = _model(num_parts=2)
    one_sided = _model(num_parts=2, coupling="one_sided")
    assert len(general.weights) - len(one_sided.weights) == 2 * 4
    for networks, single in zip(general.shift_networks, one_sided.shift_networks, strict=True):
        for weight in networks[0].output_layer.weights:
            weight.assign(tf.zeros_like(weight))
        for target, source in zip(single[0].weights, networks[1].weights, strict=True):
            target.assign(source)
    x = _rows(200)
    assert_array_equal(general.encode(x), one_sided.encode(x))
    assert_array_equal(general.log_prob(x), one_sided.log_prob(x))


def test_a_fresh_model_is_the_identity_unless_it_is_asked_to_move() -> None:
    x = _rows(9, (2, 4, 1))
    config = {**SMALL, "event_shape": (2, 4, 1), "num_flows": 1}  # which reverses once
    still, moving = (models.create("idf", **config, output_scale=s) for s in (0.0, 3.0))
    assert_array_equal(still.encode(x), x.reshape(9, 8)[:, ::-1])
    assert np.any(moving.encode(x) != still.encode(x))


def test_parts_of_a_squeezed_image_are_the_pixels_of_squares() -> None:
    x = _rows(9, (4, 6, 1))
    still = models.create("idf", event_shape=(4, 6, 1), squeeze=True, **SMALL)
    parts = [x[:, i::2, j::2].reshape(9, 6) for i in (0, 1) for j in (0, 1)]
    assert_array_equal(still.flat(x), np.concatenate(parts, axis=1))
    assert_array_equal(still.unflat(still.flat(x)), x)
    moving = _model((4, 6, 1), squeeze=True, num_flows=1)
    z = moving.encode(x)
    assert_array_equal(moving.decode(z), x)
    assert_array_equal(z, moving.integer_chain().inverse(moving.flat(x.astype("int32"))))


def test_networks_see_integers_times_the_scale() -> None:
    x, plain, scaled = _rows(50), _model(), _model(input_scale=0.25)
    for networks in scaled.shift_networks:
        for network in networks:
            network.hidden[0].kernel.assign(4.0 * network.hidden[0].kernel)
    codes = [
        model.integer_chain().inverse(x.astype("int32"))
        for model in (plain, scaled, _model(input_scale=0.25))
    ]
    assert_array_equal(codes[0], codes[1])
    assert np.any(codes[0] != codes[2])


def test_parts_differ_by_one_in_size() -> None:
    sizes = {
        k: models.create("idf", event_shape=(7,), num_parts=k, **SMALL).config.part_sizes
        for k in (2, 3, 7)
    }
    assert sizes == {2: (4, 3), 3: (3, 2, 2), 7: (1,) * 7}


def test_draws_have_the_masses() -> None:
    """20,000 rows of two features, the range of classes wide enough to cut nothing."""
    model = _model((2,), num_parts=2, scale=1.0, num_classes=400, base="mixture", num_components=2)
    model.base.location.assign(np.array([[195.0, 199.5], [200.5, 203.0]]))
    model.base.negative_rate.assign(-1.0 * np.ones((2, 2)))
    for networks in model.shift_networks:  # shifts of a few units at values around 200
        for network in networks:
            network.hidden[0].kernel.assign(network.hidden[0].kernel / 200.0)
    x = np.asarray(model.sample(20_000, seed=3))
    assert x.dtype == np.int32
    values, counts = np.unique(x, axis=0, return_counts=True)
    expected = 20_000 * np.exp(model.log_prob(values).numpy().astype(np.float64))
    common = expected >= 10
    assert common.sum() > 20
    observed = np.append(counts[common], 20_000 - counts[common].sum())
    expected = np.append(expected[common], 20_000 - expected[common].sum())
    assert scipy.stats.chisquare(observed, expected).pvalue > 1e-3


def test_samples_are_data_and_repeat() -> None:
    model = _model((2, 3, 1))
    x = model.sample(50, seed=7)
    assert (x.dtype, x.shape) == (tf.uint8, (50, 2, 3, 1))
    assert np.max(x) <= 16
    assert_array_equal(x, model.sample(50, seed=7))
    assert np.any(x != model.sample(50, seed=8))
    assert np.any(model.sample(50) != model.sample(50))
    rows = model.draw_rows(tf.constant([[0, 7], [0, 8]]), tf.constant([1.0, 0.0]))
    assert_array_equal(rows[:1], model.sample(1, seed=7))
    assert_array_equal(rows[1:], model.sample(1, seed=8, temperature=0.0))


def test_fit_raises_the_mass_of_its_rows() -> None:
    model = models.create("idf", event_shape=(6,), **SMALL)
    x = np.minimum(_rows(256), 4)
    before = np.mean(model.log_prob(x))
    start = [w.numpy() for w in model.trainable_weights]
    model.compile("adamax")
    model.optimizer.learning_rate = 0.02
    history = model.fit(x, epochs=4, batch_size=64, verbose=0).history
    assert np.mean(model.log_prob(x)) > before + 3.0
    assert_allclose(history["bits_per_dim"], np.array(history["loss"]) / 6 / np.log(2.0), rtol=1e-5)
    for weight, value in zip(model.trainable_weights, start, strict=True):
        assert np.any(weight.numpy() != value), weight.path
    assert_array_equal(model.decode(model.encode(x)), x)


def test_a_mixture_starts_at_the_rows() -> None:
    x = np.where(_rows(500) > 8, 16, 0).astype("uint8")
    model = models.create("idf", event_shape=(6,), base="mixture", **SMALL)
    before = np.mean(model.log_prob(x))
    model.adapt(x)
    assert np.mean(model.log_prob(x)) > before + 5.0


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 6)), "as integers.*got float64"),
        (np.full((2, 6), -1), r"0\.\.16; got -1\.\.-1"),
        (np.full((2, 6), 17), r"0\.\.16; got 17\.\.17"),
        (np.full((2, 6), 300), r"0\.\.16; got 300\.\.300"),
        (np.zeros((2, 5), "uint8"), r"\[batch, 6\]; got \[2, 5\]"),
        (np.zeros((0, 6), "uint8"), "at least one row"),
    ],
)
def test_data_of_the_wrong_kind(x: np.ndarray, message: str) -> None:
    model = _shared()
    for call in (model.log_prob, model.encode, model.adapt):
        with pytest.raises(InvalidInputError, match=message):
            call(x)


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (np.zeros((2, 6), "float32"), "Expected integer latents z; got float32"),
        (np.zeros((2, 5), "int32"), r"\[batch, 6\]; got \[2, 5\]"),
    ],
)
def test_latents_of_the_wrong_kind(z: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        _shared().decode(z)


def test_a_context_is_refused() -> None:
    model, labels = _shared(), np.array([0, 1])
    for call in (
        lambda: model.log_prob(_rows(2), labels),
        lambda: model.encode(_rows(2), labels),
        lambda: model.decode(np.zeros((2, 6), "int32"), labels),
        lambda: model.sample(2, context=labels),
    ):
        with pytest.raises(InvalidInputError, match="unconditional: leave out context"):
            call()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_parts": 7}, "num_parts in 2..6"),
        ({"num_parts": 1}, "num_parts in 2..6"),
        ({"num_flows": 0}, "num_flows of at least 1"),
        ({"coupling": "one_sided"}, "has num_parts=2; got 4"),
        ({"num_classes": 1}, "num_classes must be at least 2"),
        ({"num_components": 0}, "num_components of at least 1"),
        ({"input_scale": 0.0}, "input_scale must be above 0"),
        ({"squeeze": True}, "images .* of even sides"),
        ({"output_scale": -1.0}, "output_scale of 0 or more"),
        ({"context_size": 3}, "no preprocessing and no context"),
        ({"preprocessing": {"whitening": "standardise"}}, "no preprocessing and no context"),
        ({"base": "normal"}, "base must be one of"),
    ],
)
def test_configs_that_cannot_be_built(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models.create("idf", event_shape=(6,), **{**SMALL, **config})


class TestMassOutside:
    def test_is_what_the_box_of_the_data_lacks(self) -> None:
        """Of two classes a dimension, against the sum over the box itself."""
        model = _model((2,), num_classes=3, num_parts=2, scale=0.6)
        model.base.negative_rate.assign(np.zeros_like(model.base.negative_rate))
        box = np.stack(np.meshgrid(range(3), range(3)), -1).reshape(-1, 2).astype("uint8")
        inside = np.exp(model.log_prob(box).numpy().astype(np.float64)).sum()
        task = Task(model=model, rows=Arrays(box))
        found = outside_metrics(task, ["mass_outside"]).metrics["mass_outside"]
        assert 0.05 < inside < 0.95
        assert abs(found["value"] - (1.0 - inside)) < 2.0 * found["two_standard_errors"]

    def test_is_of_integers_alone(self) -> None:
        model = models.create("nice", event_shape=(4,), hidden_units=(4,))
        with pytest.raises(ConfigError, match="whose codes give the data back"):
            outside_metrics(Task(model=model, rows=Arrays(np.zeros((1, 4)))), ["mass_outside"])
