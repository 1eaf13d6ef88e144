"""What simple models say of a user's test rows, beside a model's own figure.

Of a table, in nats a row:

    gaussian            one Gaussian of the coordinates of all continuous columns, times the
                        columns' own marginals of the discrete ones; of a table with missing cells,
                        a Gaussian a column
    gaussian_mixture    the same with a mixture, of 1 to 16 components by the validation rows; of at
                        most 50,000 train rows
    kernel_density      the same with Gaussian kernels, their width by the validation rows; of at
                        most 5,000 train rows

The last two need scikit-learn, and continuous columns. Coordinates are those of
`zoo.core.columns`, so that all are densities of the rows as they are stored. A discrete column's
marginal has one added to every category's count; an integer's is a logistic of the rows' moments.
Of pictures, in bits/dim, and of clips, in bits a sample: `zoo.evaluation.media_baselines`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.bases.columns import conditional_of
from zoo.core.columns import Column
from zoo.core.data import Rows
from zoo.core.space import Space
from zoo.data import sources
from zoo.evaluation import media_baselines
from zoo.evaluation.statistics import mean_with_error

__all__ = ["of_rows", "of_table"]

_COMPONENTS = (1, 2, 4, 8, 16)
_WIDTHS = (0.05, 0.1, 0.2, 0.3, 0.5)
_FITTED, _KERNELS = 50_000, 5000

Density = Callable[[np.ndarray], np.ndarray]


def of_rows(dataset: Rows, space: Space) -> dict[str, Any]:
    """What `baselines.json` holds: {name: {metric: figure}} of the test rows; {} for none.

    space: of a row, a table's, a picture's or a clip's.
    """
    parts = {name: sources.load_arrays(dataset, name).x for name in sources.SPLITS}
    found: dict[str, Any] = {}
    if space.columns:
        found = of_table(parts, space.columns)
    elif space.medium == "image" and space.levels == 256:
        found = media_baselines.of_pictures(parts)
    elif space.medium == "audio":
        found = media_baselines.of_clips(parts, space.rate)
    if not found:
        return {}
    facts = {"dataset": f"{dataset.name}:{dataset.version}", "split": "test", "tool": "zoo fit"}
    return {**facts, **found}


def of_table(parts: dict[str, np.ndarray], columns: Sequence[Column]) -> dict[str, Any]:
    """{name: {"log_prob": figure}}.   parts: the rows of all splits, by name."""
    continuous = [i for i, column in enumerate(columns) if not column.has_mass]
    discrete = [i for i, column in enumerate(columns) if column.has_mass]
    chosen = [columns[i] for i in continuous]
    coordinates, slopes = {}, {}
    for name, x in parts.items():
        coordinates[name], slopes[name] = _coordinates(x[:, continuous], chosen)
    masses = sum(
        (_marginal(columns[i], parts["train"][:, i], parts["test"][:, i]) for i in discrete),
        np.zeros(len(parts["test"])),
    )
    densities: dict[str, np.ndarray] = {"gaussian": _gaussian(coordinates)}
    if continuous and not any(column.missing for column in columns):
        densities |= _with_scikit_learn(coordinates)
    return {
        name: {"log_prob": mean_with_error(nats + slopes["test"] + masses)}
        for name, nats in densities.items()
    }


def _coordinates(x: np.ndarray, columns: Sequence[Column]) -> tuple[np.ndarray, np.ndarray]:
    """(y [rows, columns], sum of log |dy/dx| [rows]); NaN and 0 where a cell is missing."""
    y, slopes = np.full(x.shape, np.nan), np.zeros(len(x))
    for i, column in enumerate(columns):
        there = ~np.isnan(x[:, i])
        value = tf.constant(x[there, i], tf.float64)
        conditional = conditional_of(column, 1)
        y[there, i] = conditional.coordinate(value).numpy()
        if column.kind == "circular":
            slopes[there] += math.log(2.0 * math.pi / (column.period or 1.0))
        else:
            slopes[there] += conditional.log_slope(value).numpy()
    return y, slopes


def _gaussian(y: dict[str, np.ndarray]) -> np.ndarray:
    """log-density of the test coordinates, [rows] nats."""
    train, test = y["train"], y["test"]
    size = train.shape[1]
    if not size:
        return np.zeros(len(test))
    if np.isnan(train).any() or np.isnan(test).any():
        mean, deviation = np.nanmean(train, 0), np.nanstd(train, 0) + 1e-9
        z = (test - mean) / deviation
        nats = -0.5 * z**2 - np.log(deviation) - 0.5 * math.log(2.0 * math.pi)
        total: np.ndarray = np.nansum(nats, axis=1)
        return total
    covariance = np.cov(train.T).reshape(size, size) + 1e-9 * np.eye(size)
    root = np.linalg.cholesky(covariance)
    z = np.linalg.solve(root, (test - train.mean(0)).T)
    constant = np.log(np.diag(root)).sum() + 0.5 * size * math.log(2.0 * math.pi)
    found: np.ndarray = -0.5 * (z**2).sum(0) - constant
    return found


def _marginal(column: Column, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """log-probability of the test values under the column's own marginal; 0 where missing."""
    train, there = train[~np.isnan(train)], ~np.isnan(test)
    nats = np.zeros(len(test))
    if column.is_categorical:
        counts = np.bincount(train.astype(int), minlength=len(column.categories)) + 1.0
        nats[there] = np.log(counts / counts.sum())[test[there].astype(int)]
        return nats
    conditional = conditional_of(column, 1)
    edges = np.stack([test[there] - 0.5, test[there] + 0.5]).astype(np.float64)
    y, low, high = (
        conditional.coordinate(tf.constant(value, tf.float64)).numpy()
        for value in (train.astype(np.float64), *edges)
    )
    scale = max(y.std(), 1e-3) * math.sqrt(3.0) / math.pi
    below, above = (1.0 / (1.0 + np.exp((y.mean() - edge) / scale)) for edge in (low, high))
    if column.kind == "count":
        below = np.where(test[there] == (column.minimum or 0.0), 0.0, below)
    nats[there] = np.log(np.maximum(above - below, 1e-30))
    return nats


def _with_scikit_learn(y: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The mixture and the kernels, where scikit-learn is installed."""
    try:
        from sklearn.mixture import GaussianMixture
        from sklearn.neighbors import KernelDensity
    except ImportError:
        return {}
    mixtures = [
        GaussianMixture(count, random_state=0, reg_covar=1e-6).fit(y["train"][:_FITTED])
        for count in _COMPONENTS
    ]
    kernels = [KernelDensity(bandwidth=width).fit(y["train"][:_KERNELS]) for width in _WIDTHS]
    found = {}
    for name, models in (("gaussian_mixture", mixtures), ("kernel_density", kernels)):
        best = max(models, key=lambda model: model.score_samples(y["validation"][:_KERNELS]).mean())
        found[name] = best.score_samples(y["test"])
    return found
