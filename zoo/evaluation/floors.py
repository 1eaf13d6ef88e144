"""What simple probabilities of integer rows say: floors that a model should not lie below.

    independent     log P(x) = sum_i log p_i(x_i)
    chow_liu_tree   log P(x) = sum_i log p(x_i | x_parent(i)), the tree of largest mutual
                    information between features (Chow & Liu 1968); a feature that tells nothing
                    of its parent, and is told nothing, stands by itself

Shares of the train rows with `ADDED` added to every count; figures of the test rows. Levels are
those of the whole dataset: of images as many for every pixel, of other rows each feature's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo.core.data import Rows
from zoo.data import sources
from zoo.errors import DataError
from zoo.evaluation.statistics import mean_with_error
from zoo.ops.units import bits_per_dim_from_nats

__all__ = [
    "ADDED",
    "chow_liu_log_prob",
    "chow_liu_tree",
    "independent",
    "independent_log_prob",
    "largest_tree",
    "mutual_information",
]

ADDED = 0.3
_NOTHING = 1e-12  # nats, of a feature that is constant

LogProb = Callable[[np.ndarray, np.ndarray, Sequence[int]], np.ndarray]


def independent(dataset: Rows) -> dict[str, Any]:
    """{"log_prob", "bits_per_dim"} of the dataset's test rows. Raises DataError for no integers."""
    return _figures(dataset, independent_log_prob)


def chow_liu_tree(dataset: Rows) -> dict[str, Any]:
    """{"log_prob", "bits_per_dim"} of the dataset's test rows. Raises DataError for no integers."""
    return _figures(dataset, chow_liu_log_prob)


def _figures(dataset: Rows, log_prob: LogProb) -> dict[str, Any]:
    parts = {split: sources.load_arrays(dataset, split).x for split in sources.SPLITS}
    image = parts["train"].ndim == 4
    for name, x in parts.items():
        if x.dtype.kind not in "ui" or (x.size and x.min() < 0):
            raise DataError(
                f"Expected integers from 0 on in {dataset.name}, {name}; got {x.dtype}."
            )
    flat = {name: x.reshape(len(x), -1).astype(np.int64) for name, x in parts.items()}
    highest = np.max([x.max(0) for x in flat.values() if len(x)], axis=0)
    levels = [int(highest.max() if image else high) + 1 for high in highest]
    nats = log_prob(flat["train"], flat["test"], levels)
    return {
        "log_prob": mean_with_error(nats),
        "bits_per_dim": mean_with_error(bits_per_dim_from_nats(nats, flat["test"].shape[1])),
    }


def independent_log_prob(
    train: np.ndarray, test: np.ndarray, levels: Sequence[int], *, added: float = ADDED
) -> np.ndarray:
    """log P of the rows of `test`, [rows] nats.   levels: how many each feature has."""
    nats = np.zeros(len(test))
    for i, count in enumerate(levels):
        nats += np.log(_shares(train[:, i], count, added))[test[:, i]]
    return nats


def chow_liu_log_prob(
    train: np.ndarray, test: np.ndarray, levels: Sequence[int], *, added: float = ADDED
) -> np.ndarray:
    """log P of the rows of `test`, [rows] nats.   levels: how many each feature has."""
    size = train.shape[1]
    information = np.zeros((size, size))
    for i in range(size):
        for j in range(i):
            counts = _pair_counts(train, i, j, levels)
            information[i, j] = information[j, i] = mutual_information(counts)
    nats = np.log(_shares(train[:, 0], levels[0], added))[test[:, 0]]
    for parent, child in largest_tree(information):
        if information[parent, child] < _NOTHING:
            nats = nats + np.log(_shares(train[:, child], levels[child], added))[test[:, child]]
            continue
        counts = _pair_counts(train, parent, child, levels) + added
        conditional = np.log(counts / counts.sum(1, keepdims=True))
        nats = nats + conditional[test[:, parent], test[:, child]]
    return nats


def largest_tree(weights: np.ndarray) -> list[tuple[int, int]]:
    """Edges (parent, child) of the spanning tree of largest sum, from node 0 on (Prim's).

    weights: symmetric, [n, n].
    """
    size = len(weights)
    best, parent = weights[0].astype(float), np.zeros(size, int)
    outside = np.ones(size, bool)
    outside[0] = False
    edges = []
    while outside.any():
        child = int(np.argmax(np.where(outside, best, -np.inf)))
        edges.append((int(parent[child]), child))
        outside[child] = False
        closer = weights[child] > best
        best, parent = np.where(closer, weights[child], best), np.where(closer, child, parent)
    return edges


def mutual_information(counts: np.ndarray) -> float:
    """Of the joint shares of two variables, in nats."""
    joint = counts / counts.sum()
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float(np.sum(joint[seen] * np.log(joint[seen] / product[seen])))


def _shares(values: np.ndarray, count: int, added: float) -> np.ndarray:
    counts = np.bincount(values, minlength=count) + added
    shares: np.ndarray = counts / counts.sum()
    return shares


def _pair_counts(train: np.ndarray, i: int, j: int, levels: Sequence[int]) -> np.ndarray:
    """Counts of the levels of two features: [levels_i, levels_j]."""
    joint = train[:, i] * levels[j] + train[:, j]
    return np.bincount(joint, minlength=levels[i] * levels[j]).reshape(levels[i], levels[j])
