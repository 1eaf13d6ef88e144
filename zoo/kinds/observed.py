"""What is observed of a row, and one feature's conditional given that: for models in any order."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.core import checks
from zoo.core.encoding import encoded, is_frame
from zoo.errors import InvalidInputError
from zoo.ops.noise import counter_uniform

__all__ = ["FeatureConditional", "feature_number", "given_rows", "known_rows", "observed_first"]


@dataclass(frozen=True, eq=False)
class FeatureConditional:
    """p(feature | others), one a row.   raw: its parameters [batch, P].   feature: its number."""

    heads: Any
    raw: Any
    feature: int

    def log_prob(self, value: Any) -> Any:
        """log p of one value a row, or of one for all: [batch] nats."""
        value = tf.broadcast_to(tf.cast(value, self.raw.dtype), tf.shape(self.raw)[:1])
        return self.heads.log_prob_of(self.raw, value, self._features())

    def sample(self, seed: Any = None, temperature: float = 1.0) -> Any:
        """A draw a row: [batch], as numbers of the model's dtype."""
        checks.checked_sampling(1, temperature)
        seed = checks.seed_tensor(seed, default=None)
        rows = self.raw.shape[0]
        uniform = tf.cast(counter_uniform(seed, rows, 0, 1, 2)[0], self.raw.dtype)
        temperatures = tf.fill([rows], tf.constant(float(temperature), self.raw.dtype))
        return self.heads.draw_of(self.raw, uniform, temperatures, self._features())

    def _features(self) -> Any:
        return tf.fill(tf.shape(self.raw)[:1], self.feature)


def given_rows(model: Any, x: Any, observed: Any) -> Any:
    """x [batch, D] in the model's dtype, NaN where it is not observed."""
    size, space = model.config.event_size, model.data
    if space.columns:
        columns = tuple(dataclasses.replace(c, missing=True) for c in space.columns)
        if is_frame(x):
            x = encoded(x, columns, "x")
        space = dataclasses.replace(space, columns=columns)
        x = checks.checked_columns(x, space, "x")
    else:
        x = checks.as_tensor(x, "x", None)
    if observed is None:
        if not space.columns:
            raise InvalidInputError(
                "Integers have no NaN: give observed, bool of x's shape, True where a value is "
                "known."
            )
        return model.flat(x)
    observed = np.asarray(observed)
    if observed.dtype.kind != "b" or observed.shape not in (x.shape, x.shape[1:]):
        raise InvalidInputError(
            f"Expected observed as bool of shape {list(x.shape)} or {list(x.shape[1:])}; got "
            f"{observed.dtype} {list(observed.shape)}."
        )
    observed = tf.constant(np.broadcast_to(observed, x.shape))
    if not space.columns:  # what is not observed need not be data
        x = model.checked_data(tf.where(observed, x, tf.zeros_like(x)))
        observed = tf.reshape(observed, tf.shape(x))
    flat, observed = model.flat(x), tf.reshape(observed, [-1, size])
    return tf.where(observed, flat, tf.constant(np.nan, flat.dtype))


def feature_number(model: Any, feature: Any) -> int:
    """The feature's place, of a table by its name too. Raises InvalidInputError for none."""
    size = model.config.event_size
    names = [column.name for column in model.data.columns]
    if feature in names:
        return names.index(feature)
    if not isinstance(feature, int | np.integer) or not 0 <= feature < size:
        known = f" or one of {', '.join(names)}"[:200] if names else ""
        raise InvalidInputError(
            f"Expected feature as a number in 0..{size - 1}{known}; got {feature!r}."
        )
    return int(feature)


def observed_first(order: Any, observed: Any) -> Any:
    """The orders [batch, D] with the observed features first, else as they were."""
    size = order.shape[1]
    late = tf.cast(~tf.gather(observed, order, axis=1, batch_dims=1), tf.int32)
    return tf.gather(order, tf.argsort(late * size + tf.range(size)), axis=1, batch_dims=1)


def known_rows(given: Any, observed: Any) -> Any:
    """The rows with 0 in the place of what is not observed."""
    return tf.where(observed, given, tf.zeros_like(given))
