"""Probability integral transforms of rows under a model: uniform in [0, 1] where it is right.

    marginal    u_i = P(X_i < x_i) + v P(X_i = x_i) over the model's samples X, v uniform: whether
                each column has the right quantiles, whatever the others
    column      u_i = P(X_i < x_i | x_<i) + v P(X_i = x_i | x_<i): each column given those before
    latent      u_i = F(z_i), z = encode(x), F the base's distribution function: of an
                autoregressive flow the same, in the flow's own order

Each is [n, D] of rows [n, D].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.core.capabilities import Bijective, Factors, Samples
from zoo.errors import InvalidInputError

__all__ = ["column_levels", "latent_levels", "marginal_levels"]

NUM_SAMPLES = 4000


def marginal_levels(model: Any, rows: np.ndarray, context: Any = None) -> np.ndarray:
    """u of every number of the rows [n, D], by samples under the rows' own contexts: [n, D].

    NaN, a missing cell, stays. Raises InvalidInputError for a model without samples.
    """
    if not isinstance(model, Samples):
        raise InvalidInputError(f"{model.name} draws no samples to compare with.")
    if context is None:
        drawn = np.asarray(model.sample(NUM_SAMPLES, seed=0), np.float64)
    else:
        chosen = np.resize(np.arange(len(rows)), NUM_SAMPLES)
        drawn = np.asarray(
            model.sample(NUM_SAMPLES, seed=0, context=np.asarray(context)[chosen]), np.float64
        )
    rows, drawn = (np.asarray(x, np.float64).reshape([len(x), -1]) for x in (rows, drawn))
    levels = np.empty(rows.shape)
    uniform = np.random.default_rng(0).uniform(size=rows.shape)
    for i, (column, ordered) in enumerate(zip(rows.T, np.sort(drawn, axis=0).T, strict=True)):
        low, high = (np.searchsorted(ordered, column, side) for side in ("left", "right"))
        levels[:, i] = (low + uniform[:, i] * (high - low + 1)) / (len(ordered) + 1)
    return np.where(np.isnan(rows), np.nan, levels)


def column_levels(model: Any, rows: np.ndarray, context: Any = None) -> np.ndarray:
    """u of every column given those before it, [n, D]; NaN, a missing cell, stays.

    Raises InvalidInputError for a model whose log p is no sum over columns.
    """
    if not isinstance(model, Factors):
        raise InvalidInputError(f"{model.name} has no conditionals of single columns.")
    low, high = np.moveaxis(np.asarray(model.column_levels(rows, context), np.float64), -1, 0)
    return low + np.random.default_rng(0).uniform(size=low.shape) * (high - low)


def latent_levels(model: Any, rows: np.ndarray, context: Any = None) -> np.ndarray:
    """u of every latent of the rows, [n, D].

    Raises InvalidInputError for a model whose latents have no base of independent numbers.
    """
    if not isinstance(model, Bijective):
        raise InvalidInputError(f"{model.name} has no latents with a distribution function.")
    z = model.encode(rows, context)
    base = model.base_distribution()
    single = getattr(base, "distribution", base)  # of tfd.Sample and tfd.Independent
    return np.asarray(single.cdf(z), np.float64)
