"""Draws from the energies: reproducible, separate by split, and distributed as exp(-U)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from zoo import registry
from zoo.data import energies, sources
from zoo.data.targets.plane import ENERGIES
from zoo.errors import DataError

U2 = registry.get("planar_u2").recipe.dataset


def test_a_split_is_made_of_its_name_alone() -> None:
    first, again = (sources.load_arrays(U2, "validation") for _ in range(2))
    assert first.x.shape == (10_000, 2)
    assert first.x.dtype == np.float32
    assert first.context is None
    np.testing.assert_array_equal(first.x, again.x)
    other = sources.load_arrays(U2, "test").x
    assert other.shape == (20_000, 2)
    assert not set(map(tuple, first.x.tolist())) & set(map(tuple, other.tolist()))
    assert sources.available(U2)


@pytest.mark.parametrize("name", ENERGIES)
def test_rows_fall_where_the_density_is(name: str) -> None:
    """Counts in a grid of bins against exp(-U) integrated over each: Pearson's chi-squared."""
    dataset = registry.get(f"planar_{name}").recipe.dataset
    rows = energies.read_split(dataset, "validation")
    half, bins, fine = 8.0, 32, 20
    axis = -half + (np.arange(bins * fine) + 0.5) * (2.0 * half / (bins * fine))
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    density = np.exp(-ENERGIES[name](tf.constant(points)).numpy())
    expected = density.reshape(bins, fine, bins, fine).sum((1, 3)).ravel()
    expected *= len(rows) / expected.sum()
    edges = np.linspace(-half, half, bins + 1)
    counts = np.histogram2d(*rows.T, bins=[edges, edges])[0].ravel()
    large = expected > 8.0
    observed = np.append(counts[large], len(rows) - counts[large].sum())
    expected = np.append(expected[large], len(rows) - expected[large].sum())
    assert large.sum() > 30
    assert scipy.stats.chisquare(observed, expected).pvalue > 1e-4


@pytest.mark.parametrize(
    ("field", "value"), [("name", "energy_u5"), ("version", "2.0.0"), ("test", "test[:5]")]
)
def test_unknown_draws_are_refused(field: str, value: str) -> None:
    with pytest.raises(DataError, match="Expected one of energy_u1, energy_u2"):
        sources.load_arrays(dataclasses.replace(U2, **{field: value}), "test")
