"""IAF against a port to NumPy, weight for weight, and against its mirror image, MAF."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.testing import assert_allclose
from test_maf import NumpyMADE

from zoo import models
from zoo.errors import ConfigError
from zoo.networks.made import BoundMADE

SIZE = 5


def _randomised(rng: np.random.Generator, **config):
    model = models.create("iaf", event_shape=(SIZE,), dtype="float64", **config)
    for weight in model.trainable_variables:
        weight.assign(0.5 * rng.normal(size=weight.shape))
    return model


def _numpy_decode(model, z: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 13-14 layer by layer, from the noise: (x, log-det)."""
    config = model.config
    one_hot = None if labels is None else np.eye(config.context_size)[labels]
    log_det = np.zeros(len(z))
    for i, layer in enumerate(model.networks):
        if i:
            z = z[:, ::-1]
        made = NumpyMADE(
            layer, SIZE, config.context_size, config.activation, config.log_scale_limit
        )
        m, s = made(z, one_hot)
        gate = scipy.special.expit(s + 1.5)
        z, log_det = gate * z + (1.0 - gate) * m, log_det + np.log(gate).sum(-1)
    weights = {w.path.rsplit("/", 1)[1]: w.numpy() for w in model.scaling.weights}
    scaled = z * np.exp(weights["raw_log_scale"]) + weights["shift"]
    return scaled, log_det + weights["raw_log_scale"].sum()


@pytest.mark.parametrize(
    "config",
    [
        {"num_layers": 1, "hidden_units": (11,)},
        {"num_layers": 3, "hidden_units": (9, 7), "activation": "tanh", "log_scale_limit": 2.0},
        {"num_layers": 2, "hidden_units": (13,), "context_size": 3},
    ],
    ids=["one-layer", "three-layers", "conditional"],
)
def test_iaf_is_its_numpy_port(rng: np.random.Generator, config: dict) -> None:
    model = _randomised(rng, **config)
    z = rng.normal(size=(8, SIZE))
    labels = np.arange(8, dtype="int32") % 3 if config.get("context_size") else None
    x, log_det = _numpy_decode(model, z, labels)
    assert_allclose(model.decode(z, labels), x, rtol=1e-10, atol=1e-12)
    assert_allclose(model.encode(x, labels), z, rtol=1e-8, atol=1e-10)
    expected = scipy.stats.norm.logpdf(z).sum(-1) - log_det
    assert_allclose(model.log_prob(x, labels), expected, rtol=1e-9)


def test_a_fresh_layer_keeps_most_of_the_noise() -> None:
    """Gates of sigmoid(1.5) = 0.82 (arXiv:1606.04934, Sec. 4), up to a small fresh network."""
    model = models.create("iaf", event_shape=(SIZE,), num_layers=1, dtype="float64")
    z = np.random.default_rng(0).normal(size=(64, SIZE))
    gates = np.diagonal(np.linalg.lstsq(z, model.decode(z).numpy(), rcond=None)[0])
    assert_allclose(gates, scipy.special.expit(1.5), atol=0.1)


def test_sizes_that_cannot_be_built_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_layers must be at least 1; got 0"):
        models.create("iaf", event_shape=(3,), num_layers=0)
    assert models.create("iaf", event_shape=(3,)).slow_direction == "density"


def test_density_block_by_block_is_that_of_whole_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 48 coordinates the MADE's own solver computes each hidden unit about once."""
    model = models.create(
        "iaf", event_shape=(48,), num_layers=2, hidden_units=(64, 64), dtype="float64"
    )
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) / np.sqrt(variable.shape[0]))
    x = model.sample(5, seed=0)
    solvers = []
    solver = BoundMADE.solver
    monkeypatch.setattr(
        BoundMADE, "solver", lambda self: solvers.append(solver(self)) or solvers[-1]
    )
    by_blocks = model.log_prob(x)
    assert len(solvers) == 2
    assert None not in solvers
    monkeypatch.setattr(BoundMADE, "solver", lambda self: None)
    model._compiled_functions.clear()
    np.testing.assert_allclose(by_blocks, model.log_prob(x), rtol=1e-10)
