"""The conditionals of a row's features, as a network sees their values and gives their parameters.

    levels     every feature is one of K integers: a softmax, of two a logit
    columns    every feature is a column of a table (`zoo.bases.columns`): a category a
               softmax of its own size, a number a mixture, an integer the masses of its bins

Rows are numbers [batch, D]; parameters are [batch, D, P], of which a feature uses its first ones.
Functions with `feature` are of one feature a row, int32 [batch], another one in each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.bases.columns import Conditional, Mixture, conditional_of
from zoo.core.columns import Column
from zoo.ops import conditionals

__all__ = ["ColumnHeads", "Heads", "LevelHeads"]


class Heads:
    """Of D features.

    num_features: numbers that a network sees of a value.   num_parameters: P.
    """

    num_features: int
    num_parameters: int

    def fresh(self) -> np.ndarray:
        """Parameters [D, P] of a network that knows nothing yet."""
        raise NotImplementedError

    def features(self, x: Any) -> Any:
        """[batch, D] -> [batch, D, num_features], of any values."""
        raise NotImplementedError

    def log_prob(self, raw: Any, x: Any) -> Any:
        """log p of every feature's value, [batch, D]."""
        raise NotImplementedError

    def features_of(self, value: Any, feature: Any) -> Any:
        """[batch] -> [batch, num_features]."""
        raise NotImplementedError

    def log_prob_of(self, raw: Any, value: Any, feature: Any) -> Any:
        """[batch].   raw: [batch, P].   value: [batch]."""
        raise NotImplementedError

    def draw_of(self, raw: Any, uniform: Any, temperature: Any, feature: Any) -> Any:
        """A value, [batch].   raw: [batch, P].   uniform: [batch, 2].   temperature: [batch]."""
        raise NotImplementedError


class LevelHeads(Heads):
    """Of D features that are integers 0 .. num_classes - 1 each."""

    def __init__(self, event_size: int, num_classes: int) -> None:
        self.event_size, self.num_classes = event_size, num_classes
        self.num_features = self.num_parameters = 1 if num_classes == 2 else num_classes

    def fresh(self) -> np.ndarray:
        """Equal probabilities."""
        return np.zeros([self.event_size, self.num_parameters])

    def features(self, x: Any) -> Any:
        """2 x - 1 of two levels, an indicator of each of more."""
        if self.num_classes == 2:
            return 2.0 * x[..., None] - 1.0
        return tf.one_hot(tf.cast(x, tf.int32), self.num_classes, dtype=x.dtype)

    def log_prob(self, raw: Any, x: Any) -> Any:
        """log P of every feature's value, [...]."""
        return conditionals.categorical_log_prob(self._logits(raw), tf.cast(x, tf.int32))

    def features_of(self, value: Any, feature: Any) -> Any:
        """All features have the same."""
        del feature
        return self.features(value)

    def log_prob_of(self, raw: Any, value: Any, feature: Any) -> Any:
        """All features have the same."""
        del feature
        return self.log_prob(raw, value)

    def draw_of(self, raw: Any, uniform: Any, temperature: Any, feature: Any) -> Any:
        """A level, [batch]."""
        del feature
        drawn = conditionals.categorical_draw(self._logits(raw), uniform, temperature)
        return tf.cast(drawn, raw.dtype)

    def _logits(self, raw: Any) -> Any:
        return tf.concat([tf.zeros_like(raw), raw], axis=-1) if self.num_classes == 2 else raw


class ColumnHeads(Heads):
    """Of the columns of a table."""

    def __init__(self, columns: Sequence[Column], num_components: int, mixture: Mixture) -> None:
        self.conditionals = [conditional_of(c, num_components, mixture) for c in columns]
        self.num_features = max(c.num_features for c in self.conditionals)
        self.num_parameters = max(c.num_parameters for c in self.conditionals)

    def fresh(self) -> np.ndarray:
        """Those of each column."""
        fresh = np.zeros([len(self.conditionals), self.num_parameters])
        for i, conditional in enumerate(self.conditionals):
            fresh[i, : conditional.num_parameters] = conditional.fresh()
        return fresh

    def features(self, x: Any) -> Any:
        """Those of each column, and zeros behind them."""
        seen = [self._seen(c, x[..., i]) for i, c in enumerate(self.conditionals)]
        return tf.stack(seen, axis=-2)

    def log_prob(self, raw: Any, x: Any) -> Any:
        """log p of every column's value, [batch, D]."""
        nats = [
            c.log_prob(raw[:, i, : c.num_parameters], x[:, i])
            for i, c in enumerate(self.conditionals)
        ]
        return tf.stack(nats, axis=-1)

    def features_of(self, value: Any, feature: Any) -> Any:
        """Those of the value as one of that column."""
        return self._of(lambda c: self._seen(c, value), feature)

    def log_prob_of(self, raw: Any, value: Any, feature: Any) -> Any:
        """log p of the value as one of that column."""
        return self._of(lambda c: c.log_prob(raw[:, : c.num_parameters], value), feature)

    def draw_of(self, raw: Any, uniform: Any, temperature: Any, feature: Any) -> Any:
        """A value of that column."""

        def draw(conditional: Conditional) -> Any:
            return conditional.draw(raw[:, : conditional.num_parameters], uniform, temperature)

        return self._of(draw, feature)

    def _seen(self, conditional: Conditional, value: Any) -> Any:
        features = conditional.features(value)
        behind = self.num_features - conditional.num_features
        return tf.pad(features, [[0, 0]] * (features.shape.rank - 1) + [[0, behind]])

    def _of(self, function: Callable[[Conditional], Any], feature: Any) -> Any:
        """function(the conditional of each row's feature): computed for all, one is taken."""
        every = tf.stack([function(c) for c in self.conditionals], axis=1)
        return tf.gather(every, feature, axis=1, batch_dims=1)
