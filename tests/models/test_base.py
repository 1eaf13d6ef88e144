"""What the base class adds: fitting, `fit`, whitening, TFP objects, seeds."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.testing import assert_allclose, assert_array_equal

import zoo
from zoo import models
from zoo.core.capabilities import Grows
from zoo.networks.made import MADE
from zoo.networks.mlp import MLP

FLOWS = [
    family
    for family in models.FAMILIES
    if "wavenet" not in family and not issubclass(models.model_class(family), Grows)
]


def _correlated(rng: np.random.Generator, num_rows: int, size: int) -> np.ndarray:
    mixing = np.random.default_rng(1).normal(size=(size, size))
    return (rng.normal(size=(num_rows, size)) @ mixing + 3.0).astype("float64")


def test_zca_whitened_gaussian_has_the_density_of_scipys_gaussian(rng: np.random.Generator) -> None:
    """A fresh flow under ZCA is the Gaussian of the rows' own mean and covariance."""
    x = _correlated(rng, 2000, 4)
    model = models.create(
        "nice",
        event_shape=(4,),
        hidden_units=(5,),
        base="normal",
        preprocessing={"whitening": "zca"},
        dtype="float64",
    )
    model.adapt_whitening(x)
    expected = scipy.stats.multivariate_normal(x.mean(0), np.cov(x.T, bias=True)).logpdf(x[:20])
    assert_allclose(model.log_prob(x[:20]), expected, rtol=1e-5)


def test_separably_whitened_gaussian_has_the_density_of_scipys_matrix_normal(
    rng: np.random.Generator,
) -> None:
    rows, columns = _correlated(rng, 3, 3), _correlated(rng, 2, 2)
    x = np.einsum("ai,bj,nij->nab", rows, columns, rng.normal(size=(4000, 3, 2))) + 1.0
    model = models.create(
        "nice",
        event_shape=(3, 2),
        hidden_units=(5,),
        base="normal",
        preprocessing={"whitening": "separable"},
        dtype="float64",
    )
    model.adapt_whitening(x)
    expected = scipy.stats.matrix_normal(x.mean(0), rows @ rows.T, columns @ columns.T).logpdf(
        x[:20]
    )
    assert_allclose(model.log_prob(x[:20]), expected, rtol=0.02)


def test_standardised_gaussian_has_the_density_of_scipys_gaussian(rng: np.random.Generator) -> None:
    x = _correlated(rng, 2000, 4)
    model = models.create(
        "realnvp",
        event_shape=(4,),
        hidden_units=(5,),
        preprocessing={"whitening": "standardise"},
        dtype="float64",
    )
    model.adapt_whitening(x)
    expected = scipy.stats.norm(x.mean(0), x.std(0)).logpdf(x[:20]).sum(-1)
    assert_allclose(model.log_prob(x[:20]), expected, rtol=1e-9)
    assert_allclose(
        model.paper_space_log_det(x[:2]), np.full(2, -np.log(x.std(0)).sum()), rtol=1e-9
    )
    assert not any("standardisation" in w.path for w in model.trainable_weights)


def test_bijector_and_distribution_are_live_tfp_objects(rng: np.random.Generator) -> None:
    model = models.create("maf", event_shape=(3,), hidden_units=(6,), num_layers=2)
    x = rng.normal(size=(5, 3)).astype("float32")
    assert isinstance(model.bijector(), tfp.bijectors.Bijector)
    assert len(model.bijector().bijectors) == 6  # standardisation, two steps of three
    distribution = model.distribution()
    assert isinstance(distribution, tfp.distributions.TransformedDistribution)
    assert distribution.event_shape == (3,)
    assert_allclose(distribution.log_prob(x), model.log_prob(x), rtol=1e-5)
    assert distribution.sample(7, seed=1).shape == (7, 3)
    exponential = tfp.bijectors.Chain([tfp.bijectors.Exp(), model.bijector()])
    z = tf.constant(x)
    assert_allclose(exponential.forward(z), np.exp(model.decode(z)), rtol=1e-5)


def test_noise_is_named_by_the_seed(rng: np.random.Generator) -> None:
    model = models.create("nice", event_shape=(2, 2, 1), hidden_units=(4,))
    model.scaling.weights[0].assign([0.5, -0.5, 1.0, 2.0])
    x = rng.integers(0, 256, (4, 2, 2, 1)).astype("uint8")
    first = model.log_prob(x).numpy()
    assert_array_equal(model.log_prob(x), first)
    assert_array_equal(model.log_prob(x, seed=(0, 0)), first)
    assert_array_equal(model.log_prob(x, seed=tf.constant([0, 5])), model.log_prob(x, seed=5))
    assert (model.log_prob(x, seed=5).numpy() != first).all()
    assert (model.log_prob(x, seed=-5).numpy() != model.log_prob(x, seed=5).numpy()).all()


def test_grey_levels_may_be_fewer_than_256(rng: np.random.Generator) -> None:
    preprocessing = {"num_levels": 4, "transform": "unit"}
    model = models.create(
        "nice", event_shape=(2, 2, 1), hidden_units=(4,), preprocessing=preprocessing
    )
    x = rng.integers(0, 4, (5, 2, 2, 1)).astype("uint8")
    assert_array_equal(model.decode(model.encode(x)), x)
    assert model.sample(50, seed=0, temperature=3.0).numpy().max() <= 3
    with pytest.raises(zoo.ZooError, match=r"0\.\.3"):
        model.log_prob(x + 1 + 3)


# What a family has in place of hidden_units, small.
_VAE = {"hidden_units": (8,), "latent_size": 2, "features": 8}
_FLOW_VAE = {**_VAE, "num_flows": 2}
_SPLINE = {"num_units": 8, "num_layers": 2, "num_blocks": 1}
SIZES: dict[str, dict[str, Any]] = {
    "nice": {"hidden_units": (8,), "num_couplings": 2},
    "realnvp": {"hidden_units": (8,), "num_couplings": 2},
    "maf": {"hidden_units": (8,), "num_layers": 2},
    "iaf": {"hidden_units": (8,), "num_layers": 2},
    "discrete_flow": {"num_classes": 256, "num_couplings": 2, "hidden_units": (8,)},
    "idf": {"num_parts": 2, "num_flows": 2, "hidden_units": (8,)},
    "planar": {"num_layers": 4},
    "radial": {"num_layers": 4},
    "sylvester": {"num_layers": 2, "num_vectors": 2},
    "nsf": _SPLINE,
    "nsf_coupling": _SPLINE,
    "nsf_patches": _SPLINE,
    "vae": _VAE,
    "planar_vae": _FLOW_VAE,
    "radial_vae": _FLOW_VAE,
    "sylvester_vae": {**_FLOW_VAE, "num_vectors": 2},
    "iaf_vae": _FLOW_VAE,
    "coupling_vae": _FLOW_VAE,
}


OFTEN = ("nice", "realnvp", "maf", "nsf", "planar", "idf", "vae")  # one of each way to learn
FITTED = [f if f in OFTEN else pytest.param(f, marks=pytest.mark.slow) for f in FLOWS]


@pytest.mark.parametrize("family", FITTED)
def test_fit_evaluate_save_and_fit_again(family: str, rng: np.random.Generator, tmp_path) -> None:
    context_size = 2 if family in ("maf", "made") else 0
    sizes = SIZES.get(family, {"hidden_units": (8,)})
    model = models.create(family, event_shape=(3,), context_size=context_size, **sizes)
    x = (rng.normal(size=(256, 3)) * [0.3, 1.0, 4.0] + 2.0).astype("float32")
    x[:, 1] += 4.0 * x[:, 0]  # no Gaussian of independent columns, which it starts at
    x = np.clip(np.rint(10.0 * x), 0, 255).astype("uint8") if model.measure == "mass" else x
    labels = (x[:, 0] > 2.0).astype("int32")
    elements = (x, labels) if context_size else x
    data = tf.data.Dataset.from_tensor_slices(elements).batch(64)
    model.adapt(x, labels if context_size else None)
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    history = model.fit(data, epochs=6, shuffle=False, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] - 0.01
    result = model.evaluate(data, verbose=0, return_dict=True)
    context = labels if context_size else None
    scores = model(x, context).numpy()  # log_prob, or a VAE's ELBO
    assert result["loss"] == pytest.approx(-scores.mean(), rel=1e-5)
    assert result["bits_per_dim"] == pytest.approx(-scores.mean() / (3 * np.log(2.0)), rel=1e-5)

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_array_equal(again(x, context), scores)
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations) == 24
    again.run_eagerly = True  # four steps take less than another graph
    again.fit(data, epochs=1, shuffle=False, verbose=0)
    assert int(again.optimizer.iterations) == 28


def test_fit_draws_other_noise_every_step() -> None:
    model = models.create("nice", event_shape=(2, 2, 1), hidden_units=(4,))
    seeds = []
    original = model.score

    def spy(x, context, seed, *, training=False):
        seeds.append(tuple(seed.numpy()))
        return original(x, context, seed, training=training)

    model.score = spy
    model.compile(run_eagerly=True)
    x = np.zeros((8, 2, 2, 1), "uint8")
    model.fit(tf.data.Dataset.from_tensor_slices(x).batch(2), epochs=2, shuffle=False, verbose=0)
    assert len(set(seeds)) == len(seeds) == 8


def test_conditioners_in_bfloat16_leave_densities_in_float32(rng: np.random.Generator) -> None:
    config = {"event_shape": (6,), "hidden_units": (16,), "num_layers": 2}
    model = models.create("maf", **config)
    for weight in model.trainable_weights:
        weight.assign(0.3 * rng.normal(size=weight.shape))
    low = models.build("maf", model.config, conditioner_dtype="mixed_bfloat16")
    low.set_weights(model.get_weights())
    x = rng.normal(size=(5, 6)).astype("float32")
    assert low.log_prob(x).dtype == "float32"
    assert_allclose(low.log_prob(x), model.log_prob(x), rtol=2e-2)
    assert (low.log_prob(x).numpy() != model.log_prob(x).numpy()).any()
    assert_allclose(low.decode(low.encode(x)), x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["nice", "realnvp", "maf", "made", "nsf", "nsf_coupling"])
def test_scoring_runs_every_conditioner_once(
    family: str, rng: np.random.Generator, monkeypatch
) -> None:
    """`inverse` and its log-det share one pass; TFP alone would ask for them one by one."""
    calls: list[str] = []
    run_mlp, bind_made = MLP.call, MADE.bind

    def counted(name: str, function):
        def run(*args, **kwargs):
            calls.append(name)
            return function(*args, **kwargs)

        return run

    monkeypatch.setattr(
        MLP,
        "call",
        lambda self, *args, **kwargs: counted(self.name, run_mlp)(self, *args, **kwargs),
    )
    monkeypatch.setattr(
        MADE,
        "bind",
        lambda self, *args, **kwargs: counted(self.name, bind_made(self, *args, **kwargs)),
    )
    sizes = SIZES.get(family, {"hidden_units": (4,)})
    model = models.create(family, event_shape=(3,), **sizes)
    x = tf.constant(rng.normal(size=(2, 3)), tf.float32)
    model.score(x, None, tf.constant([0, 0]))
    networks = [layer for layer in model._flatten_layers() if isinstance(layer, MLP | MADE)]
    assert sorted(calls) == sorted(layer.name for layer in networks)


def test_a_training_pass_moves_running_moments_once(rng: np.random.Generator) -> None:
    """Couplings of a fresh RealNVP are the identity, so its first moments are those of the data."""
    model = models.create(
        "realnvp", event_shape=(3,), hidden_units=(4,), normalization="batch_norm", dtype="float64"
    )
    x = rng.normal(2.0, 3.0, size=(50, 3))
    model.score(tf.constant(x), None, tf.constant([0, 0]), training=True)
    ordered, norm = x[:, [0, 2, 1]], model.norms[0]
    assert_allclose(norm.mean.numpy(), (1.0 - norm.decay) * ordered.mean(0), rtol=1e-9)
    assert_allclose(
        norm.variance.numpy(), norm.decay + (1.0 - norm.decay) * ordered.var(0), rtol=1e-9
    )
