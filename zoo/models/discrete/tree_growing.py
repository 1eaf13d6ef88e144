"""A tree-structured permutation, grown on categorical rows. NumPy alone.

A node has rows and a domain, the values that its rows may have: [D, K] of booleans. A split (j, v)
sends rows with x_j = v to the left, whose domain of j is {v}; the right one's is the rest. The rows
of a leaf are relabelled, feature by feature: the commonest value of the domain takes its highest
place, the rarest its lowest. Then, from the leaves up, each inner node does the same with its
split feature alone, on its rows as its children left them. Every relabelling keeps the domain of
its node, so a latent row finds its leaf as a data row does: at a split by another value,
`latent_value`.

Such a tree never lowers the likelihood of independent features: sums of sorted counts majorise
counts of sums, and the entropy of a marginal is Schur-concave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

__all__ = [
    "Grower",
    "Node",
    "Tree",
    "independent_nats",
    "relabelled",
    "split_counts",
    "value_counts",
]

SMOOTHING = 0.01  # added to every count inside the criterion


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A permutation of the rows' space, as arrays.

    feature, value, latent_value: of the inner nodes in heap order, [2**depth - 1]; a node without a
    split has feature -1, and all its rows go left.   table: [2**depth, D, K], the labels that the
    values of a leaf's rows take; the identity of leaves that nothing reaches.
    """

    feature: np.ndarray
    value: np.ndarray
    latent_value: np.ndarray
    table: np.ndarray


@dataclass(kw_only=True)
class Node:
    """A node that grows.   arranged: counts of its rows as it leaves them, [D, K]."""

    rows: np.ndarray
    domain: np.ndarray
    arranged: np.ndarray
    parent: Node | None = None
    feature: int = -1
    value: int = -1
    children: tuple[Node, ...] = field(default=())

    @property
    def path(self) -> Iterator[tuple[Node, Node]]:
        """(ancestor, its child towards this node), from the parent to the root."""
        child, parent = self, self.parent
        while parent is not None:
            yield parent, child
            child, parent = parent, parent.parent


def value_counts(x: np.ndarray, size: int) -> np.ndarray:
    """How often each feature of the rows x [n, D] has each value 0..size - 1: [D, size]."""
    if size <= 4:
        return np.stack([(x == value).sum(0) for value in range(size)], axis=1).astype(np.int64)
    places = x.astype(np.int64) + size * np.arange(x.shape[1])
    return np.bincount(places.ravel(), minlength=size * x.shape[1]).reshape(-1, size)


def relabelled(counts: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """The counts after the commonest value took its domain's highest place, and so on: [..., D, K].

    counts: of values outside of the domain [D, K] they are 0, and stay.
    """
    if domain.shape[-1] == 2:
        both, (first, second) = domain.all(-1), (counts[..., 0], counts[..., 1])
        low = np.where(both, np.minimum(first, second), first)
        return np.stack([low, first + second - low], axis=-1)
    inside_last = np.argsort(domain, axis=-1, kind="stable")
    ascending = np.sort(np.where(domain, counts, -1), axis=-1)
    places = np.broadcast_to(np.argsort(inside_last, axis=-1), ascending.shape)
    return np.maximum(np.take_along_axis(ascending, places, axis=-1), 0)


def _labels(counts: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """The label of each value by which counts [D, K] become `relabelled`: [D, K].

    Ties keep their order; values outside of the domain their labels.
    """
    by_count = np.argsort(np.where(domain, counts, -1), axis=-1, kind="stable")
    places = np.argsort(domain, axis=-1, kind="stable")
    labels = np.empty_like(by_count)
    np.put_along_axis(labels, by_count, places, axis=-1)
    return labels


def independent_nats(counts: np.ndarray, num_values: np.ndarray, smoothing: float) -> np.ndarray:
    """-log p of counted rows under independent features fitted to them: [...] of [..., D, K].

    With c counts of n rows and a added to each: sum_d n log(n + a K_d) - sum_dk c log(c + a).
    """
    total = counts.sum(-1)
    smoothed = counts + smoothing
    if not smoothing:
        smoothed = np.where(counts > 0, counts, 1.0)
    logs = np.log(smoothed).reshape(*counts.shape[:-2], -1)
    flat = counts.reshape(*counts.shape[:-2], -1)
    whole = (total * np.log(total + smoothing * num_values)).sum(-1)
    nats: np.ndarray = whole - np.einsum("...i,...i->...", flat, logs)
    return nats


def split_counts(x: np.ndarray, num_values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All splits of rows x [n, D] in two, at once.

    Returns:
        (feature, value) of each, [splits, 2]; counts of the left rows, [splits, D, K]: rows of the
        product O^T O of the one-hot rows.
    """
    size = int(num_values.max())
    # Two values make the same two parts whichever is named.
    named = [(j, v) for j, k in enumerate(num_values) for v in range(k - (k == 2))]
    columns = np.array(named, np.int64).reshape(-1, 2)
    one_hot = (x[:, :, None] == np.arange(size)).astype(np.float32).reshape(len(x), -1)
    chosen = one_hot[:, columns[:, 0] * size + columns[:, 1]]
    counts = np.rint(chosen.T @ one_hot).astype(np.float64).reshape(-1, x.shape[1], size)
    left = counts[np.arange(len(columns)), columns[:, 0]].sum(-1)
    real = (left > 0) & (left < len(x))
    return columns[real], counts[real]


class Grower:
    """Grows one tree on rows x [n, D] of integers 0..num_values - 1 (a number a feature).

    depth, min_samples_split: a node of that depth, or of no more rows, is a leaf.
    greedy: whether splits are the best ones, in nats of the whole set under independent features;
        else they are drawn.   num_sampled_rows: a node's splits are judged by so many of its rows,
        drawn; 0 for all.   report: called with (nodes looked at, nodes).
    """

    def __init__(
        self,
        x: np.ndarray,
        num_values: np.ndarray,
        *,
        depth: int,
        min_samples_split: int,
        greedy: bool,
        num_sampled_rows: int,
        rng: np.random.Generator,
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        self.x, self.num_values, self.size = x, num_values, int(num_values.max())
        self.depth, self.min_samples_split = depth, min_samples_split
        self.greedy, self.num_sampled_rows, self.rng = greedy, num_sampled_rows, rng
        self.report = report
        domain = np.arange(self.size) < num_values[:, None]
        self.root = self._leaf(np.arange(len(x)), domain, None)

    def grown(self) -> Tree:
        """The tree, level by level."""
        level = [self.root]
        for depth in range(self.depth):
            for number, node in enumerate(level):
                if self.report is not None:
                    self.report(2**depth + number, 2**self.depth)
                if len(node.rows) > self.min_samples_split:
                    self._split(node)
            level = [child for node in level for child in node.children]
        return self._as_arrays()

    def _leaf(self, rows: np.ndarray, domain: np.ndarray, parent: Node | None) -> Node:
        arranged = relabelled(value_counts(self.x[rows], self.size), domain)
        return Node(rows=rows, domain=domain, arranged=arranged, parent=parent)

    def _split(self, node: Node) -> None:
        x = self.x[node.rows]
        if self.num_sampled_rows and len(x) > self.num_sampled_rows:
            x = x[np.sort(self.rng.choice(len(x), self.num_sampled_rows, replace=False))]
        splits, left = split_counts(x, self.num_values)
        if not len(splits):
            return
        if self.greedy:
            scale = len(node.rows) / len(x)
            chosen = int(np.argmin(self.whole_nats(node, splits, left, scale)))
        else:
            chosen = int(self.rng.integers(len(splits)))
        self.split_by(node, *map(int, splits[chosen]))

    def whole_nats(
        self, node: Node, splits: np.ndarray, left: np.ndarray, scale: float = 1.0
    ) -> np.ndarray:
        """Nats of the whole set if the leaf were split so: [splits].

        left: counts of the left rows, [splits, D, K], of a sample of the node's, one in `scale`.
        """
        counts = value_counts(self.x[node.rows], self.size)
        left = left * scale
        arranged = relabelled(left, node.domain)
        arranged += relabelled(np.maximum(counts - left, 0.0), node.domain)
        # Of the split feature, what the children leave is sorted again: that of the leaf as it was.
        numbers = np.arange(len(splits))
        arranged[numbers, splits[:, 0]] = node.arranged[splits[:, 0]]
        # Further up, features are added to those of the siblings; those that split, sorted as well.
        above = [
            (ancestor, next(c.arranged for c in ancestor.children if c is not child))
            for ancestor, child in node.path
        ]
        columns = {a.feature: arranged[:, [a.feature]].copy() for a, _ in above}
        for j, column in columns.items():
            for ancestor, sibling in above:
                column = column + sibling[[j]]
                if ancestor.feature == j:
                    column = relabelled(column, ancestor.domain[[j]])
            columns[j] = column
        if above:
            arranged += sum(sibling for _, sibling in above)
        for j, column in columns.items():
            arranged[:, [j]] = column
        return independent_nats(arranged, self.num_values, SMOOTHING)

    def split_by(self, node: Node, feature: int, value: int) -> None:
        """Makes two leaves of a leaf, and arranges the counts of what lies above anew."""
        left = self.x[node.rows, feature] == value
        only, rest = node.domain.copy(), node.domain.copy()
        only[feature] = np.arange(self.size) == value
        rest[feature, value] = False
        node.feature, node.value = feature, value
        node.children = (
            self._leaf(node.rows[left], only, node),
            self._leaf(node.rows[~left], rest, node),
        )
        for inner in [node, *(ancestor for ancestor, _ in node.path)]:
            inner.arranged = self._unsorted(inner)
            j = slice(inner.feature, inner.feature + 1)
            inner.arranged[j] = relabelled(inner.arranged[j], inner.domain[j])

    @staticmethod
    def _unsorted(node: Node) -> np.ndarray:
        """Counts of an inner node's rows as its children leave them, [D, K]."""
        left, right = node.children
        return left.arranged + right.arranged

    def _as_arrays(self) -> Tree:
        inner, leaves = 2**self.depth - 1, 2**self.depth
        feature, value = np.full(inner, -1, np.int32), np.zeros(inner, np.int32)
        latent_value = np.zeros(inner, np.int32)
        identity = np.arange(self.size, dtype=np.int32)
        table = np.tile(identity, (leaves, self.x.shape[1], 1))

        def walk(node: Node, place: int, above: np.ndarray) -> None:
            """above: the labels that the values get over the node, [D, K]."""
            if not node.children:
                while place < inner:  # all rows go left
                    place = 2 * place + 1
                labels = _labels(value_counts(self.x[node.rows], self.size), node.domain)
                table[place - inner] = np.take_along_axis(above, labels, axis=-1)
                return
            j = slice(node.feature, node.feature + 1)
            labels = _labels(self._unsorted(node)[j], node.domain[j])
            above = above.copy()
            above[j] = np.take_along_axis(above[j], labels, axis=-1)
            feature[place], value[place] = node.feature, node.value
            latent_value[place] = above[node.feature, node.value]
            for side, child in enumerate(node.children, 1):
                walk(child, 2 * place + side, above)

        walk(self.root, 0, np.tile(identity, (self.x.shape[1], 1)))
        return Tree(feature=feature, value=value, latent_value=latent_value, table=table)
