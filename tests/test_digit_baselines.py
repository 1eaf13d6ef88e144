"""The baselines of digits: densities that add up to one, and a tree that is found."""

from __future__ import annotations

import itertools

import digit_baselines
import numpy as np
import pytest


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> np.ndarray:
    """Four pixels of three levels, each the one before with probability 0.8, else any."""
    monkeypatch.setattr(digit_baselines, "LEVELS", 3)
    columns = [rng.integers(0, 3, 4000)]
    for _ in range(3):
        kept = rng.random(4000) < 0.8
        columns.append(np.where(kept, columns[-1], rng.integers(0, 3, 4000)))
    return np.stack(columns, 1).astype("uint8")


@pytest.mark.parametrize("name", ["independent", "chow_liu_tree"])
def test_probabilities_add_up_to_one(name: str, chain: np.ndarray) -> None:
    every = np.array(list(itertools.product(range(3), repeat=4)), "uint8")
    logs = getattr(digit_baselines, name)(chain, every)
    assert np.exp(logs).sum() == pytest.approx(1.0, rel=1e-9)


def test_the_tree_is_the_chain_that_made_the_rows(chain: np.ndarray) -> None:
    """Its entropy is that of the chain: log 3, and three conditionals of 13/15, 1/15 and 1/15."""
    conditional = -(13 / 15 * np.log(13 / 15) + 2 / 15 * np.log(1 / 15))
    found = -digit_baselines.chow_liu_tree(chain[:2000], chain[2000:]).mean()
    assert found == pytest.approx(np.log(3) + 3 * conditional, abs=0.05)
    apart = -digit_baselines.independent(chain[:2000], chain[2000:]).mean()
    assert apart == pytest.approx(4 * np.log(3), abs=0.02)
