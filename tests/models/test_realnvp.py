"""RealNVP against a port to NumPy (vectors), and the shape of its multi-scale form (images)."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from zoo import models
from zoo.errors import ConfigError

ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0.0), "tanh": np.tanh}


def _numpy_log_prob(model, x: np.ndarray) -> np.ndarray:
    """Eq. 7-9, coupling by coupling from the data, each followed by its normalisation."""
    config = model.config
    halves = [x[:, 0::2], x[:, 1::2]]
    log_det = np.zeros(len(x))
    activation = ACTIVATIONS[config.activation]
    for i in range(config.num_couplings):
        kept, moved = i % 2, 1 - i % 2
        *hidden, w, b = [w.numpy() for w in model.conditioners[i].weights]
        h = halves[kept]
        for kernel, bias in zip(hidden[::2], hidden[1::2], strict=True):
            h = activation(h @ kernel + bias)
        t, raw = np.split(h @ w + b, 2, -1)
        s = model.log_scales[i].factor.numpy() * np.tanh(raw)
        halves[moved] = (halves[moved] - t) * np.exp(-s)
        log_det = log_det - s.sum(-1)
        norm = {w.path.rsplit("/", 1)[1]: w.numpy() for w in model.norms[i].weights}
        joined = np.concatenate(halves, -1)
        if config.normalization == "batch_norm":
            variance = norm["variance"] + model.norms[i].epsilon
            joined = (joined - norm["mean"]) / np.sqrt(variance) * np.exp(norm["log_gamma"]) + norm[
                "beta"
            ]
            log_det = log_det + (norm["log_gamma"] - 0.5 * np.log(variance)).sum()
        else:
            joined = (joined - norm["shift"]) * np.exp(-norm["raw_log_scale"])
            log_det = log_det - norm["raw_log_scale"].sum()
        halves = [joined[:, : halves[0].shape[1]], joined[:, halves[0].shape[1] :]]
    return scipy.stats.norm.logpdf(joined).sum(-1) + log_det


@pytest.mark.parametrize("normalization", ["activation_norm", "batch_norm"])
@pytest.mark.parametrize("size", [5, 6])
def test_vector_form_is_its_numpy_port(
    rng: np.random.Generator, normalization: str, size: int
) -> None:
    model = models.create(
        "realnvp",
        event_shape=(size,),
        hidden_units=(7,),
        num_couplings=3,
        normalization=normalization,
        activation="tanh",
        preprocessing={},
        dtype="float64",
    )
    for weight in model.weights:
        if weight.path.endswith("variance"):
            weight.assign(rng.uniform(0.4, 2.0, weight.shape))
        elif weight.dtype != "int64":
            weight.assign(0.5 * rng.normal(size=weight.shape))
    x = rng.normal(size=(9, size))
    assert_allclose(model.log_prob(x), _numpy_log_prob(model, x), rtol=1e-10)


@pytest.mark.parametrize(
    ("stride", "num_scales", "shape"), [(1, 1, (4, 6, 1)), (2, 2, (8, 4, 3)), (1, 3, (4, 8, 2))]
)
def test_couplings_per_scale_are_those_asked_for(
    stride: int, num_scales: int, shape: tuple[int, ...]
) -> None:
    model = models.create(
        "realnvp",
        event_shape=shape,
        num_scales=num_scales,
        num_checkerboard=2,
        num_channelwise=3,
        num_final=4,
        filters=2,
        num_blocks=0,
        conditioner_stride=stride,
    )
    assert len(model.conditioners) == (num_scales - 1) * (2 + 3) + 4
    channels = [norm.shape[-1] for norm in model.norms]
    expected = []
    for scale in range(num_scales):
        c = shape[-1] * 2**scale
        expected += [c] * 4 if scale == num_scales - 1 else [c] * 2 + [4 * c] * 3
    assert channels == expected
    x = np.zeros((2, *shape), "uint8")
    assert model.encode(x).shape == (2, int(np.prod(shape)))
    assert_array_equal(model.decode(model.encode(x)), x)


def test_log_scales_are_bounded_by_their_factor(rng: np.random.Generator) -> None:
    model = models.create(
        "realnvp", event_shape=(4,), hidden_units=(6,), num_couplings=1, dtype="float64"
    )
    for weight in model.conditioners[0].weights:
        weight.assign(100.0 * rng.normal(size=weight.shape))
    model.log_scales[0].factor.assign([0.3, 0.7])
    x = rng.normal(size=(50, 4))
    log_det = model.log_prob(x).numpy() - scipy.stats.norm.logpdf(model.encode(x).numpy()).sum(-1)
    assert np.abs(log_det).max() <= 1.0 + 1e-5
    assert np.abs(log_det).max() > 0.5


def test_a_scale_of_one_pixel_is_refused() -> None:
    with pytest.raises(ConfigError, match="is one pixel, which has no checkerboard"):
        models.create("realnvp", event_shape=(4, 4, 2), num_scales=3)
    models.create("realnvp", event_shape=(4, 8, 2), num_scales=3, filters=2, num_blocks=1)


def test_adapt_normalises_every_coupling(rng: np.random.Generator) -> None:
    for normalization in ("activation_norm", "batch_norm"):
        model = models.create(
            "realnvp",
            event_shape=(4, 4, 1),
            num_scales=2,
            num_checkerboard=1,
            num_channelwise=1,
            num_final=1,
            filters=2,
            num_blocks=1,
            normalization=normalization,
        )
        x = rng.integers(0, 256, (200, 4, 4, 1)).astype("uint8")
        model.adapt(x)
        z = model.encode(x).numpy()
        assert_allclose(z.mean(), 0.0, atol=0.05)
        assert_allclose(z.std(), 1.0, atol=0.05)


def test_weight_decay_acts_on_magnitudes_and_factors_alone() -> None:
    model = models.create("realnvp", event_shape=(4, 4, 1), filters=2, num_blocks=1)
    names = {w.path.rsplit("/", 1)[1] for w in model.regularized_weights}
    assert names == {"magnitude", "factor"}
    assert sum(w.path.endswith("factor") for w in model.regularized_weights) == len(
        model.conditioners
    )
