"""Discrete tree flows: mass, bijection, the score of splits by brute force, NumPy's own walk."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import zoo
from zoo import models
from zoo.errors import ConfigError, InvalidInputError
from zoo.models.discrete import tree_growing as growing

CLASSES = (2, 3, 4)
GRID = np.array(list(itertools.product(*map(range, CLASSES))), np.uint8)
SIZES: dict[str, Any] = {"num_trees": 3, "max_depth": 3, "min_samples_split": 4}


def drawn(count: int, seed: int = 0) -> np.ndarray:
    """Rows of the grid, some far more often than others."""
    rng = np.random.default_rng(seed)
    return GRID[rng.choice(len(GRID), count, p=rng.dirichlet(np.full(len(GRID), 0.3)))]


def fitted(x: np.ndarray, classes: tuple[int, ...] = CLASSES, **config: Any) -> Any:
    model = models.create(
        "dtf", event_shape=(len(classes),), num_classes=classes, **{**SIZES, **config}
    )
    model.fit(x, verbose=0)
    return model


@pytest.mark.parametrize("split", ["greedy", "random"])
def test_masses_add_up_to_one_and_codes_are_a_bijection(split: str) -> None:
    model = fitted(drawn(300), split=split)
    assert_allclose(np.exp(model.log_prob(GRID)).sum(), 1.0, rtol=1e-5)
    codes = model.encode(GRID).numpy()
    assert (codes < CLASSES).all()
    assert len(np.unique(codes, axis=0)) == len(GRID)
    assert_array_equal(model.decode(codes), GRID)
    assert (codes != GRID).any()


def test_the_entropy_of_a_small_table_is_reached() -> None:
    """16 cells, of which trees of depth 4 can name each: nothing is left to be explained."""
    rng = np.random.default_rng(3)
    cells = np.array(list(itertools.product(range(2), repeat=4)), np.uint8)
    counts = rng.integers(1, 200, 16)
    x = np.repeat(cells, counts, axis=0)
    shares = counts / counts.sum()
    entropy = -float((shares * np.log(shares)).sum())
    model = fitted(x, (2,) * 4, num_trees=4, max_depth=4, min_samples_split=1)
    independent = growing.independent_nats(growing.value_counts(x, 2), np.full(4, 2), 0.0)
    reached = -float(np.mean(model.log_prob(x)))
    assert entropy - 1e-6 <= reached < entropy + 0.2 * (independent / len(x) - entropy)


def walked(tree: growing.Tree, row: np.ndarray) -> np.ndarray:
    """What a tree makes of one row, node by node."""
    place, inner = 0, len(tree.feature)
    while place < inner:
        feature = tree.feature[place]
        right = feature >= 0 and row[feature] != tree.value[place]
        place = 2 * place + 1 + int(right)
    return np.array([tree.table[place - inner, d, v] for d, v in enumerate(row)])


def test_tensorflows_walk_is_numpys() -> None:
    x = drawn(400, seed=1)
    model = fitted(x)
    z = x.astype(np.int32)
    for number in range(3):
        tree = growing.Tree(
            **{
                name: getattr(model, name).numpy()[number].astype(np.int32)
                for name in ("feature", "value", "latent_value", "table")
            }
        )
        z = np.array([walked(tree, row) for row in z])
    assert_array_equal(model.encode(x), z)


def test_training_likelihood_never_falls_without_smoothing() -> None:
    z, sizes = drawn(500, seed=2).astype(np.int32), np.array(CLASSES)
    for greedy in (True, False):
        last = math.inf
        for seed in range(4):
            tree = grower(z, greedy=greedy, seed=seed).grown()
            z = np.array([walked(tree, row) for row in z])
            nats = float(growing.independent_nats(growing.value_counts(z, 4), sizes, 0.0))
            assert nats <= last + 1e-9
            last = nats


def grower(x: np.ndarray, **changes: Any) -> growing.Grower:
    options = {"depth": 3, "min_samples_split": 4, "greedy": True, "num_sampled_rows": 0, "seed": 0}
    options |= changes
    rng = np.random.default_rng(options.pop("seed"))
    return growing.Grower(x, np.array(CLASSES), rng=rng, **options)


def test_the_score_of_a_split_is_that_of_the_rows_relabelled_by_it() -> None:
    """Every candidate at leaves of growing trees, against trees that are made and applied."""
    sizes, checked = np.array(CLASSES), 0
    for seed in range(2):
        x = drawn(60, seed=10 + seed).astype(np.int32)
        tree = grower(x)
        rng = np.random.default_rng(seed)
        leaves, path = [tree.root], []
        for _ in range(3):
            node = leaves.pop(int(rng.integers(len(leaves))))
            splits, left = growing.split_counts(x[node.rows], sizes)
            if not len(splits):
                continue
            nats = tree.whole_nats(node, splits, left)
            for candidate, score in zip(splits, nats, strict=True):
                other = grower(x)
                for place, j, v in [*path, (node.rows, *candidate)]:
                    found = next(n for n in _leaves(other.root) if np.array_equal(n.rows, place))
                    other.split_by(found, int(j), int(v))
                z = np.array([walked(other._as_arrays(), row) for row in x])
                brute = growing.independent_nats(
                    growing.value_counts(z, 4), sizes, growing.SMOOTHING
                )
                assert_allclose(score, brute, rtol=1e-12)
                checked += 1
            best = splits[int(np.argmin(nats))]
            path.append((node.rows, *best))
            tree.split_by(node, *map(int, best))
            leaves.extend(node.children)
    assert checked > 20


def _leaves(node: growing.Node) -> list[growing.Node]:
    return [leaf for c in node.children for leaf in _leaves(c)] if node.children else [node]


def test_the_order_of_rows_does_not_matter() -> None:
    x = drawn(300, seed=4)
    one, other = fitted(x), fitted(x[np.random.default_rng(0).permutation(len(x))])
    for first, second in zip(one.weights, other.weights, strict=True):
        assert_array_equal(first.numpy(), second.numpy())


def test_a_table_goes_in_by_its_texts_and_is_refused_with_its_columns_names() -> None:
    pandas = pytest.importorskip("pandas")
    columns = [
        {"name": "cap", "kind": "category", "categories": ["brown", "red", "white"]},
        {"name": "ring", "kind": "boolean", "categories": ["false", "true"]},
        {"name": "veil", "kind": "category", "categories": ["partial"]},
    ]
    model = models.create("dtf", event_shape=(3,), columns=columns, **SIZES)
    rng = np.random.default_rng(0)
    table = pandas.DataFrame(
        {
            "cap": rng.choice(["brown", "red", "white"], 60),
            "ring": rng.choice(["false", "true"], 60),
            "veil": "partial",
        }
    )
    model.fit(table, verbose=0)
    codes = np.stack(
        [
            table["cap"].map({"brown": 0, "red": 1, "white": 2}),
            table["ring"].map({"false": 0, "true": 1}),
            np.zeros(60),
        ],
        axis=1,
    )
    assert_array_equal(model.log_prob(table), model.log_prob(codes.astype("uint8")))
    assert_array_equal(model.log_prob(table), model.log_prob(codes))
    with pytest.raises(InvalidInputError, match="cap"):
        model.log_prob(table.assign(cap="green"))
    with pytest.raises(InvalidInputError, match=r"0\.\.1 in column 'ring'; got 2 in row 1"):
        model.log_prob(np.array([[0, 1, 0], [0, 2, 0]], "uint8"))
    with pytest.raises(InvalidInputError, match="places of categories"):
        model.log_prob(codes + 0.5)


def test_a_table_of_ones_own_is_fitted_in_stages(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    caps = rng.choice([f"cap {i}" for i in range(40)], 300)
    table = pandas.DataFrame({"cap": caps, "rings": (caps == "cap 1") + rng.integers(0, 3, 300)})
    model = zoo.fit(table, tmp_path / "run", family="dtf")
    assert model.config.class_counts == (40, 4)
    assert np.isfinite(model.log_prob(table)).all()
    with pytest.raises(InvalidInputError, match=r"takes no columns like weight \(real\)"):
        zoo.fit(table.assign(weight=rng.normal(size=300)), tmp_path / "other", family="dtf")


def test_what_are_no_categories_is_refused() -> None:
    model = fitted(drawn(50))
    for x, message in (
        (GRID.astype("float32"), r"classes 0\.\.3 as integers"),
        (GRID.astype("int32") - 1, r"must be in 0\.\.3"),
        (np.array([[1, 3, 0]], "uint8"), r"0\.\.2 in feature 1; got 3 in row 0"),
        (GRID[:, :2], "Expected x of shape"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            model.log_prob(x)
    with pytest.raises(InvalidInputError, match=r"0\.\.1 in feature 0; got 2"):
        model.decode(np.array([[2, 0, 0]]))
    for config, message in (
        ({"num_classes": (1, 2, 2)}, "at least 2"),
        ({"num_classes": (2**15, 2, 2)}, "below 32768"),
        ({"num_classes": (2, 2)}, "one for each of 3 features"),
        ({"num_classes": 3, "max_depth": 0}, "max_depth in"),
        ({}, "neither"),
        ({"num_classes": 3, "context_size": 2}, "no context"),
        ({"num_classes": 3, "preprocessing": {"whitening": "standardise"}}, "no preprocessing"),
    ):
        with pytest.raises(ConfigError, match=message):
            models.create("dtf", event_shape=(3,), **config)
    real = [{"name": "weight", "kind": "real"}]
    with pytest.raises(ConfigError, match=r"no column like weight \(real\)"):
        models.create("dtf", event_shape=(1,), columns=real)
