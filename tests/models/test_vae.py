"""VAEs: exact cases by closed forms, bounds, the posterior as TFP sees it, saving, bad input."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import zoo
from zoo.core import objective as settings
from zoo.core.capabilities import Bijective
from zoo.errors import ConfigError, InvalidInputError
from zoo.models.latent.likelihoods import DiscretizedLogistic
from zoo.objectives import NegativeELBO

SIDE, LATENTS, ROWS = 4, 3, 5
SIZES = {
    "event_shape": (SIDE, SIDE, 1),
    "preprocessing": {"num_levels": 2, "transform": "unit"},
    "latent_size": LATENTS,
    "hidden_units": (8,),
    "features": 12,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "diagonal": ("vae", {}),
    "patches": ("vae", {"network": "patch_conv", "filters": 4, "num_blocks": 1}),
    "convolutions": ("vae", {"network": "gated_conv", "filters": 2}),
    "planar": ("planar_vae", {"num_flows": 3}),
    "planar-shared": ("planar_vae", {"num_flows": 2, "amortised": False}),
    "radial": ("radial_vae", {"num_flows": 3}),
    "radial-shared": ("radial_vae", {"num_flows": 2, "amortised": False}),
    "orthogonal": ("sylvester_vae", {"num_flows": 2, "num_vectors": 2}),
    "householder": ("sylvester_vae", {"num_flows": 2, "num_vectors": 2, "kind": "householder"}),
    "triangular": ("sylvester_vae", {"num_flows": 2, "kind": "triangular", "num_vectors": 1}),
    "iaf": (
        "iaf_vae",
        {"num_flows": 2, "made_units": (8,), "context_features": 4, "gate_bias": 4.0},
    ),
    "iaf-full-covariance": (
        "iaf_vae",
        {"num_flows": 2, "made_units": (8,), "context_features": 4, "full_covariance": True},
    ),
    "coupling": ("coupling_vae", {"coupling_units": (8,), "context_features": 4}),
}
RISING = ("diagonal", "planar", "orthogonal", "iaf")
COMPILED = ("convolutions", "planar", "orthogonal")  # forms that the law of compilation has not
BINARY = np.random.default_rng(0).integers(0, 2, (ROWS, SIDE, SIDE, 1)).astype("uint8")


def _randomised(model: Any, scale: float = 1.0) -> Any:
    rng = np.random.default_rng(7)
    for variable in model.trainable_variables:
        fan_in = max(1, int(np.prod(variable.shape[:-1])))
        variable.assign(scale * rng.normal(size=variable.shape) / math.sqrt(fan_in))
    return model


def _model(name: str, **changes: Any) -> Any:
    family, sizes = CASES[name]
    return _randomised(zoo.create(family, **{**SIZES, **sizes, **changes}))


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {name: _model(name) for name in CASES}


@pytest.fixture(scope="module")
def wide() -> dict[str, Any]:
    """The same in float64, computed at once, in place of tracing a graph for one call."""
    built = {name: _model(name, dtype="float64") for name in CASES}
    for model in built.values():
        model._run = lambda unused_name, function, **arrays: function(**arrays)
    return built


# A linear-Gaussian VAE: everything is known.


def _linear(noise: float = 0.5) -> tuple[Any, np.ndarray, np.ndarray]:
    """A VAE with a linear decoder x = W z + b + noise: the model, W [D, latents] and b [D].

    Its encoder gates with 1/2 everywhere, so that it is linear as well, and gives the true
    posterior, which is diagonal since W has orthogonal columns.
    """
    size, latents = 5, 2
    model = zoo.create(
        "vae",
        event_shape=(size,),
        latent_size=latents,
        hidden_units=(),
        features=latents,
        dtype="float64",
    )
    w = np.linalg.qr(np.random.default_rng(1).normal(size=(size, latents)))[0] * [1.5, 0.7]
    b = np.random.default_rng(2).normal(size=size)
    variance = 1.0 / (1.0 + np.sum(w**2, 0) / noise**2)
    gain = (w * variance) / noise**2  # posterior mean = (x - b) @ gain
    gated = model.encoder.layers[0].dense
    gated.kernel.assign(np.concatenate([gain, np.zeros_like(gain)], 1))
    gated.bias.assign(np.concatenate([-b @ gain, np.zeros(latents)]))
    head = np.zeros((latents, 2 * latents))
    head[:, :latents] = 2.0 * np.eye(latents)
    model.posterior_layer.kernel.assign(head)
    clipped = 8.0 * np.arctanh(0.5 * np.log(variance) / 8.0)
    model.posterior_layer.bias.assign(np.concatenate([np.zeros(latents), clipped]))
    model.decoder.output_layer.kernel.assign(w.T)
    model.decoder.output_layer.bias.assign(b)
    model.log_scale.assign(np.full(size, math.log(noise)))
    return model, w, b


def test_a_linear_gaussian_vae_with_the_true_posterior_has_the_exact_density() -> None:
    model, w, b = _linear()
    x = np.random.default_rng(3).normal(size=(6, 5))
    exact = scipy.stats.multivariate_normal(b, w @ w.T + 0.25 * np.eye(5)).logpdf(x)
    for count in (1, 7, 23):  # every importance weight is p(x)
        found = model.log_prob(x, num_importance_samples=count, seed=count)
        np.testing.assert_allclose(found, exact, rtol=1e-10)


def test_the_elbo_of_a_linear_gaussian_vae_is_its_closed_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """E over the posterior of a quadratic is its mean over 2 D points at +-sqrt(D) sigma."""
    model, w, b = _linear()
    shift, widening = np.array([0.3, -0.2]), np.array([0.4, -0.1])  # away from the true posterior
    bias = model.posterior_layer.bias.numpy()
    bias[:2] += shift
    bias[2:] += widening
    model.posterior_layer.bias.assign(bias)
    x = np.random.default_rng(4).normal(size=(6, 5))
    posterior = model.posterior(x)
    mean, sigma = posterior.mean().numpy(), posterior.stddev().numpy()
    residual = x - b - mean @ w.T
    expected = (
        -0.5 * np.sum(residual**2, 1) / 0.25
        - 0.5 * np.sum(sigma**2 * np.sum(w**2, 0), 1) / 0.25
        - 2.5 * math.log(2.0 * math.pi * 0.25)
        - 0.5 * np.sum(mean**2 + sigma**2 - 1.0 - 2.0 * np.log(sigma), 1)
    )
    elbos = []
    for axis, sign in itertools.product(range(2), (1.0, -1.0)):
        point = np.zeros((6, 1, 2))
        point[..., axis] = sign * math.sqrt(2.0)
        monkeypatch.setattr(model, "_noise", lambda *_, p=point: tf.constant(p))
        elbos.append(model.score(tf.constant(x), None, None).numpy())
    np.testing.assert_allclose(np.mean(elbos, 0), expected, rtol=1e-10)


# Bounds.


@pytest.mark.parametrize("name", CASES)
def test_one_importance_sample_is_the_weight_that_tfp_computes(name: str, wide: Any) -> None:
    """log p(x, z) - log q(z | x), q the live distribution, whose flow is inverted."""
    model = wide[name]
    x = tf.constant(BINARY)
    noise = model._noise(x, tf.constant([0, 5]), tf.constant(0), 1)[:, 0]
    q = model._posterior(x)
    z = tf.identity(model._draw(q, noise)[0])
    logits = model.decoder(z).numpy()[..., 0]
    likelihood = np.sum(BINARY * logits - np.logaddexp(0.0, logits), (1, 2, 3))
    prior = scipy.stats.norm.logpdf(z.numpy()).sum(1)
    expected = likelihood + prior - model.posterior(BINARY).log_prob(z).numpy()
    found = model.log_prob(BINARY, seed=5, num_importance_samples=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


# That the estimate is above the ELBO is a law over all families; that it rises is of all alike.
@pytest.mark.parametrize(
    "name",
    [n if n in RISING else pytest.param(n, marks=pytest.mark.slow) for n in CASES],
)
def test_the_elbo_is_below_the_estimate_which_rises_with_its_samples(
    name: str, models: Any
) -> None:
    model = models[name]
    for start in range(3):
        rng = np.random.default_rng(start)
        x = rng.integers(0, 2, (64, SIDE, SIDE, 1)).astype("uint8")
        elbo = np.mean([model.elbo(x, seed=seed).numpy().mean() for seed in range(8)])
        estimates = [
            float(np.mean(model.log_prob(x, num_importance_samples=count)))
            for count in (1, 8, 64, 512)
        ]
        assert elbo < estimates[2] < estimates[3] + 0.02
        assert estimates[0] < estimates[1] < estimates[2]


def _near_the_prior(name: str) -> Any:
    """A model of images 2 x 2 with wide posteriors, so that no importance weight dominates."""
    family, sizes = CASES[name]
    model = _randomised(zoo.create(family, **{**SIZES, **sizes, "event_shape": (2, 2, 1)}))
    for variable in model.trainable_variables:
        if "decoder" not in variable.path:
            variable.assign(0.2 * variable)
    return model


@pytest.mark.parametrize("name", ["diagonal", "planar", "orthogonal", "iaf"])
def test_all_images_together_have_probability_one(name: str) -> None:
    model = _near_the_prior(name)
    images = np.array(list(itertools.product([0, 1], repeat=4)), "uint8").reshape(-1, 2, 2, 1)
    total = np.exp(model.log_prob(images, num_importance_samples=20_000).numpy()).sum()
    assert total == pytest.approx(1.0, abs=0.02)


def test_samples_are_counted_as_often_as_the_density_says() -> None:
    model = _near_the_prior("diagonal")
    images = np.array(list(itertools.product([0, 1], repeat=4)), "uint8").reshape(-1, 2, 2, 1)
    log_prob = model.log_prob(images, num_importance_samples=20_000).numpy()
    probability = np.exp(log_prob.astype(np.float64))
    samples = model.sample(20_000, seed=3).numpy().reshape(-1, 4)
    counts = np.bincount(samples @ [8, 4, 2, 1], minlength=16)
    expected = 20_000 * probability / probability.sum()
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-4


# Likelihoods.


@pytest.mark.parametrize(("location", "log_scale"), [(0.3, -2.0), (-0.1, -4.0), (1.2, 0.5)])
def test_the_masses_of_all_grey_levels_are_those_of_the_logistic_density(
    location: float, log_scale: float
) -> None:
    likelihood = DiscretizedLogistic(256)
    x = np.arange(256)
    found = likelihood.log_prob(
        tf.constant(x),
        tf.fill([256, 1], tf.constant(location, tf.float64)),
        tf.constant(log_scale, tf.float64),
    )
    edges = (np.arange(1, 256) - 0.5) / 255.0
    below = scipy.stats.logistic.cdf(edges, location, math.exp(log_scale))
    expected = np.diff(np.concatenate([[0.0], below, [1.0]]))
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-8, atol=1e-14)
    assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("kind", ["levels", "features"])
def test_grey_levels_and_features_have_vaes_too(kind: str) -> None:
    rng = np.random.default_rng(5)
    if kind == "levels":
        x = rng.integers(0, 256, (4, SIDE, SIDE, 3)).astype("uint8")
        model = zoo.create("planar_vae", event_shape=(SIDE, SIDE, 3), latent_size=2)
    else:
        x = rng.normal(size=(4, 6)).astype("float32")
        model = zoo.create("planar_vae", event_shape=(6,), latent_size=2)
    _randomised(model, 0.5)
    assert np.isfinite(model.elbo(x)).all()
    assert (model.bits_per_dim(x).numpy() > 0.0).all()
    again = model.decode(model.encode(x))
    assert again.shape == x.shape
    assert again.dtype == x.dtype == model.sample(3, seed=0).dtype
    assert model.reconstruct(x).dtype == tf.float32


# Models.


@pytest.mark.parametrize("name", CASES)
def test_every_weight_gets_a_gradient(name: str, models: Any) -> None:
    model = models[name]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(
            NegativeELBO()(model, tf.constant(BINARY), None, tf.constant([0, 1]), training=True)
        )
    gradients = tape.gradient(loss, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient).all(), variable.path
        assert np.abs(gradient).max() > 0.0, variable.path


@pytest.mark.parametrize("name", CASES)
def test_scores_are_functions_of_row_and_seed(name: str, models: Any) -> None:
    model = models[name]
    together = model.elbo(BINARY, seed=1).numpy()
    alone = np.concatenate([model.elbo(row[None], seed=1).numpy() for row in BINARY])
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    if name in COMPILED:
        compiled = tf.function(
            lambda x: model.score(x, None, tf.constant([0, 1])), jit_compile=True, autograph=False
        )
        np.testing.assert_allclose(compiled(tf.constant(BINARY)), together, rtol=1e-5)
    assert (together != model.elbo(BINARY, seed=2).numpy()).all()
    np.testing.assert_allclose(model(BINARY), model.elbo(BINARY), rtol=1e-5)


def test_the_importance_samples_do_not_depend_on_how_many_are_taken_at_once(
    models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimates = []
    for at_once in (1, 4, 10, 100):
        monkeypatch.setattr("zoo.kinds.latent_variable._SAMPLES_AT_ONCE", at_once)
        model = _model("iaf")
        estimates.append(model.log_prob(BINARY, num_importance_samples=23).numpy())
    for found in estimates[1:]:
        np.testing.assert_allclose(found, estimates[0], rtol=1e-5)


def test_annealing_weighs_the_terms(models: Any) -> None:
    model = models["planar"]
    x, seed = tf.constant(BINARY), tf.constant([0, 1])
    likelihood, prior, entropy = (t.numpy() for t in model.elbo_terms(x, seed))

    def loss(kind: str, steps: int, step: int) -> np.ndarray:
        objective = NegativeELBO(settings.NegativeELBO(annealing=kind, annealing_steps=steps))
        return objective(model, x, None, seed, step=tf.constant(step), training=True).numpy()

    whole = -(likelihood + prior + entropy)
    np.testing.assert_allclose(loss("kl", 0, 7), whole, rtol=1e-5)
    np.testing.assert_allclose(loss("kl", 8, 80), whole, rtol=1e-5)
    warm = loss("kl", 8, 2)
    np.testing.assert_allclose(warm, -likelihood - 0.25 * (prior + entropy), rtol=1e-5)
    cold = loss("joint", 100, 24)
    np.testing.assert_allclose(cold, -0.25 * (likelihood + prior) - entropy, rtol=1e-5)


def test_free_bits_stop_the_gradient_of_a_small_divergence() -> None:
    model = _model("diagonal", free_bits=1000.0)
    with tf.GradientTape() as tape:
        objective = model.default_objective()
        loss = objective(model, tf.constant(BINARY), None, tf.constant([0, 1]), training=True)
        loss = tf.reduce_mean(loss)
    likelihood = model.elbo_terms(tf.constant(BINARY), tf.constant([0, 1]))[0]
    assert float(loss) == pytest.approx(1000.0 - float(tf.reduce_mean(likelihood)), rel=1e-5)
    gradient = tape.gradient(loss, model.posterior_layer.kernel)
    assert np.abs(gradient).max() > 0.0  # of the likelihood
    evaluated = objective(model, tf.constant(BINARY), None, tf.constant([0, 1]))
    assert float(tf.reduce_mean(evaluated)) < 900.0


def test_fit_lowers_the_loss() -> None:
    keras.utils.set_random_seed(0)
    model = zoo.create("planar_vae", **SIZES, num_flows=2)
    rng = np.random.default_rng(6)
    x = (rng.random((256, 1, 1, 1)) < 0.5) & (rng.random((256, SIDE, SIDE, 1)) < 0.9)
    x = x.astype("uint8")
    model.compile(keras.optimizers.Adam(1e-2))
    before = model.evaluate(x, batch_size=64, verbose=0, return_dict=True)["loss"]
    history = model.fit(x, batch_size=32, epochs=5, verbose=0).history["loss"]
    after = model.evaluate(x, batch_size=64, verbose=0, return_dict=True)["loss"]
    assert history[-1] < history[0]
    assert after < before - 1.0


@pytest.mark.parametrize("name", CASES)
def test_a_saved_model_is_the_same(name: str, models: Any, tmp_path: Path) -> None:
    model = models[name]
    model.save(tmp_path / "model.keras")
    found = keras.saving.load_model(tmp_path / "model.keras")
    of_rows = tf.constant(BINARY), None, tf.constant([0, 1])
    np.testing.assert_array_equal(found.score(*of_rows), model.score(*of_rows))
    if name == "diagonal":
        np.testing.assert_array_equal(found.sample(2, seed=1), model.sample(2, seed=1))


def test_temperature_zero_draws_at_the_prior_mean(models: Any) -> None:
    model = models["diagonal"]
    drawn = model.sample(4000, seed=1, temperature=0.0).numpy().mean(0)
    logits = model.decoder(tf.zeros([1, LATENTS])).numpy()[0, ..., 0]
    np.testing.assert_allclose(drawn, 1.0 / (1.0 + np.exp(-logits)), atol=0.04)


# Bad input.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.elbo(255 * BINARY), "To binarise grey levels"),
        (lambda m: m.elbo(BINARY / 2.0), "takes grey levels 0..1 as integers"),
        (lambda m: m.elbo(BINARY[:, :3]), "Expected x of shape"),
        (lambda m: m.elbo(BINARY[:0]), "empty batch"),
        (lambda m: m.elbo(BINARY, np.zeros(ROWS, "int32")), "unconditional"),
        (lambda m: m.log_prob(BINARY, num_importance_samples=0), "at least 1"),
        (lambda m: m.log_prob(BINARY, num_importance_samples=2.5), "must be an integer"),
        (lambda m: m.log_prob(BINARY, num_importance_samples=10**9), "at most"),
        (lambda m: m.decode(np.zeros((2, LATENTS + 1), "float32")), "Expected latents"),
        (lambda m: m.decode(np.full((2, LATENTS), np.nan, "float32")), "NaN"),
        (lambda m: m.sample(0), "at least 1"),
        (lambda m: m.sample(1, temperature=-1.0), "temperature"),
        (lambda m: m.reconstruct(BINARY[0]), "Expected x of shape"),
    ],
)
def test_bad_input_is_refused(call: Callable[[Any], Any], message: str, models: Any) -> None:
    with pytest.raises(InvalidInputError, match=message):
        call(models["planar"])


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("vae", {"latent_size": 0}, "latent_size"),
        ("vae", {"network": "patch_conv", "event_shape": (6, 8, 1)}, "multiples of 4"),
        ("vae", {"network": "resnet"}, "network must be"),
        ("vae", {"preprocessing": {"num_levels": 256, "transform": "logit"}}, "as they are"),
        ("planar_vae", {"num_flows": 0}, "num_flows"),
        ("sylvester_vae", {"num_vectors": LATENTS + 1}, "num_vectors"),
        ("sylvester_vae", {"kind": "square"}, "kind must be"),
        ("sylvester_vae", {"kind": "householder", "num_vectors": 0}, "num_vectors"),
        ("iaf_vae", {"made_units": ()}, "made_units"),
        ("iaf_vae", {"full_covariance": True, "latent_size": 1}, "latent_size of at least 2"),
        ("coupling_vae", {"latent_size": 1}, "at least 2"),
    ],
)
def test_sizes_that_cannot_be_built_are_refused(
    family: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        zoo.create(family, **{**SIZES, **changes})


def test_frames_that_are_not_orthogonal_take_any_number_of_vectors() -> None:
    zoo.create("sylvester_vae", **{**SIZES, "kind": "triangular", "latent_size": 4})
    more = {"kind": "householder", "num_vectors": LATENTS + 1}
    zoo.create("sylvester_vae", **{**SIZES, **more})


def test_a_vae_maximises_its_elbo_and_takes_no_function_for_an_objective(models: Any) -> None:
    assert isinstance(models["planar"].objective, NegativeELBO)
    with pytest.raises(InvalidInputError, match=r"one of zoo\.objectives"):
        models["planar"].compile(objective=lambda *_: 0.0)


def test_what_a_latent_variable_model_has_not_is_absent(models: Any) -> None:
    for name in ("bijector", "distribution"):
        assert not hasattr(models["planar"], name)
    assert not isinstance(models["planar"], Bijective)
