"""Denoising and modular flows: mass, bijection, ranks, the oracle of eight Gaussians, refusals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from zoo import models
from zoo.core.training import Descent
from zoo.data import eight_gaussians
from zoo.errors import ConfigError, InvalidInputError
from zoo.models.discrete.denoising_flow import sorted_classes

GRID = np.array(list(itertools.product(range(4), repeat=3)), np.uint8)
FEW = Descent(learning_rate=1e-2, batch_size=50, epochs=4)


def drawn(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return GRID[rng.choice(64, count, p=rng.dirichlet(np.full(64, 0.3)))]


def fresh(family: str, **config: Any) -> Any:
    config = {"num_classes": 4, "num_couplings": 2, "hidden_units": (8,), **config}
    return models.create(family, event_shape=(3,), **config)


def random_weights(model: Any) -> Any:
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.startswith("coupling") and "norm" not in weight.path:
            weight.assign(rng.normal(size=weight.shape))
    model.base.logits.assign(rng.normal(size=model.base.logits.shape))
    return model


@pytest.mark.parametrize("family", ["ddf", "discrete_flow"])
def test_masses_add_up_to_one_and_codes_are_a_bijection(family: str) -> None:
    model = random_weights(fresh(family))
    assert_allclose(np.exp(model.log_prob(GRID)).sum(), 1.0, rtol=1e-5)
    codes = model.encode(GRID).numpy()
    assert len(np.unique(codes, axis=0)) == 64
    assert (codes != GRID).any()
    assert_array_equal(model.decode(codes), GRID)
    assert_allclose(model.base.log_prob(codes), model.log_prob(GRID), rtol=1e-5)
    for rows in (1, 7, 129):  # as many as the batch, and the same
        many = np.tile(GRID, (3, 1))[:rows]
        assert_array_equal(model.encode(many), np.tile(codes, (3, 1))[:rows])


def test_draws_follow_the_mass() -> None:
    model = random_weights(fresh("ddf"))
    draws = model.sample(20_000, seed=1).numpy()
    counts = np.bincount(draws @ [16, 4, 1], minlength=64)
    expected = 20_000 * np.exp(model.log_prob(GRID).numpy().astype(np.float64))
    large = expected > 8.0
    chi_squared = ((counts - expected)[large] ** 2 / expected[large]).sum()
    assert chi_squared < large.sum() + 5.0 * np.sqrt(2.0 * large.sum())


def test_classes_are_sorted_by_logit_and_ties_by_class() -> None:
    logits = tf.constant([[0.0, 3.0, 0.0, 5.0, 1.0], [2.0, 2.0, 2.0, 2.0, 2.0]])
    assert_array_equal(sorted_classes(logits, 0), [[3, 1, 4, 0, 2], [0, 1, 2, 3, 4]])
    assert_array_equal(sorted_classes(logits, 5), [[3, 1, 4, 0, 2], [0, 1, 2, 3, 4]])
    assert_array_equal(sorted_classes(logits, 2), [[3, 1, 0, 2, 4], [0, 1, 2, 3, 4]])
    assert_array_equal(sorted_classes(logits, 1), [[3, 0, 1, 2, 4], [0, 1, 2, 3, 4]])


def test_perfect_logits_reach_the_best_that_a_coupling_can() -> None:
    """The second feature relabelled by its rank given the first, from the exact masses."""
    masses = eight_gaussians.masses()
    assert_allclose(masses.sum(), 1.0, rtol=1e-12)

    def entropy(p: np.ndarray) -> float:
        p = p[p > 0.0]
        return -float((p * np.log(p)).sum())

    table = tf.constant(np.log(np.maximum(masses, 1e-300)))
    order = sorted_classes(table, 0).numpy()
    sorted_masses = np.take_along_axis(masses, order, axis=1)
    assert entropy(masses) == pytest.approx(6.3200, abs=1e-4)
    assert entropy(masses.sum(0)) + entropy(masses.sum(1)) == pytest.approx(7.3522, abs=1e-4)
    reached = entropy(masses.sum(1)) + entropy(sorted_masses.sum(0))
    assert reached == pytest.approx(6.3875, abs=1e-4)
    perfect = entropy(masses.sum(1)) + entropy(-np.sort(-masses, axis=1).sum(0))
    assert reached == pytest.approx(perfect, abs=1e-9)
    rows = eight_gaussians.generated()
    assert (rows.shape, rows.dtype, rows.max() <= 90) == ((12_800, 2), np.uint8, True)
    assert np.bincount(rows[:, 0] // 10, minlength=10).min() > 0


def test_a_coupling_learns_what_its_features_say_of_the_others() -> None:
    """x_1 = x_0 + 1 mod 4 with few exceptions: its rank is 0 then, and its entropy goes."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 4, 600)
    second = np.where(rng.random(600) < 0.1, rng.integers(0, 4, 600), (first + 1) % 4)
    x = np.stack([first, second], axis=1).astype("uint8")
    model = models.create(
        "ddf", event_shape=(2,), num_classes=4, num_couplings=1, hidden_units=(16,)
    )
    history = model.fit(x, descent=FEW, verbose=0).history
    assert history["loss"][0] == pytest.approx(2.0 * np.log(4.0), abs=0.02)
    assert history["loss"][1] < history["loss"][0] - 0.7
    assert (model.encode(x).numpy()[:, 1] == 0).mean() > 0.85


def test_a_coupling_that_would_lower_the_score_is_the_identity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x = fresh("ddf"), drawn(200)
    model.adapt(x)
    before = model.log_prob(x).numpy()

    def spoil(network: Any, *_: Any, **__: Any) -> None:
        """Sorts by noise: what was ordered is mixed."""
        rng = np.random.default_rng(1)
        for weight in (network.hidden[0].kernel, network.output_layer.kernel):
            weight.assign(5.0 * rng.normal(size=weight.shape))

    monkeypatch.setattr("zoo.models.discrete.denoising_flow.classify", spoil)
    assert model.grow(x) >= 0.0
    after = model.log_prob(x).numpy()
    assert after.mean() >= before.mean() - 1e-6
    assert model.stages_done == 1


def test_modular_shifts_learn_by_straight_through_gradients() -> None:
    model, x = fresh("discrete_flow", num_couplings=1), drawn(400, seed=3)
    model.adapt(x)
    start = -float(np.mean(model.log_prob(x)))
    model.compile("adam")
    model.fit(x, epochs=3, batch_size=50, adapt=False, verbose=0)
    with tf.GradientTape() as tape:
        nats = -tf.reduce_mean(model.score(tf.constant(x), None, None, training=True))
    gradients = tape.gradient(nats, model.networks[0].trainable_variables)
    assert all(np.any(g) for g in gradients)
    assert -float(np.mean(model.log_prob(x))) < start + 0.05


def test_what_cannot_be_built_or_scored_is_refused() -> None:
    for family, config, message in (
        ("ddf", {"num_classes": 1}, "at least 2"),
        ("ddf", {"sorts": 5}, r"sorts must be in 0\.\.4"),
        ("ddf", {"num_couplings": 0}, "num_couplings of at least 1"),
        ("ddf", {"seed": -1}, "seed must be 0 or more"),
        ("discrete_flow", {"num_classes": (2, 3, 4)}, "the same number of classes"),
        ("discrete_flow", {"softness": 0.0}, "softness above 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            fresh(family, **config)
    with pytest.raises(InvalidInputError, match=r"must be in 0\.\.3"):
        fresh("ddf").log_prob(np.array([[0, 1, 4]]))
