"""A flow as TFP's objects, which live with the model."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from zoo.core.capabilities import Bijective
from zoo.core.context_checks import numbers_of
from zoo.core.lazy import bijectors
from zoo.kinds.model import ZooModel

__all__ = ["AsTFP"]


class AsTFP(ZooModel, Bijective):
    """`bijector` and `distribution` of a model that has a chain and a base."""

    def bijector(self, context: Any = None) -> bijectors.LiveBijector:
        """latent [..., D] -> dequantised data [..., *event_shape]: a live `tfb.Bijector`.

        It reads the weights at every call and tracks them.
        context: one, or several [*batch, ...]: a bijection for each, of batch shape [*batch].
        """
        name = self.family or "flow"
        if context is None or self.context is None:
            return bijectors.LiveBijector(self, self.checked_context(context, None), name=name)
        given = numbers_of(context, self.context)
        first = given.shape.rank - self.context_ndims(given)  # axis of a context's own
        if first < 0:
            self.checked_context(given, rows=None)
        rows = tf.reshape(given, tf.concat([[-1], tf.shape(given)[first:]], 0))
        rows = self.checked_context(rows, rows=None)
        batch, own = given.shape[:first], rows.shape[1:]
        context = tf.reshape(rows, tf.concat([tf.shape(given)[:first], own], 0))
        context.set_shape(batch.concatenate(own))
        return bijectors.LiveBijector(self, context, context_ndims=own.rank, name=name)

    def context_ndims(self, context: Any) -> int:
        """How many of the last axes of contexts are those of one: none of a label."""
        raise NotImplementedError

    def distribution(self, context: Any = None) -> bijectors.LiveDistribution:
        """The density of dequantised data: a `tfd.TransformedDistribution` of `bijector(context)`.

        Outside the data's bounds it is 0, its logarithm -inf.
        """
        return bijectors.LiveDistribution(
            self.base_distribution(), self.bijector(context), name=self.family or "flow"
        )
