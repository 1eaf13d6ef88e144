"""Baselines for the probabilities of 8 x 8 digits: independent pixels, and a tree of pixels.

    python tools/digit_baselines.py [--out checkpoints/idf_digits/baselines.json]

independent     log P(x) = sum_i log p_i(x_i), p_i the shares of the 17 levels among the train rows
                with 0.3 added to every count
chow_liu_tree   log P(x) = sum_i log p(x_i | x_parent(i)), the tree of largest mutual information
                between pixels (Chow & Liu 1968), by SciPy's minimum spanning tree; shares with 0.3
                added likewise
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

ROOT = Path(__file__).resolve().parent.parent
LEVELS, ADDED = 17, 0.3


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = ROOT / "checkpoints" / "idf_digits" / "baselines.json"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()

    from zoo.data import sources
    from zoo.evaluation.statistics import mean_with_error
    from zoo.registry.idf import DIGITS
    from zoo.store.files import write_json_atomic

    train, test = (
        sources.load_arrays(DIGITS, split).x.reshape(-1, 64) for split in ("train", "test")
    )
    found: dict[str, Any] = {
        "independent": {"log_prob": mean_with_error(independent(train, test))},
        "chow_liu_tree": {"log_prob": mean_with_error(chow_liu_tree(train, test))},
    }
    print(found)
    about = {"dataset": "digits:1.0.0", "split": "test", "tool": "tools/digit_baselines.py"}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(options.out, {**about, **found})


def _marginals(train: np.ndarray) -> np.ndarray:
    """p_i(level): [pixels, LEVELS]."""
    counts = np.stack([np.bincount(column, minlength=LEVELS) for column in train.T]) + ADDED
    return counts / counts.sum(1, keepdims=True)


def _pairs(train: np.ndarray, i: int, j: int) -> np.ndarray:
    """Counts of the levels of two pixels: [LEVELS, LEVELS]."""
    joint = train[:, i].astype(int) * LEVELS + train[:, j]
    return np.bincount(joint, minlength=LEVELS**2).reshape(LEVELS, LEVELS).astype(float)


def independent(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """log P of the rows of `test`, [rows] nats."""
    logs = np.log(_marginals(train))
    return logs[np.arange(test.shape[1]), test].sum(1)


def mutual_information(counts: np.ndarray) -> float:
    """Of the joint shares of two variables, in nats."""
    joint = counts / counts.sum()
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float(np.sum(joint[seen] * np.log(joint[seen] / product[seen])))


def chow_liu_tree(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """log P of the rows of `test`, [rows] nats."""
    pixels = train.shape[1]
    information = np.zeros((pixels, pixels))
    for i in range(pixels):
        for j in range(i):
            information[i, j] = mutual_information(_pairs(train, i, j))
    # Every weight positive, so that none is an absent edge: the least sum is the most information.
    weights = np.tril(information.max() + 1.0 - information, -1)
    tree = minimum_spanning_tree(weights)
    order, parents = breadth_first_order(tree, 0, directed=False)
    logs = np.log(_marginals(train)[0])[test[:, 0]].astype(np.float64)
    for pixel in order[1:]:
        parent = parents[pixel]
        counts = _pairs(train, parent, pixel) + ADDED
        conditional = np.log(counts / counts.sum(1, keepdims=True))
        logs += conditional[test[:, parent], test[:, pixel]]
    return logs


if __name__ == "__main__":
    main()
