"""Laws: densities integrate to 1, samples follow them, and a uniform model costs exactly 8 bits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from cases import COMPOSED, MODELS, having, shared_model

from zoo import models
from zoo.core.capabilities import Bijective, Samples, Scores

# Wide enough for tails of random weights; fine enough for a midpoint rule on smooth densities.
GRID_HALF_WIDTH = 40.0
P_VALUE = 1e-4
LABEL = 0

FEATURES = [
    name
    for name in having(Scores, Samples)
    if MODELS[name].model_class.precision == "exact"
    and not MODELS[name].data.is_integer
    and not any(column.has_mass for column in MODELS[name].data.columns)
]
PLANAR = [name for name in FEATURES if MODELS[name].event_size <= 2]


def _labels(case, num_rows: int) -> np.ndarray | None:
    if case.labels() is None or case.context.num_labels:
        return None if case.labels() is None else np.full(num_rows, LABEL, "int32")
    return np.repeat(case.labels(1), num_rows, axis=0)


def _density(model, case, edges: list[np.ndarray]) -> np.ndarray:
    """exp(log_prob) at the midpoints of the cells between the edges."""
    middles = [0.5 * (e[1:] + e[:-1]) for e in edges]
    points = np.stack([m.ravel() for m in np.meshgrid(*middles, indexing="ij")], -1)
    density = np.exp(model.log_prob(points, _labels(case, len(points))))
    return density.reshape([len(m) for m in middles])


def test_every_family_has_a_density_that_can_be_integrated() -> None:
    """Of a row of integers the noise has to be averaged over: families with no other row."""
    bijective = {MODELS[name].family for name in having(Bijective)}
    integers = {MODELS[name].family for name in MODELS if MODELS[name].data.is_integer}
    others = bijective - {MODELS[name].family for name in PLANAR}
    # A patch has three numbers at least: its samples reweight another density, below.
    assert others - {"nsf_patches"} - COMPOSED == {"parallel_wavenet"} <= integers


@pytest.mark.parametrize("name", PLANAR)
def test_density_integrates_to_one(name: str) -> None:
    case = MODELS[name]
    # Cells grow geometrically away from the bulk, so that heavy tails cost few of them.
    samples = shared_model(case).sample(4000, seed=5, context=_labels(case, 4000)).numpy()
    centre = np.median(samples, 0)
    half_width = max(GRID_HALF_WIDTH, 1.5 * float(np.abs(samples - centre).max()))
    half = half_width * np.expm1(np.linspace(0.0, 5.0, 260)) / math.expm1(5.0)
    edges = [np.concatenate([-half[:0:-1], half]) + m for m in centre]
    cells = np.diff(edges[0])
    for other in edges[1:]:
        cells = np.multiply.outer(cells, np.diff(other))
    total = float((_density(shared_model(case, "float64"), case, edges) * cells).sum())
    assert total == pytest.approx(1.0, abs=3e-3)


@pytest.mark.parametrize("name", PLANAR)
def test_samples_fall_where_the_density_is(name: str) -> None:
    """Counts in bins against the density integrated over each bin: Pearson's chi-squared."""
    case = MODELS[name]
    num_samples, num_bins, cells_per_bin = 20_000, 12, 24
    samples = (
        shared_model(case).sample(num_samples, seed=11, context=_labels(case, num_samples)).numpy()
    )
    edges = [np.linspace(*np.quantile(column, [0.03, 0.97]), num_bins + 1) for column in samples.T]
    fine = [
        np.interp(np.arange(num_bins * cells_per_bin + 1) / cells_per_bin, range(num_bins + 1), e)
        for e in edges
    ]
    probability = _density(shared_model(case, "float64"), case, fine) * np.prod(
        [f[1] - f[0] for f in fine]
    )
    for axis in range(len(edges)):
        shape = [*probability.shape[:axis], num_bins, cells_per_bin, *probability.shape[axis + 1 :]]
        probability = probability.reshape(shape).sum(axis + 1)
    expected = num_samples * probability.ravel()
    counts = np.histogramdd(samples, bins=edges)[0].ravel()
    large = expected > 8.0
    observed = np.append(counts[large], num_samples - counts[large].sum())
    expected = np.append(expected[large], num_samples - expected[large].sum())
    assert large.sum() >= 8
    assert scipy.stats.chisquare(observed, expected).pvalue > P_VALUE


# In many dimensions the weights of a narrow Gaussian have no useful variance.
@pytest.mark.parametrize("name", [n for n in FEATURES if 2 < MODELS[n].event_size <= 8])
def test_samples_reweight_another_density_to_one(name: str) -> None:
    """E[q(x) / p(x)] = 1 over samples of p, for a q narrower than p; a wrong log-det shifts it."""
    case = MODELS[name]
    num_samples = 20_000
    labels = _labels(case, num_samples)
    samples = shared_model(case, "float64").sample(num_samples, seed=13, context=labels).numpy()
    centre = np.median(samples, 0)
    near = samples[np.argsort(((samples - centre) ** 2).sum(-1))[: num_samples // 5]]
    narrow = scipy.stats.multivariate_normal(near.mean(0), 0.7 * np.cov(near.T))
    log_ratio = narrow.logpdf(samples) - shared_model(case, "float64").log_prob(samples, labels)
    ratio = np.exp(log_ratio)
    standard_error = ratio.std() / math.sqrt(num_samples)
    assert standard_error < 0.05
    assert abs(ratio.mean() - 1.0) < 4.5 * standard_error


def test_grey_levels_are_sampled_with_the_mass_of_their_bins() -> None:
    """One pixel: P(k) is a difference of normal probabilities at the edges of bin k."""
    case = MODELS["made-pixel"]
    model = shared_model(case, "float64")
    edges = tf.reshape(tf.range(1.0, 256.0, dtype=tf.float64), [255, 1, 1, 1])
    cumulative = scipy.stats.norm.cdf(model.bijector().inverse(edges).numpy().ravel())
    probability = np.diff(np.concatenate([[0.0], cumulative, [1.0]]))
    num_samples = 20_000
    samples = model.sample(num_samples, seed=17).numpy().ravel()
    expected = num_samples * probability
    counts = np.bincount(samples, minlength=256)
    large = expected > 8.0
    observed = np.append(counts[large], num_samples - counts[large].sum())
    expected = np.append(expected[large], num_samples - expected[large].sum())
    assert scipy.stats.chisquare(observed, expected).pvalue > P_VALUE
    # Averaged over the noise, log_prob is at most the log of that mass, and close for smooth
    # densities.
    pixel = np.full((1, 1, 1, 1), 128, "uint8")
    scores = np.array([model.log_prob(pixel, seed=seed).numpy()[0] for seed in range(64)])
    standard_error = scores.std() / math.sqrt(len(scores))
    assert 0.0 < standard_error < 0.01
    assert abs(scores.mean() - math.log(probability[128])) < 4.5 * standard_error


@pytest.mark.parametrize(
    ("dtype", "alpha", "tolerance"), [("float64", 1e-13, 1e-10), ("float32", 1e-6, 1e-5)]
)
def test_a_uniform_model_costs_eight_bits_a_dimension(
    dtype: str, alpha: float, tolerance: float
) -> None:
    """logit under a logistic base is the uniform density; a fresh NICE leaves it alone."""
    preprocessing = {"num_levels": 256, "transform": "logit", "alpha": alpha}
    model = models.create(
        "nice", event_shape=(3, 4, 1), hidden_units=(4,), preprocessing=preprocessing, dtype=dtype
    )
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 1)).astype("uint8")
    images[0], images[1] = 0, 255
    np.testing.assert_allclose(
        model.bits_per_dim(images, seed=4), np.full(6, 8.0), rtol=0.0, atol=tolerance
    )


@pytest.mark.parametrize(
    "name", [n for n, c in MODELS.items() if "context" not in c.cannot and c.labels() is not None]
)
def test_the_context_changes_the_density(name: str) -> None:
    case = MODELS[name]
    model = shared_model(case)
    x = case.rows(4)
    one_each = case.labels(case.context.num_labels or 3)
    scores = [model.log_prob(x, np.stack([one] * 4)).numpy() for one in one_each]
    for i, first in enumerate(scores):
        for second in scores[i + 1 :]:
            assert (first != second).all()
