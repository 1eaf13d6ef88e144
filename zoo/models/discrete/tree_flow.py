"""Discrete tree flows: decision trees that relabel categories, fitted without a gradient.

Elkady, Lim and Inouye 2022, arXiv:2207.01744.

    z = T_n(... T_2(T_1(x)))      each T a tree-structured permutation (`zoo.bijectors.tree`)
    log P(X = x) = sum_j log P(Z_j = z_j),     P(Z_j = k) = (count + 0.001) / (rows + 0.001 K_j)

A tree is grown on what the trees before it make of the rows (Sec. 4): a split is the best of all
(feature, value) for independent features on the whole set, once the values of both children are
sorted by their counts ("greedy", the paper's greedy local permutation), or drawn ("random").

Deviations: the score of a split counts what the nodes above make of it, exactly; tables are
composed along a path when the tree is made, in place of the paper's second pass (Algorithm 3); the
domain of a feature is the config's, not what the rows happen to hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from zoo.bijectors.tree import TreePermutation
from zoo.core.categorical_config import CategoricalConfig
from zoo.core.config import ModelConfig
from zoo.core.training import Descent
from zoo.errors import ConfigError
from zoo.kinds.categorical_flow import CategoricalFlow
from zoo.kinds.growing import Growing
from zoo.models.discrete.tree_growing import Grower, value_counts

__all__ = ["DTFConfig", "DiscreteTreeFlow"]

DEEPEST = 12
_BLOCK = 4096  # rows


@dataclass(frozen=True, kw_only=True)
class DTFConfig(CategoricalConfig):
    """Sizes of a discrete tree flow, and how its trees grow.

    num_trees: room for so many.   max_depth: of a tree.   min_samples_split: a node of no more rows
    is a leaf.   num_sampled_rows: a node's splits are judged by so many of its rows; 0 for all.
    """

    num_trees: int = 10
    max_depth: int = 5
    min_samples_split: int = 200
    split: Literal["greedy", "random"] = "greedy"
    num_sampled_rows: int = 0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.num_trees < 1 or not 1 <= self.max_depth <= DEEPEST:
            raise ConfigError(
                f"Expected num_trees of at least 1 and max_depth in 1..{DEEPEST}; got "
                f"{self.num_trees} and {self.max_depth}."
            )
        if self.min_samples_split < 1 or self.num_sampled_rows < 0:
            raise ConfigError(
                "Expected min_samples_split of at least 1 and num_sampled_rows of 0 or more; got "
                f"{self.min_samples_split} and {self.num_sampled_rows}."
            )


@keras.saving.register_keras_serializable("zoo")
class DiscreteTreeFlow(Growing, CategoricalFlow):
    """Trees, each three integers a node and a table a leaf."""

    config_class: ClassVar[type[ModelConfig]] = DTFConfig
    family: ClassVar[str] = "dtf"
    # No float decides anything, in any program.
    portable: ClassVar[frozenset[str]] = frozenset({"log_prob", "encode", "decode"})
    config: DTFConfig

    def _create_networks(self) -> None:
        config = self.config
        trees, inner, leaves = config.num_trees, 2**config.max_depth - 1, 2**config.max_depth
        size = config.most_classes
        self.base.trainable = False

        def integers(name: str, shape: tuple[int, ...], value: Any, dtype: str = "int32") -> Any:
            return self.add_weight(
                shape=shape,
                initializer=lambda shape, dtype=None: tf.broadcast_to(tf.cast(value, dtype), shape),
                dtype=dtype,
                trainable=False,
                name=name,
            )

        self.feature = integers("feature", (trees, inner), -1)
        self.value = integers("value", (trees, inner), 0)
        self.latent_value = integers("latent_value", (trees, inner), 0)
        self.table = integers(
            "table",
            (trees, leaves, config.event_size, size),
            np.arange(size),
            "uint8" if size <= 256 else "int16",
        )

    def _tree(self, number: int) -> TreePermutation:
        weights = (self.feature, self.value, self.latent_value, self.table)
        return TreePermutation(*(tf.convert_to_tensor(weight)[number] for weight in weights))

    def to_latent(self, x: Any) -> Any:
        """By the trees, first to last: int32 [batch, D]."""
        for number in range(self.config.num_trees):
            x = self._tree(number).inverse(x)
        return x

    def to_data(self, z: Any) -> Any:
        """By the trees, last to first: int32 [batch, D]."""
        for number in reversed(range(self.config.num_trees)):
            z = self._tree(number).forward(z)
        return z

    # Growing.

    @property
    def most_stages(self) -> int:
        """The trees that there is room for."""
        return self.config.num_trees

    def grow(
        self,
        x: Any,
        context: Any = None,
        *,
        seed: int = 0,
        descent: Descent | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> float:
        """Adds a tree, grown on the latents of the rows x [rows, *event_shape]; see `Grows`.

        descent: no gradient is followed, and None alone is taken.
        """
        del context
        if descent is not None:
            raise ConfigError("Trees follow no gradient: leave out descent.")
        number, config = self._check_room(), self.config
        z = self._latents(x)
        before = self._mean_score(value_counts(z, config.most_classes))
        tree = Grower(
            z,
            np.array(config.class_counts),
            depth=config.max_depth,
            min_samples_split=config.min_samples_split,
            greedy=config.split == "greedy",
            num_sampled_rows=config.num_sampled_rows,
            rng=np.random.default_rng([seed, number]),
            report=report,
        ).grown()
        for name in ("feature", "value", "latent_value", "table"):
            weight = getattr(self, name)
            values = weight.numpy()
            values[number] = getattr(tree, name)
            weight.assign(values)
        self._grown.assign(number + 1)
        counts = value_counts(self._in_blocks(self._tree(number).inverse, z), config.most_classes)
        self.base.set_counts(counts)
        return self._mean_score(counts) - before

    def _mean_score(self, counts: np.ndarray) -> float:
        """The mean of log P over latents of these counts [D, K], in nats a row."""
        return float((counts * self.base.log_shares(tf.float64).numpy()).sum() / counts[0].sum())

    def _latents(self, x: Any) -> np.ndarray:
        """Of rows [rows, *event_shape]: int32 [rows, D]."""
        return self._in_blocks(self.encode, x)

    @staticmethod
    def _in_blocks(function: Callable[[Any], Any], x: Any) -> np.ndarray:
        blocks = (function(x[start : start + _BLOCK]) for start in range(0, len(x), _BLOCK))
        return np.concatenate([block.numpy() for block in blocks])
