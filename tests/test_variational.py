"""Fitting to an energy: the loss against quadrature and SciPy, its noise, and a short training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from numpy.testing import assert_allclose

from zoo import models, registry, training
from zoo.core import objective as settings
from zoo.core.recipe import variant
from zoo.data import sources
from zoo.data.targets.plane import ENERGIES
from zoo.errors import ConfigError
from zoo.evaluation import targets
from zoo.evaluation.task import Task
from zoo.objectives.reverse_kl import ReverseKL
from zoo.training.build import build_model, build_objective


def test_the_loss_is_the_divergence_by_quadrature() -> None:
    """KL(q | p) of the model's own density, integrated over a grid with its log_prob."""
    model = models.create("planar", event_shape=(2,), num_layers=3, dtype="float64")
    generator = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(0.5 * generator.normal(size=weight.shape))
    loss = ReverseKL("u2")
    axis = np.linspace(-12.0, 12.0, 801)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    log_q = model.log_prob(points).numpy()
    log_p = -ENERGIES["u2"](tf.constant(points)).numpy() - loss.log_normaliser
    cell = (axis[1] - axis[0]) ** 2
    assert np.exp(log_q).sum() * cell == pytest.approx(1.0, abs=1e-3)
    expected = (np.exp(log_q) * (log_q - log_p)).sum() * cell
    rows = np.random.default_rng(1).normal(size=(100_000, 2))
    draws = loss(model, tf.constant(rows), None, tf.constant([0, 0])).numpy()
    standard_error = draws.std() / np.sqrt(len(draws))
    assert abs(draws.mean() - expected) < 4.5 * standard_error
    assert standard_error < 0.02 * expected


def test_its_noise_is_standard_normal_and_a_rows_own() -> None:
    """Over the identity, the loss less U and log Z is the base's log-density of the noise."""
    model = models.create("radial", event_shape=(2,), num_layers=1, dtype="float64")
    loss = ReverseKL("u1")
    seen = []
    loss.energy = lambda y: seen.append(y.numpy()) or tf.zeros_like(y[:, 0])
    rows = np.random.default_rng(2).normal(size=(20_000, 2))
    whole = loss(model, tf.constant(rows), None, tf.constant([3, 4])).numpy()
    noise = seen[0]
    for column in noise.T:
        assert scipy.stats.kstest(column, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.03
    assert_allclose(
        whole, scipy.stats.norm.logpdf(noise).sum(1) + loss.log_normaliser, rtol=1e-10, atol=1e-10
    )
    loss(model, tf.constant(rows[5:8]), None, tf.constant([3, 4]))
    np.testing.assert_array_equal(seen[1], noise[5:8])
    loss(model, tf.constant(rows), None, tf.constant([3, 5]))
    assert (seen[2] != noise).mean() > 0.999


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ConfigError, match="energy must be one of u1, u2, u3, u4; got 'u9'"):
        ReverseKL("u9")
    model = models.create("planar", event_shape=(3,), num_layers=1)
    with pytest.raises(ConfigError, match=r"event_shape \(2,\); got \(3,\)"):
        ReverseKL("u1")(model, tf.zeros([4, 3]), None, tf.constant([0, 0]))


def test_a_recipe_with_an_energy_trains_by_it(tmp_path: Path) -> None:
    """A few hundred steps of `zoo train` bring the divergence down, and `evaluate` measures it."""
    recipe = variant(
        registry.get("planar_u2").recipe,
        config={"event_shape": [2], "num_layers": 4},
        objective=settings.ReverseKL(annealing_steps=100),
        batch_size=1000,
        max_epochs=3,
        validate_every=0,
        jit_compile=False,
    )
    fresh = build_model(recipe, "fresh")
    rows = sources.load_arrays(recipe.dataset, "validation").take(2000)
    objective = build_objective(recipe, fresh)
    before = float(np.mean(objective(fresh, rows.x, None, tf.constant([0, 0]))))
    result = training.train(recipe, tmp_path / "run")
    assert result.step == 300
    assert result.best_validation_nats < before - 0.5
    model = models.build("planar", recipe.config)
    model.load_weights(tmp_path / "run" / "model.weights.h5")
    task = Task(model=model, rows=rows, recipe=recipe)
    metrics = targets.target_metrics(task, ("reverse_kl", "forward_kl")).metrics
    found = metrics["reverse_kl"]
    assert found["draws"] >= 100_000
    assert found["value"] == pytest.approx(result.best_validation_nats, abs=0.1)
    assert 0.0 < found["two_standard_errors"] < 0.05
    assert metrics["forward_kl"]["value"] > 0.0
    assert metrics["forward_kl"]["draws"] == 2000
    assert found["log_normaliser"] == pytest.approx(2.6253183, abs=1e-6)


def test_the_figures_of_a_known_model_are_scipys() -> None:
    """One radial layer that is the identity: q is a standard normal."""
    model = models.create("radial", event_shape=(2,), num_layers=1)
    rows = sources.load_arrays(registry.get("radial_u1").recipe.dataset, "validation").take(4000)
    task = Task(model=model, rows=rows, recipe=registry.get("radial_u1").recipe)
    metrics = targets.target_metrics(task, ("reverse_kl", "forward_kl")).metrics
    log_z = metrics["reverse_kl"]["log_normaliser"]
    z = np.random.default_rng(5).normal(size=(400_000, 2))
    divergence = scipy.stats.norm.logpdf(z).sum(1) + ENERGIES["u1"](tf.constant(z)).numpy() + log_z
    error = (
        5.0 * divergence.std() / np.sqrt(len(z))
        + 2.5 * metrics["reverse_kl"]["two_standard_errors"]
    )
    assert metrics["reverse_kl"]["value"] == pytest.approx(divergence.mean(), abs=error)
    log_p = -ENERGIES["u1"](tf.constant(rows.x)).numpy() - log_z
    expected = np.mean(log_p - scipy.stats.norm.logpdf(rows.x).sum(1))
    assert metrics["forward_kl"]["value"] == pytest.approx(expected, rel=1e-4)


def test_annealing_weighs_the_energy_alone() -> None:
    model = models.create("planar", event_shape=(2,), num_layers=2, dtype="float64")
    loss = ReverseKL("u3", settings.ReverseKL(annealing_steps=100))
    z = tf.constant(np.random.default_rng(0).normal(size=(50, 2)))
    whole, half, none = (loss.of_latents(model, z, beta=beta).numpy() for beta in (1.0, 0.5, 0.0))
    energy = ENERGIES["u3"](model.decode(z)).numpy()
    assert_allclose(whole - none, energy, rtol=1e-9)
    assert_allclose(half - none, 0.5 * energy, rtol=1e-9)
    x, seed = tf.constant(z.numpy()), tf.constant([1, 2])
    step = tf.constant(49)  # beta 0.01 + 0.49
    annealed = loss(model, x, None, seed, step=step, training=True).numpy()
    plain = loss(model, x, None, seed).numpy()
    draws = (plain - annealed) / 0.5  # U of the same draws
    assert (annealed != plain).all()
    last = loss(model, x, None, seed, step=tf.constant(10**6), training=True).numpy()
    assert_allclose(last, plain, rtol=1e-9)
    first = loss(model, x, None, seed, step=tf.constant(0), training=True).numpy()
    assert_allclose(plain - first, 0.99 * draws, rtol=1e-6)


def test_objectives_say_which_models_and_data_they_are_for() -> None:
    recipe = registry.get("planar_u2").recipe
    assert recipe.objective.annealing_steps > 0
    model = build_model(recipe, "annealed")
    build_objective(recipe, model)
    with pytest.raises(ConfigError, match="ReverseKL and the data Target go together"):
        variant(recipe, data=recipe.dataset)
    bound = variant(recipe, data=recipe.dataset, objective=settings.NegativeELBO())
    with pytest.raises(ConfigError, match="NegativeELBO needs a model that is Infers; annealed"):
        build_objective(bound, model)
