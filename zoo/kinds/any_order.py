"""Models of rows in any order: each feature given any others, by one network.

    log p_s(x) = sum_k log p(x_{s_k} | x_{s_1}, ..., x_{s_{k-1}})          s a permutation of 1..D

Every order s gives an exact normalised density or mass, and the equal mixture of n of them another:

    log p(x) = logsumexp_s log p_s(x) - log n,   never below the mean of log p_s(x)

Training draws an order for each row and step, uniformly; evaluation takes the features as they are
stored (raster order), where nothing else is asked for. What is observed comes first in the order of
imputation, so that draws of the others are from their exact conditional.

Rows of columns that may miss cells are scored with what is there first: that is the exact marginal
of the observed cells, under the order of the observed ones.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf

from zoo.core import checks
from zoo.core.capabilities import AnyOrder, Samples, Scores
from zoo.errors import InvalidInputError
from zoo.kinds.model import ZooModel
from zoo.kinds.observed import (
    FeatureConditional,
    feature_number,
    given_rows,
    known_rows,
    observed_first,
)
from zoo.ops.noise import counter_uniform, hashed_draws

__all__ = ["AnyOrderModel"]


class AnyOrderModel(ZooModel, Scores, Samples, AnyOrder):
    """A model of rows in any order.

    Subclasses create `heads` and their networks, and give `_parameters`, and for draws `_first` and
    `_next`.
    """

    slow_direction: ClassVar[Literal["none", "sampling", "density"]] = "sampling"
    portable: ClassVar[frozenset[str]] = frozenset({"log_prob"})
    temperature_meaning: ClassVar[str] = (
        "divides logits, multiplies scales: 1 samples the model, 0 takes the likeliest class or "
        "component of each feature in turn"
    )
    heads: Any

    # What subclasses provide.

    def _parameters(self, x: Any, order: Any, *, training: bool) -> Any:
        """Of every feature's conditional, given those before it in its row's order.

        x: [batch, D], numbers; NaN and what is no value are the heads' to bear.
        order: int32 [batch, D], the features' numbers.   returns: [batch, D, P], by feature.
        """
        raise NotImplementedError

    def _first(self, order: Any) -> Any:
        """The state before the first feature: nested tensors, for `_next`."""
        raise NotImplementedError

    def _next(self, step: Any, order: Any, x: Any, state: Any) -> tuple[Any, Any]:
        """(parameters [batch, P] of the features at `step` of the orders, the state after it).

        x: [batch, D], of which the features before `step` are known.
        """
        raise NotImplementedError

    # Scores.

    @property
    def measure(self) -> Literal["density", "mass", "volume", "mixed"]:
        """A mass of integers; of a table by its columns."""
        return self.data.measure

    def log_prob(
        self,
        x: Any,
        context: Any = None,
        *,
        seed: Any = None,
        order: Any = None,
        num_orders: int = 1,
    ) -> Any:
        """log p(x) of one order, or of the equal mixture of several, exact: [batch] nats.

        x: [batch, *event_shape] as stored; of a table numbers, or a data frame.
        order: a permutation of 0 .. D - 1; without, the features as they are stored.
        num_orders: above 1 the mixture of so many uniform orders, which `seed` names.
        Raises InvalidInputError for other rows, a context, an order that is no permutation, and
        both an order and several of them.
        """
        x = self.checked_data(x)
        context = self.checked_context(context, rows=x.shape[0])
        seed = checks.seed_tensor(seed, default=checks.EVALUATION_SEED)
        if not isinstance(num_orders, int) or num_orders < 1:
            raise InvalidInputError(
                f"num_orders must be an integer of at least 1; got {num_orders!r}."
            )
        if order is not None:
            if num_orders > 1:
                raise InvalidInputError("Give either order or num_orders.")
            return self.ordered_log_prob(x, order)
        if num_orders == 1:
            return self._run("log_prob", self.score, x=x, context=context, seed=seed)
        orders = tf.unstack(self.drawn_orders(num_orders, seed))
        each = tf.stack([self._of_order(x, order) for order in orders])
        return tf.reduce_logsumexp(each, axis=0) - math.log(num_orders)

    def ordered_log_prob(self, x: Any, order: Any, context: Any = None) -> Any:
        """log p(x) as the features come in `order`, a permutation of 0 .. D - 1: [batch] nats."""
        x = self.checked_data(x)
        self.checked_context(context, rows=x.shape[0])
        return self._of_order(x, self.checked_order(order))

    def _of_order(self, x: Any, order: Any) -> Any:
        order = tf.repeat(order[None], tf.shape(x)[0], axis=0)
        return self._run("ordered", self._nats, x=x, order=order)

    def drawn_orders(self, num_orders: int, seed: Any = None) -> Any:
        """Uniform permutations, int32 [num_orders, D], which the seed names."""
        seed = checks.seed_tensor(seed, default=checks.EVALUATION_SEED)
        return tf.argsort(counter_uniform(seed, 1, 0, num_orders, self.config.event_size)[:, 0])

    def score(self, x: Any, context: Any, seed: Any, *, training: bool = False) -> Any:
        """In training of an order that row and seed name, else in raster order: [batch] nats."""
        del context
        size = self.config.event_size
        if training:
            flat = tf.reshape(x, [-1, size])
            order = tf.argsort(hashed_draws(flat, seed, 0, size))
            return self._nats(x, order, training=True)
        return self._nats(x, self._raster(tf.shape(x)[0]))

    def _nats(self, x: Any, order: Any, *, training: bool = False) -> Any:
        x = self.flat(x)
        order = tf.cast(order, tf.int32)
        if not any(column.missing for column in self.data.columns):
            raw = self._parameters(x, order, training=training)
            return tf.reduce_sum(self.heads.log_prob(raw, x), axis=-1)
        missing = tf.math.is_nan(x)
        order = observed_first(order, ~missing)
        nats = self.heads.log_prob(self._parameters(x, order, training=training), x)
        return tf.reduce_sum(tf.where(missing, tf.zeros_like(nats), nats), axis=-1)

    # Samples.

    def sample(
        self,
        num_samples: int,
        seed: Any = None,
        temperature: float = 1.0,
        context: Any = None,
        *,
        order: Any = None,
    ) -> Any:
        """Rows made feature by feature: [num_samples, *event_shape], as stored.

        seed: an int or a pair of ints makes the draw reproducible; None draws a fresh one.
        temperature: divides logits and multiplies scales.   order: as of `log_prob`.
        Raises InvalidInputError for num_samples < 1, a negative or non-finite temperature, a
        context, and an order that is no permutation.
        """
        num_samples, temperature = checks.checked_sampling(num_samples, temperature)
        rows = checks.static_number(num_samples, "its rows are made in a loop")
        self.checked_context(context, rows=rows)
        if order is not None:
            order = tf.repeat(self.checked_order(order)[None], rows, axis=0)
        given = tf.fill([rows, self.config.event_size], tf.constant(np.nan, self.compute_dtype))
        return self._completed_by_seed(given, order, seed, temperature)

    def draw_rows(self, seeds: Any, temperature: Any, context: Any = None) -> Any:
        """A row for each seed, in raster order: [batch, *event_shape]."""
        self.checked_context(context, rows=None)
        shape = [tf.shape(seeds)[0], self.config.event_size]
        given = tf.fill(shape, tf.constant(np.nan, self.compute_dtype))
        return self._as_stored(self._filled(given, *self._uniform_of(seeds, temperature)))

    # Imputation.

    def impute(
        self,
        x: Any,
        context: Any = None,
        *,
        observed: Any = None,
        seed: Any = None,
        temperature: float = 1.0,
    ) -> Any:
        """The rows x with what is not observed drawn from its exact conditional, as stored.

        x: [batch, *event_shape]; what is not observed may be anything.
        observed: bool, of x's shape or of one row's; without, what is not NaN (of a data frame, not
            missing). Integers have no NaN, and need it.
        seed, temperature: as of `sample`. Observed values come back as they are.
        Raises InvalidInputError for other shapes, a mask that is none, and observed values that are
        no data.
        """
        checks.checked_sampling(1, temperature)
        given = given_rows(self, x, observed)
        self.checked_context(context, rows=given.shape[0])
        return self._completed_by_seed(given, None, seed, temperature)

    def complete_rows(self, x: Any, observed: Any, seeds: Any, temperature: Any) -> Any:
        """x where observed, else drawn by the row's own seed, in any graph.

        observed: integers of x's shape, not 0 where observed.
        """
        x = self.flat(x)
        observed = tf.reshape(observed, tf.shape(x)) != 0
        given = tf.where(observed, x, tf.constant(np.nan, x.dtype))
        return self._as_stored(self._filled(given, *self._uniform_of(seeds, temperature)))

    def conditional(self, x: Any, observed: Any, feature: Any) -> FeatureConditional:
        """p(x_feature | the observed features), one a row: `log_prob(value)` and `sample(seed)`.

        x, observed: as of `impute`.   feature: its number in 0 .. D - 1, of a table its name too.
        Raises InvalidInputError for what `impute` refuses, and for a feature that is observed.
        """
        number = feature_number(self, feature)
        given = given_rows(self, x, observed)
        there = ~tf.math.is_nan(given)
        if bool(tf.reduce_any(there[:, number])):
            raise InvalidInputError(
                f"Feature {feature!r} is observed in row {int(tf.argmax(there[:, number]))}: its "
                "conditional is of rows in which it is not."
            )
        first = tf.one_hot(number, self.config.event_size, on_value=True, off_value=False)
        order = observed_first(self._raster(given.shape[0]), tf.broadcast_to(first, there.shape))
        order = observed_first(order, there)
        raw = self._run("parameters", self._all_parameters, x=known_rows(given, there), order=order)
        return FeatureConditional(self.heads, raw[:, number], number)

    def _all_parameters(self, x: Any, order: Any) -> Any:
        return self._parameters(x, order, training=False)

    # The loop.

    def _completed_by_seed(self, given: Any, order: Any, seed: Any, temperature: float) -> Any:
        rows = given.shape[0]
        uniform = counter_uniform(
            checks.seed_tensor(seed, default=None), rows, 0, self.config.event_size, 2
        )
        arrays = {
            "given": given,
            "uniform": tf.cast(tf.transpose(uniform, [1, 0, 2]), self.compute_dtype),
            "temperature": tf.fill([rows], checks.scalar(temperature, self.compute_dtype)),
        }
        name = "completed" if order is None else "completed_in_order"
        filled = self._run(name, self._filled, **arrays, order=order)
        return self._as_stored(filled)

    def _filled(self, given: Any, uniform: Any, temperature: Any, order: Any = None) -> Any:
        """The rows [batch, D] with NaN in `given` drawn at the quantiles uniform [batch, D, 2]."""
        observed = ~tf.math.is_nan(given)
        order = self._raster(tf.shape(given)[0]) if order is None else order
        order = observed_first(order, observed)
        x = known_rows(given, observed)

        def body(step: Any, x: Any, state: Any) -> Any:
            raw, state = self._next(step, order, x, state)
            feature = tf.gather(order, step, axis=1)
            quantiles = tf.gather(uniform, feature, axis=1, batch_dims=1)
            value = self.heads.draw_of(raw, quantiles, temperature, feature)
            here = tf.range(self.config.event_size) == feature[:, None]
            return step + 1, tf.where(here & ~observed, value[:, None], x), state

        start = (tf.constant(0), x, self._first(order))
        size = self.config.event_size
        return tf.while_loop(lambda step, *_: step < size, body, start, maximum_iterations=size)[1]

    def _uniform_of(self, seeds: Any, temperature: Any) -> tuple[Any, Any]:
        """(quantiles [batch, D, 2] of a row for each seed, temperatures)."""
        size = self.config.event_size
        uniform = tf.map_fn(
            lambda seed: counter_uniform(seed, 1, 0, size, 2)[:, 0],
            seeds,
            fn_output_signature=tf.TensorSpec([size, 2], tf.float32),
        )
        return tf.cast(uniform, self.compute_dtype), temperature

    # Rows and orders.

    def checked_data(self, x: Any) -> Any:
        """x as a tensor of `data`; of a table numbers or a data frame, missing cells NaN."""
        if self.data.columns:
            return checks.checked_columns(x, self.data, "x")
        return super().checked_data(x)

    def checked_order(self, order: Any) -> Any:
        """A permutation of the features, int32 [D]. Raises InvalidInputError for anything else."""
        size = self.config.event_size
        if tf.is_tensor(order) and not hasattr(order, "numpy"):
            return tf.ensure_shape(tf.cast(order, tf.int32), [size])
        values = np.asarray(order)
        if values.dtype.kind not in "iu" or not np.array_equal(np.sort(values), np.arange(size)):
            raise InvalidInputError(
                f"Expected order as a permutation of 0..{size - 1}, each feature once; got "
                f"{str(order)[:80]}."
            )
        return tf.constant(values, tf.int32)

    def _raster(self, rows: Any) -> Any:
        return tf.repeat(tf.range(self.config.event_size)[None], rows, axis=0)

    def flat(self, x: Any) -> Any:
        """Rows as numbers [batch, D] of the model's dtype."""
        return tf.cast(tf.reshape(x, [-1, self.config.event_size]), self.compute_dtype)

    def _as_stored(self, x: Any) -> Any:
        space = self.data
        x = tf.reshape(x, [-1, *space.shape])
        return tf.cast(tf.round(x) if space.is_integer else x, space.dtype)
