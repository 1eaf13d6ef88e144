"""Training VAEs: warm-up, starts from other weights, binarisation at every step, their figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny_runs

from zoo import evaluation, loading, models, registry, training
from zoo.core.recipe import (
    SGD,
    Binarise,
    Distillation,
    NegativeELBO,
    Optimizer,
    Recipe,
    ReverseKL,
    Target,
    variant,
)
from zoo.data import sources
from zoo.errors import ConfigError, TrainingError
from zoo.ops.noise import binarized
from zoo.training.build import build_model, build_objective
from zoo.training.run import Run
from zoo.training.step import TrainingStep

CONFIG = {
    "event_shape": [4, 4, 1],
    "preprocessing": {"num_levels": 2, "transform": "unit"},
    "latent_size": 2,
    "hidden_units": [8],
    "features": 8,
}
RECIPE = Recipe(
    family="vae",
    config=CONFIG,
    data=tiny_runs.RECIPES["nice"].dataset,
    objective=NegativeELBO(),
    training=SGD(
        optimizer=Optimizer(learning_rate=5e-3, algorithm="adamax"),
        batch_size=16,
        max_epochs=3,
        jit_compile=True,
        augment=(Binarise(),),
    ),
)
PLANAR = dataclasses.replace(
    RECIPE, family="planar_vae", config={**CONFIG, "num_flows": 2}, start="tiny_base"
)


@pytest.fixture(autouse=True)
def _tiny_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "load_arrays", tiny_runs.load_arrays)


def _step(**changes: Any) -> tuple[TrainingStep, Any]:
    recipe = variant(RECIPE, **changes, jit_compile=False)
    model = models.build("vae", recipe.config)
    return TrainingStep(model, recipe, 100), model


@pytest.mark.parametrize(
    ("kind", "step", "beta"),
    [("kl", 0, 0.0), ("kl", 25, 0.25), ("kl", 500, 1.0), ("joint", 0, 0.01), ("joint", 50, 0.51)],
)
def test_the_warm_up_weighs_the_loss_of_the_step(kind: Any, step: int, beta: float) -> None:
    x = tf.constant(tiny_runs.load_arrays(RECIPE.dataset, "train").x[:16])
    training_step, model = _step(annealing=kind, annealing_steps=100)
    seed = tf.constant([0, step])
    terms = [t.numpy() for t in model.elbo_terms(binarized(x, seed), seed)]
    likelihood, prior, entropy = terms
    expected = {
        "kl": -likelihood - beta * (prior + entropy),
        "joint": -beta * (likelihood + prior) - entropy,
    }[kind]
    found = training_step(x, None, tf.constant(step))["nats"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_binary_pixels_have_the_probability_of_their_grey_level() -> None:
    x = np.broadcast_to(np.arange(256, dtype="uint8")[:, None], (256, 4000)).copy()
    drawn = binarized(tf.constant(x), tf.constant([0, 3])).numpy()
    assert set(np.unique(drawn)) == {0, 1}
    error = np.abs(drawn.mean(1) - np.arange(256) / 255.0)
    assert error.max() < 4.5 * np.sqrt(0.25 / 4000)
    assert (drawn[0] == 0).all()
    assert (drawn[255] == 1).all()
    assert (drawn != binarized(tf.constant(x), tf.constant([0, 4])).numpy()).any()


def test_a_run_starts_from_the_weights_of_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.train(RECIPE, tmp_path / "base", name="tiny_base")
    base = loading.load(str(tmp_path / "base"))
    monkeypatch.setattr(loading, "load", lambda name: {"tiny_base": base}[name])
    monkeypatch.setattr(loading, "resolve", lambda name: tmp_path / name.removeprefix("tiny_"))
    run = Run(PLANAR, tmp_path / "planar", "planar", resume=False, initial_weights="")
    assert run.counters["started_from"]["name"] == "base"
    own = len(base.trainable_weights)
    for variable, value in zip(
        run.model.trainable_weights[:own], base.trainable_weights, strict=True
    ):
        np.testing.assert_array_equal(variable, value)
    assert [v.path for v in run.model.trainable_weights[own:]] == ["flow/kernel", "flow/bias"]
    x = tiny_runs.load_arrays(RECIPE.dataset, "test").x // 128
    np.testing.assert_array_equal(  # each weight in its own place: the means are the same
        run.model._posterior(tf.constant(x)).mean, base._posterior(tf.constant(x)).mean
    )


def test_a_start_that_fits_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = models.create("maf", event_shape=(3,), hidden_units=(4,), name="other")
    monkeypatch.setattr(loading, "load", lambda _: other)
    with pytest.raises(TrainingError, match="planar cannot start from other"):
        Run(PLANAR, tmp_path / "planar", "planar", resume=False, initial_weights="")


def test_warm_up_and_binarisation_of_a_model_without_them_are_refused(tmp_path: Path) -> None:
    for what, changes in {
        "warm-up": {"objective": NegativeELBO(annealing_steps=5)},
        "binarisation": {"augment": (Binarise(),)},
    }.items():
        recipe = variant(tiny_runs.RECIPES["nice"], **changes)
        with pytest.raises(ConfigError, match="nice"):
            training.train(recipe, tmp_path / what, name="nice")


@pytest.mark.parametrize(
    "changes",
    [
        {"data": Target(energy="u1", draws=RECIPE.dataset), "objective": ReverseKL()},
        {"objective": Distillation(teacher="wavenet_digits")},
    ],
)
def test_a_vae_has_no_energy_and_no_teacher(changes: dict[str, Any]) -> None:
    recipe = variant(RECIPE, **changes, augment=())
    with pytest.raises(ConfigError, match=r"The objective \w+ needs .*tiny"):
        build_objective(recipe, build_model(recipe, "tiny"))


def test_joint_annealing_has_no_divergence_to_be_bounded() -> None:
    annealed = variant(RECIPE, annealing="joint", annealing_steps=5)
    build_objective(annealed, build_model(annealed, "tiny"))
    recipe = dataclasses.replace(annealed, config={**RECIPE.config, "free_bits": 0.5})
    with pytest.raises(ConfigError, match="Leave out one"):
        build_objective(recipe, build_model(recipe, "tiny"))


def test_figures_of_a_vae(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.evaluation.bounds.IMPORTANCE_SAMPLES", 7)
    entry = dataclasses.replace(registry.get("vae_mnist"), name="tiny", recipe=RECIPE)
    monkeypatch.setitem(registry.ENTRIES, "tiny", entry)
    model = models.build("vae", CONFIG)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(0.5 * rng.normal(size=variable.shape))
    # One latent that no longer depends on the image is not active.
    kernel = model.posterior_layer.kernel.numpy()
    kernel[:, 0] = 0.0
    model.posterior_layer.kernel.assign(kernel)
    result = evaluation.evaluate("tiny", model=model, batch_size=5, limit=13, seed=4)

    x = binarized(
        tf.constant(tiny_runs.load_arrays(RECIPE.dataset, "test").x[:13]), tf.constant([0, 4])
    )
    elbo = model.elbo(x, seed=4).numpy().astype(np.float64)
    log_prob = model.log_prob(x, seed=4, num_importance_samples=7).numpy().astype(np.float64)
    metrics = result["metrics"]
    assert metrics["negative_elbo"]["value"] == pytest.approx(-elbo.mean(), rel=1e-6)
    error = 2.0 * elbo.std(ddof=1) / np.sqrt(13)
    assert metrics["negative_elbo"]["two_standard_errors"] == pytest.approx(error, rel=1e-4)
    assert metrics["negative_log_prob"]["value"] == pytest.approx(-log_prob.mean(), rel=1e-6)
    assert metrics["negative_log_prob"]["num_importance_samples"] == 7
    assert metrics["active_units"] == {"value": 1, "of": 2}
