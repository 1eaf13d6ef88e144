"""A column as one factor of a model: what the network sees of it, and its conditional.

    number      coordinate y of its kind (`zoo.core.columns`); p(x) = p(y) |dy/dx|, p(y) a mixture
                of logistics, or of Gaussians
    integer     P(k) = P(y(k - 1/2) < y <= y(k + 1/2)), the ends of its range open
    angle       p(x) = p(t) 2 pi / period
    category    P(x = c)

Outside the support of a column the log-probability is -inf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from zoo.bijectors import columns as coordinates
from zoo.core.columns import Column
from zoo.ops import conditionals

__all__ = [
    "Angle",
    "Category",
    "Conditional",
    "Integer",
    "Mixture",
    "Number",
    "column_features",
    "column_width",
    "conditional_of",
    "features_of",
]

Mixture = Literal["logistic", "gaussian"]

_FAR = 10.0  # what a network sees of a value far away
_BELOW_ONE = 1.0 - 2.0**-24


class Conditional:
    """p(x | the columns before).   num_components: of mixtures."""

    def __init__(self, column: Column, num_components: int) -> None:
        self.column, self.num_components = column, num_components

    @property
    def num_features(self) -> int:
        """Numbers that stand for the value in a network's input."""
        return 1

    @property
    def num_parameters(self) -> int:
        """Numbers that a network gives for the conditional."""
        return 3 * self.num_components

    def fresh(self) -> np.ndarray:
        """The parameters [num_parameters] of a network that knows nothing yet."""
        return conditionals.fresh_mixture(self.num_components)

    def features(self, x: Any) -> Any:
        """[...] -> [..., num_features]."""
        return tf.clip_by_value(self.coordinate(self.safe(x)), -_FAR, _FAR)[..., None]

    def log_prob(self, raw: Any, x: Any) -> Any:
        """log p(x) of the value as it stands, [...] nats.   raw: [..., num_parameters]."""
        inside = self.inside(x)
        nats = self._log_prob(raw, self.safe(x))
        return tf.where(inside, nats, tf.constant(-math.inf, nats.dtype))

    def draw(self, raw: Any, uniform: Any, temperature: Any) -> Any:
        """A value, [...].   uniform: [..., 2] in (0, 1).   temperature: [...]."""
        raise NotImplementedError

    def levels(self, raw: Any, x: Any) -> Any:
        """(P(X < x), P(X <= x)) of values in the support, [..., 2]: of numbers twice the same."""
        below = self._below(raw, self.safe(x))
        return tf.stack([below, below], axis=-1)

    def _below(self, raw: Any, x: Any) -> Any:
        return conditionals.logistic_below(raw, self.coordinate(x))

    def _log_prob(self, raw: Any, x: Any) -> Any:
        raise NotImplementedError

    def inside(self, x: Any) -> Any:
        """Whether a value is in the support, bool [...]."""
        return tf.math.is_finite(x)

    def safe(self, x: Any) -> Any:
        """x where it is in the support, else some value that is."""
        inside = self.inside(x)
        return tf.where(inside, x, tf.fill(tf.shape(x), tf.constant(self._example(), x.dtype)))

    def _example(self) -> float:
        return self.column.location

    # The coordinate of numbers and integers.

    def coordinate(self, x: Any) -> Any:
        """y of values in the support."""
        return coordinates.coordinate(self.column, x)

    def value(self, y: Any) -> Any:
        """The inverse of `coordinate`."""
        return coordinates.value(self.column, y)

    def log_slope(self, x: Any) -> Any:
        """log |dy/dx| of values in the support."""
        return coordinates.log_slope(self.column, x)


class Number(Conditional):
    """A real, positive or bounded number, or a moment: it has a density."""

    def __init__(self, column: Column, num_components: int, mixture: Mixture = "logistic") -> None:
        super().__init__(column, num_components)
        self._density, self._quantile, self._share = _MIXTURES[mixture]

    def _log_prob(self, raw: Any, x: Any) -> Any:
        return self._density(raw, self.coordinate(x)) + self.log_slope(x)

    def _below(self, raw: Any, x: Any) -> Any:
        return self._share(raw, self.coordinate(x))

    def draw(self, raw: Any, uniform: Any, temperature: Any) -> Any:
        """The value of a draw of the mixture."""
        return self.value(self._quantile(raw, uniform, temperature))

    def inside(self, x: Any) -> Any:
        """Finite, above 0 or between the bounds."""
        return coordinates.in_support(self.column, x)

    def safe(self, x: Any) -> Any:
        """x where it is in the support, else some value that is."""
        return coordinates.safe(self.column, x)


class Integer(Conditional):
    """An integer: it has a mass."""

    def _log_prob(self, raw: Any, x: Any) -> Any:
        low, high = self.coordinate(x - 0.5), self.coordinate(x + 0.5)
        minimum, maximum = self._range()
        return conditionals.bin_log_prob(raw, low, high, lowest=x <= minimum, highest=x >= maximum)

    def levels(self, raw: Any, x: Any) -> Any:
        """(P(X < k), P(X <= k)), [..., 2]."""
        minimum, maximum = self._range()
        x = self.safe(x)
        low = tf.where(x <= minimum, tf.zeros_like(x), self._below(raw, x - 0.5))
        high = tf.where(x >= maximum, tf.ones_like(x), self._below(raw, x + 0.5))
        return tf.stack([low, high], axis=-1)

    def draw(self, raw: Any, uniform: Any, temperature: Any) -> Any:
        """The integer whose bin the mixture's draw falls into."""
        value = self.value(conditionals.logistic_draw(raw, uniform, temperature))
        return tf.clip_by_value(tf.round(value) + 0.0, *self._range())  # no -0

    def inside(self, x: Any) -> Any:
        """Whole and in the range."""
        minimum, maximum = self._range()
        return (tf.round(x) == x) & (x >= minimum) & (x <= maximum)

    def _range(self) -> tuple[float, float]:
        """Beyond it float32 has no halves to part the bins."""
        column, largest = self.column, 2.0**22
        lowest = 0.0 if column.kind == "count" else -largest
        minimum = lowest if column.minimum is None else column.minimum
        return minimum, largest if column.maximum is None else column.maximum

    def _example(self) -> float:
        return float(np.clip(round(self.column.location), *self._range()))


class Angle(Conditional):
    """A number that comes round: it has a density."""

    @property
    def num_features(self) -> int:
        """Cosine and sine of the angle and of twice the angle."""
        return 4

    def fresh(self) -> np.ndarray:
        """The uniform density, nearly."""
        return conditionals.fresh_mixture(self.num_components, circular=True)

    def coordinate(self, x: Any) -> Any:
        """The angle, in radians."""
        start, period = self._circle()
        return 2.0 * math.pi * (x - start) / period

    def features(self, x: Any) -> Any:
        """[...] -> [..., 4]."""
        angle = self.coordinate(self.safe(x))
        turns = [tf.cos(angle), tf.sin(angle), tf.cos(2.0 * angle), tf.sin(2.0 * angle)]
        return tf.stack(turns, axis=-1)

    def _log_prob(self, raw: Any, x: Any) -> Any:
        _, period = self._circle()
        angle = self.coordinate(x)
        return conditionals.cauchy_log_prob(raw, angle) + math.log(2.0 * math.pi / period)

    def _below(self, raw: Any, x: Any) -> Any:
        return conditionals.cauchy_below(raw, self.coordinate(x))

    def draw(self, raw: Any, uniform: Any, temperature: Any) -> Any:
        """A value in [minimum, minimum + period)."""
        start, period = self._circle()
        angle = conditionals.cauchy_draw(raw, uniform, temperature)
        share = tf.minimum(angle / (2.0 * math.pi), tf.constant(_BELOW_ONE, raw.dtype))
        return start + period * share

    def inside(self, x: Any) -> Any:
        """In [minimum, minimum + period)."""
        start, period = self._circle()
        return (x >= start) & (x < start + period)

    def _circle(self) -> tuple[float, float]:
        return self.column.minimum or 0.0, self.column.period or 1.0

    def _example(self) -> float:
        return self._circle()[0]


class Category(Conditional):
    """One of some texts, as its number."""

    @property
    def num_features(self) -> int:
        """An indicator a category."""
        return len(self.column.categories)

    @property
    def num_parameters(self) -> int:
        """A logit a category."""
        return len(self.column.categories)

    def fresh(self) -> np.ndarray:
        """Equal probabilities."""
        return np.zeros(self.num_parameters)

    def features(self, x: Any) -> Any:
        """[...] -> [..., categories]."""
        return tf.one_hot(tf.cast(self.safe(x), tf.int32), self.num_features, dtype=x.dtype)

    def _log_prob(self, raw: Any, x: Any) -> Any:
        return conditionals.categorical_log_prob(raw, tf.cast(x, tf.int32))

    def levels(self, raw: Any, x: Any) -> Any:
        """(P(X < c), P(X <= c)) in the order of the categories' numbers, [..., 2]."""
        masses = tf.nn.softmax(raw)
        chosen = tf.one_hot(tf.cast(self.safe(x), tf.int32), self.num_features, dtype=raw.dtype)
        high = tf.reduce_sum(chosen * tf.cumsum(masses, axis=-1), axis=-1)
        return tf.stack([high - tf.reduce_sum(chosen * masses, axis=-1), high], axis=-1)

    def draw(self, raw: Any, uniform: Any, temperature: Any) -> Any:
        """The number of a category."""
        return tf.cast(conditionals.categorical_draw(raw, uniform, temperature), raw.dtype)

    def inside(self, x: Any) -> Any:
        """0 .. categories - 1."""
        return (tf.round(x) == x) & (x >= 0.0) & (x < float(self.num_features))

    def _example(self) -> float:
        return 0.0


_MIXTURES = {
    "logistic": (
        conditionals.logistic_log_prob,
        conditionals.logistic_draw,
        conditionals.logistic_below,
    ),
    "gaussian": (
        conditionals.gaussian_log_prob,
        conditionals.gaussian_draw,
        conditionals.gaussian_below,
    ),
}


def conditional_of(
    column: Column, num_components: int, mixture: Mixture = "logistic"
) -> Conditional:
    """The conditional of a column, by its kind.   mixture: of its numbers with a density."""
    if column.is_categorical:
        return Category(column, num_components)
    if column.is_whole:
        return Integer(column, num_components)
    if column.kind == "circular":
        return Angle(column, num_components)
    return Number(column, num_components, mixture)


def features_of(conditional: Conditional) -> int:
    """Numbers that a network sees of a column: its features, and whether its cell is missing."""
    return conditional.num_features + conditional.column.missing


def column_width(conditionals: Sequence[Conditional]) -> int:
    """Numbers that a network sees of all columns."""
    return sum(map(features_of, conditionals))


def column_features(conditionals: Sequence[Conditional], x: Any) -> Any:
    """What a network sees of the rows x [..., columns]: [..., features]."""
    seen = []
    for i, conditional in enumerate(conditionals):
        value = x[..., i]
        features = conditional.features(value)
        if conditional.column.missing:
            missing = tf.math.is_nan(value)[..., None]
            features = tf.where(missing, tf.zeros_like(features), features)
            features = tf.concat([features, tf.cast(missing, features.dtype)], axis=-1)
        seen.append(features)
    return tf.concat(seen, axis=-1)
