"""MAF and MADE, weight for weight against a port to NumPy.

The port is written here from the paper's equations.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.testing import assert_allclose

from zoo import models
from zoo.errors import ConfigError

ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0.0), "tanh": np.tanh}


def _degrees(num_units: int, size: int, lowest: int) -> list[int]:
    """Sorted and spread evenly over lowest..size-1."""
    return [lowest + (unit * (size - lowest)) // num_units for unit in range(num_units)]


class NumpyMADE:
    """MADE with explicit masks (arXiv:1502.03509, Eq. 12-13), from the weights of a Keras layer."""

    def __init__(self, layer, size: int, context_size: int, activation: str, limit: float) -> None:
        weights = {w.path.split("/", 1)[1]: w.numpy() for w in layer.weights}
        self.limit, self.activation = limit, ACTIVATIONS[activation]
        self.context_kernel = weights.get("context/kernel")
        self.matrices, self.biases = [], []
        degrees = list(range(1, size + 1))
        names = [f"hidden_{i}" for i in range(len(layer.hidden_units))]
        for name in names:
            kernel = weights[f"{name}/kernel"]
            hidden = _degrees(kernel.shape[1], size, 0 if context_size else 1)
            mask = [[float(h >= d) for h in hidden] for d in degrees]
            self.matrices.append(kernel * mask)
            self.biases.append(weights[f"{name}/bias"])
            degrees = hidden
        mask = [[float(1 + j // 2 > d) for j in range(2 * size)] for d in degrees]
        self.matrices.append(weights["output/kernel"] * mask)
        self.biases.append(weights["output/bias"])

    def __call__(self, x: np.ndarray, one_hot: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        h = x
        for i, (w, b) in enumerate(zip(self.matrices[:-1], self.biases[:-1], strict=True)):
            h = h @ w + b
            if i == 0 and one_hot is not None:
                h = h + one_hot @ self.context_kernel
            h = self.activation(h)
        out = (h @ self.matrices[-1] + self.biases[-1]).reshape(len(x), -1, 2)
        return out[..., 0], self.limit * np.tanh(out[..., 1] / self.limit)


def _randomise(model, rng: np.random.Generator) -> None:
    for weight in model.weights:
        if weight.path.endswith("variance"):
            weight.assign(rng.uniform(0.4, 2.0, weight.shape))
        elif weight.dtype != "int64":
            weight.assign(0.6 * rng.normal(size=weight.shape))


def _numpy_log_prob(model, x: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Eq. 4-5 layer by layer, from the data: MADE, batch norm (Eq. 19-22), reversal."""
    config, u, log_det = model.config, x.astype("float64"), np.zeros(len(x))
    one_hot = None if labels is None else np.eye(config.context_size)[labels]
    for i, layer in enumerate(model.networks):
        if i:
            u = u[:, ::-1]
        made = NumpyMADE(
            layer, config.event_size, config.context_size, config.activation, config.log_scale_limit
        )
        mu, alpha = made(u, one_hot)
        u, log_det = (u - mu) * np.exp(-alpha), log_det - alpha.sum(-1)
        if config.normalization == "batch_norm":
            norm = {w.path.rsplit("/", 1)[1]: w.numpy() for w in model.norms[i].weights}
            variance = norm["variance"] + model.norms[i].epsilon
            u = (u - norm["mean"]) / np.sqrt(variance) * np.exp(norm["log_gamma"]) + norm["beta"]
            log_det = log_det + (norm["log_gamma"] - 0.5 * np.log(variance)).sum()
    return scipy.stats.norm.logpdf(u).sum(-1) + log_det


@pytest.mark.parametrize(
    "config",
    [
        {"num_layers": 1, "normalization": "none", "hidden_units": (13,)},
        {"num_layers": 3, "hidden_units": (13, 9), "activation": "tanh", "log_scale_limit": 2.0},
        {"num_layers": 2, "hidden_units": (17,), "context_size": 3},
    ],
    ids=["one-layer", "batch-norm", "conditional"],
)
def test_maf_is_its_numpy_port(rng: np.random.Generator, config: dict) -> None:
    model = models.create("maf", event_shape=(6,), preprocessing={}, dtype="float64", **config)
    _randomise(model, rng)
    x = rng.normal(size=(8, 6))
    labels = np.arange(8, dtype="int32") % 3 if config.get("context_size") else None
    assert_allclose(model.log_prob(x, labels), _numpy_log_prob(model, x, labels), rtol=1e-10)


def test_sampling_is_the_sequential_recursion_of_equation_3(rng: np.random.Generator) -> None:
    model = models.create(
        "made",
        event_shape=(5,),
        hidden_units=(11,),
        context_size=2,
        preprocessing={},
        dtype="float64",
    )
    _randomise(model, rng)
    made = NumpyMADE(model.network, 5, 2, "relu", model.config.log_scale_limit)
    z, labels = rng.normal(size=(4, 5)), np.array([0, 1, 1, 0], "int32")
    x = np.zeros((4, 5))
    for i in range(5):
        mu, alpha = made(x, np.eye(2)[labels])
        x[:, i] = z[:, i] * np.exp(alpha[:, i]) + mu[:, i]
    assert_allclose(model.decode(z, labels), x, rtol=1e-9, atol=1e-10)


def test_made_is_a_product_of_gaussian_conditionals(rng: np.random.Generator) -> None:
    """The special case of Sec. 3.3, by scipy: x_i ~ N(mu_i(x_<i), exp(alpha_i(x_<i)))."""
    model = models.create(
        "made", event_shape=(4,), hidden_units=(9,), preprocessing={}, dtype="float64"
    )
    _randomise(model, rng)
    made = NumpyMADE(model.network, 4, 0, "relu", model.config.log_scale_limit)
    x = rng.normal(size=(6, 4))
    mu, alpha = made(x, None)
    assert_allclose(
        model.log_prob(x), scipy.stats.norm(mu, np.exp(alpha)).logpdf(x).sum(-1), rtol=1e-10
    )


def test_batch_norm_is_evaluated_with_the_moments_that_were_set(rng: np.random.Generator) -> None:
    model = models.create("maf", event_shape=(3,), hidden_units=(8,), num_layers=2, dtype="float64")
    x = rng.normal(3.0, 2.0, size=(500, 3))
    model.adapt_batch_norm(x)
    one_by_one = np.concatenate([model.log_prob(x[i : i + 1]) for i in range(3)])
    assert_allclose(model.log_prob(x)[:3], one_by_one, rtol=1e-10)
    z = model.encode(x).numpy()
    assert_allclose(z.mean(0), 0.0, atol=1e-3)
    assert_allclose(z.std(0), 1.0, atol=1e-3)


def _mixture_log_prob(raw: np.ndarray, x: np.ndarray, limit: float) -> np.ndarray:
    """sum_i log sum_c w_c N(x_i; mu_c, sigma_c), whose raw zeros are a spread of variance 1."""
    logits, means, log_scales = np.split(raw, 3, -1)
    count = means.shape[-1]
    spread = scipy.stats.norm.ppf((np.arange(count) + 0.5) / count)
    log_scales = limit * np.tanh((log_scales + 0.5 * np.log(1.0 - spread.var())) / limit)
    log_weights = logits - scipy.special.logsumexp(logits, -1, keepdims=True)
    parts = scipy.stats.norm(means + spread, np.exp(log_scales)).logpdf(x[..., None])
    return scipy.special.logsumexp(log_weights + parts, -1).sum(-1)


@pytest.mark.parametrize("family", ["made", "maf"])
def test_mixtures_of_gaussians_are_scipys(rng: np.random.Generator, family: str) -> None:
    """MADE MoG; MAF MoG: the same behind an affine layer and a reversal."""
    config: dict = {
        "preprocessing": {},
        "num_components": 3,
        "hidden_units": (9,),
        "log_scale_limit": 3.0,
    }
    if family == "maf":
        config |= {"num_layers": 1, "normalization": "none"}
    model = models.create(family, event_shape=(4,), dtype="float64", **config)
    _randomise(model, rng)
    x, log_det = rng.normal(size=(6, 4)), 0.0
    network, u = (model.network, x) if family == "made" else (model.base_network, x)
    if family == "maf":
        mu, alpha = NumpyMADE(model.networks[0], 4, 0, "relu", 3.0)(x, None)
        u, log_det = ((x - mu) * np.exp(-alpha))[:, ::-1], -alpha.sum(-1)
    expected = _mixture_log_prob(network(u).numpy(), u, 3.0) + log_det
    assert_allclose(model.log_prob(x), expected, rtol=1e-9)
    # Latents are standard normal: the same density through the bijector.
    assert_allclose(model.distribution().log_prob(x), expected, rtol=1e-7)
    assert_allclose(model.decode(model.encode(x)), x, rtol=1e-7, atol=1e-8)


def test_numbers_of_components_below_0_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_components must be 0"):
        models.create("made", event_shape=(4,), num_components=-1)
