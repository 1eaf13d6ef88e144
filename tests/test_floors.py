"""Floors of integer rows: probabilities that add up to one, and a tree that is found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse.csgraph import minimum_spanning_tree

from zoo.core.recipe import Rows
from zoo.data import sources
from zoo.errors import DataError
from zoo.evaluation import floors

DATASET = Rows(name="d", version="1.0.0", train="train", validation="validation", test="test")
LEVELS = [3, 3, 3, 3]
BOTH = (floors.independent_log_prob, floors.chow_liu_log_prob)


@pytest.fixture
def chain(rng: np.random.Generator) -> np.ndarray:
    """Four pixels of three levels, each the one before with probability 0.8, else any."""
    columns = [rng.integers(0, 3, 4000)]
    for _ in range(3):
        kept = rng.random(4000) < 0.8
        columns.append(np.where(kept, columns[-1], rng.integers(0, 3, 4000)))
    return np.stack(columns, 1)


@pytest.mark.parametrize("log_prob", BOTH)
@pytest.mark.parametrize("levels", [LEVELS, [3, 4, 3, 5]])
def test_probabilities_add_up_to_one(log_prob, levels: list[int], chain: np.ndarray) -> None:
    every = np.array(list(itertools.product(*map(range, levels))))
    assert np.exp(log_prob(chain, every, levels)).sum() == pytest.approx(1.0, rel=1e-9)


def test_the_tree_is_the_chain_that_made_the_rows(chain: np.ndarray) -> None:
    """Its entropy is that of the chain: log 3, and three conditionals of 13/15, 1/15 and 1/15."""
    conditional = -(13 / 15 * np.log(13 / 15) + 2 / 15 * np.log(1 / 15))
    found = -floors.chow_liu_log_prob(chain[:2000], chain[2000:], LEVELS).mean()
    assert found == pytest.approx(np.log(3) + 3 * conditional, abs=0.05)
    apart = -floors.independent_log_prob(chain[:2000], chain[2000:], LEVELS).mean()
    assert apart == pytest.approx(4 * np.log(3), abs=0.02)


def test_the_tree_is_that_of_scipy(rng: np.random.Generator) -> None:
    weights = rng.random((12, 12))
    weights = weights + weights.T
    edges = floors.largest_tree(weights)
    assert sorted(child for _, child in edges) == list(range(1, 12))
    least = minimum_spanning_tree(np.tril(10.0 - weights, -1))
    assert_allclose(sum(weights[i, j] for i, j in edges), 110.0 - least.sum())


def test_figures_are_of_a_dataset(chain: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"train": chain[:2000], "validation": chain[:9], "test": chain[2000:]}
    monkeypatch.setattr(sources, "load_arrays", lambda _, split: sources.Arrays(rows[split]))
    for figures in (floors.independent(DATASET), floors.chow_liu_tree(DATASET)):
        nats, bits = figures["log_prob"]["value"], figures["bits_per_dim"]["value"]
        assert bits == pytest.approx(-nats / (4 * np.log(2)))
    rows["test"] = chain - 1
    with pytest.raises(DataError, match="integers from 0 on"):
        floors.independent(DATASET)
    rows["train"] = chain.astype("float32")
    with pytest.raises(DataError, match="float32"):
        floors.independent(DATASET)
