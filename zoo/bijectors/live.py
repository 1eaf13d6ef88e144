"""A model's bijection and its density as TFP objects that live with the model.

Weights are read at every call, so that a held object is never of an older day, and are tracked as
TFP tracks variables: `trainable_variables` has them, gradients reach them under any tape, and both
objects may be arguments of a `tf.function`. Labels are a batch of bijections, as TFP's parameters
are: one of batch shape [4] has four labels and maps [..., 4, *event].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.bijectors.base import OnePassBijector, forward_and_log_det, inverse_and_log_det

tfb, tfd = tfp.bijectors, tfp.distributions

__all__ = ["LiveBijector", "LiveDistribution"]

Walk = Callable[[Any, Any, int], tuple[Any, Any]]


class _NoCache:
    """In place of TFP's cache, which knows a result by its input: weights may change in between."""

    def __init__(self, bijector: Any = None) -> None:
        self._bijector = bijector

    def __get__(self, bijector: Any, _: Any = None) -> _NoCache:
        return _NoCache(bijector)

    def forward(self, x: Any, **kwargs: Any) -> Any:
        return self._bijector._forward(x, **kwargs)

    def inverse(self, y: Any, **kwargs: Any) -> Any:
        return self._bijector._inverse(y, **kwargs)

    def forward_attributes(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}

    inverse_attributes = forward_attributes


class LiveBijector(OnePassBijector, tfb.AutoCompositeTensorBijector):
    """latent [..., D] -> dequantised data [..., *event_shape], of the weights at the call.

    model: has the capability `Bijective`.
    context: checked, [*batch, ...] with `context_ndims` axes of its own; None without.
    weights: those of the model, which a `tf.function` hands back with the context.
    """

    _cache = _NoCache()

    def __init__(
        self,
        model: Any,
        context: Any = None,
        weights: Any = None,
        *,
        context_ndims: int = 0,
        name: str = "flow",
    ) -> None:
        parameters = dict(locals())
        self._given_weights = weights
        self.model = model
        self.context = context
        self.context_ndims = context_ndims
        super().__init__(
            event_ndims=len(model.latent.shape),
            data_event_ndims=len(model.data.shape),
            dtype=model.compute_dtype,
            parameters=parameters,
            name=name,
        )

    @property
    def weights(self) -> list[tf.Variable]:
        """The variables that TFP's objects around this one find.

        Without the weights that Keras alone counts as frozen, which they would train. Inside of a
        `tf.function` that got the object: its own names of them, as TensorFlow keeps its books.
        """
        if self._given_weights is not None:
            return list(self._given_weights)
        trained = {id(v) for v in self.model.trainable_weights}
        pairs = [(v, v.value) for v in self.model.weights]
        return [value for v, value in pairs if id(v) in trained or not value.trainable]

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The model's, as `tf.Variable`s."""
        return tuple(v.value for v in self.model.trainable_variables)

    @property
    def non_trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The model's, as `tf.Variable`s."""
        return tuple(v.value for v in self.model.non_trainable_weights)

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """The model's, trainable ones first."""
        return (*self.trainable_variables, *self.non_trainable_variables)

    @property
    def bijectors(self) -> list[tfb.Bijector]:
        """The members of the chain, data first, of the weights as they are now."""
        context = self.context
        if context is not None:
            inner = context.shape[context.shape.rank - self.context_ndims :]
            context = tf.reshape(context, [-1, *inner])
        return list(self._chain(context).bijectors)

    def _chain(self, context: Any) -> Any:
        return self.model.chain(context=self.model.encoded_context(context))

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """(x, log|det dx/dz|) of latents [..., D]."""
        model = self.model
        return self._by_rows(forward_and_log_det, z, model.latent.shape, model.data.shape)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """(z, log|det dz/dx|) of data [..., *event_shape]; -inf outside the support."""
        model = self.model
        return self._by_rows(inverse_and_log_det, x, model.data.shape, model.latent.shape)

    def _inverse(self, x: Any) -> Any:
        z, log_det = self.inverse_and_log_det(x)
        nothing = tf.constant(np.nan, z.dtype)
        return tf.where((log_det == -np.inf)[..., None], nothing, z)  # outside the support

    def _by_rows(
        self, walk: Walk, x: Any, shape: tuple[int, ...], new_shape: tuple[int, ...]
    ) -> tuple[Any, Any]:
        """The walk of [*batch, *shape] as of rows [N, *shape], each with its own context."""
        x = tf.convert_to_tensor(x, dtype_hint=self.dtype)
        batch, static = tf.shape(x)[: -len(shape)], x.shape[: -len(shape)]
        context = self.context
        if context is not None:
            own = self.experimental_batch_shape_tensor(x_event_ndims=1)
            static_own = self.experimental_batch_shape(x_event_ndims=1)
            batch = tf.broadcast_dynamic_shape(batch, own)
            static = tf.broadcast_static_shape(static, static_own)
            x = tf.broadcast_to(x, tf.concat([batch, shape], 0))
            inner = tf.shape(context)[tf.rank(context) - self.context_ndims :]
            if static_own.num_elements() != 1:  # else one row does for all
                context = tf.broadcast_to(context, tf.concat([batch, inner], 0))
            known = context.shape[context.shape.rank - self.context_ndims :]
            context = tf.reshape(context, [-1, *known])
        rows = tf.reshape(x, [-1, *shape])
        rows.set_shape([static.num_elements(), *shape])
        new, log_det = walk(self._chain(context), rows, len(shape))
        new = tf.reshape(new, tf.concat([batch, new_shape], 0))
        log_det = tf.reshape(log_det, batch)
        new.set_shape(static.concatenate(new_shape))
        log_det.set_shape(static)
        return new, log_det

    # Shapes, with any number of axes before.

    def _forward_event_shape(self, shape: Any) -> Any:
        return shape[:-1].concatenate(self.model.data.shape)

    def _inverse_event_shape(self, shape: Any) -> Any:
        return shape[: -len(self.model.data.shape)].concatenate(self.model.latent.shape)

    def _forward_event_shape_tensor(self, shape: Any) -> Any:
        return tf.concat([shape[:-1], self.model.data.shape], 0)

    def _inverse_event_shape_tensor(self, shape: Any) -> Any:
        return tf.concat([shape[: -len(self.model.data.shape)], self.model.latent.shape], 0)

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        del dtype, num_classes

        def own_ndims(self: LiveBijector, x_event_ndims: int) -> int:
            return self.context_ndims + x_event_ndims - self.forward_min_event_ndims

        return {"context": tfp.util.ParameterProperties(event_ndims=own_ndims)}


class LiveDistribution(tfd.TransformedDistribution):
    """The density of dequantised data: the base under a `LiveBijector`, each network run once."""

    def __init__(self, distribution: Any, bijector: LiveBijector, *, name: str = "flow") -> None:
        parameters = dict(locals())
        super().__init__(distribution, bijector, parameters=parameters, name=name)

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """Those of the bijector and of the base."""
        return (*self.bijector.trainable_variables, *self.distribution.trainable_variables)

    @property
    def non_trainable_variables(self) -> tuple[tf.Variable, ...]:
        """Those of the bijector and of the base."""
        return (*self.bijector.non_trainable_variables, *self.distribution.non_trainable_variables)

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """Those of the bijector and of the base."""
        return (*self.trainable_variables, *self.non_trainable_variables)

    def experimental_local_measure(self, y: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """(log base(z) + log|det dz/dy|, the full space); -inf outside the support."""
        z, log_det = self.bijector.inverse_and_log_det(y)
        full = tfp.experimental.tangent_spaces.FullSpace()
        return self.distribution.log_prob(z) + log_det, full

    def _sample_and_log_prob(self, sample_shape: Any, seed: Any, **kwargs: Any) -> tuple[Any, Any]:
        base = self._maybe_broadcast_distribution_batch_shape()
        z, log_prob = base.experimental_sample_and_log_prob(sample_shape, seed, **kwargs)
        y, log_det = self.bijector.forward_and_log_det(z)
        return y, log_prob - log_det

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> Any:
        return super()._parameter_properties(dtype, num_classes)  # TFP warns where it is inherited
