"""One-pass bijectors, and the walk that evaluates a chain of them once.

TFP asks a bijector for `inverse` and for `inverse_log_det_jacobian` separately. A coupling would
then run its conditioner twice, and its gradient twice. Here a bijector implements the pair

    forward_and_log_det(z) -> (x, log|det dx/dz|)      inverse_and_log_det(x) -> (z, log|det dz/dx|)

and gets TFP's whole interface from it; `inverse_and_log_det(chain, x)` walks a `tfb.Chain` that
way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfb = tfp.bijectors

__all__ = ["FlowChain", "OnePassBijector", "forward_and_log_det", "inverse_and_log_det"]


class OnePassBijector(tfb.Bijector):
    """A bijector of events of rank `event_ndims` defined by its two one-pass methods.

    data_event_ndims: the rank of its images' events, where it is another.

    Subclasses implement `forward_and_log_det` and `inverse_and_log_det`, each from a tensor
    [batch..., *event] to (tensor [batch..., *event], log-det [batch...]).
    """

    def __init__(
        self,
        *,
        event_ndims: int,
        parameters: dict[str, Any],
        name: str,
        data_event_ndims: int | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            forward_min_event_ndims=event_ndims,
            inverse_min_event_ndims=data_event_ndims or event_ndims,
            parameters=parameters,
            dtype=dtype,
            validate_args=False,
            name=name,
        )

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """(x, log|det dx/dz|)."""
        raise NotImplementedError

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """(z, log|det dz/dx|)."""
        raise NotImplementedError

    def _forward(self, z: Any) -> Any:
        return self.forward_and_log_det(z)[0]

    def _inverse(self, x: Any) -> Any:
        return self.inverse_and_log_det(x)[0]

    def _forward_log_det_jacobian(self, z: Any) -> Any:
        return self.forward_and_log_det(z)[1]

    def _inverse_log_det_jacobian(self, x: Any) -> Any:
        return self.inverse_and_log_det(x)[1]

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        del dtype, num_classes  # TFP infers no batch: one parameter a row goes with that row
        return {}


# `tfb.Chain(...)` of members that are no composite tensors builds this base class of it, and so
# does `tfb.Invert`.
_CHAIN = tfb.Chain.__mro__[1]
_INVERT = tfb.Invert.__mro__[1]


class FlowChain(tfb.Chain):
    """A `tfb.Chain` whatever its members are, for single events too.

    TFP's constructor returns its private base class where a member is no composite tensor, as ours
    are not; `isinstance(bijector, tfb.Chain)` would then be false. Networks take batches alone: an
    event without one is a batch of one.
    """

    def forward(self, x: Any, name: str = "forward", **kwargs: Any) -> Any:
        """x = g(z), of a batch or of one event."""
        return _of_batch(super().forward, x, self.forward_min_event_ndims, name=name, **kwargs)

    def inverse(self, y: Any, name: str = "inverse", **kwargs: Any) -> Any:
        """z = g^-1(x), of a batch or of one event."""
        return _of_batch(super().inverse, y, self.inverse_min_event_ndims, name=name, **kwargs)

    def forward_log_det_jacobian(
        self, x: Any, event_ndims: Any = None, name: str = "forward_log_det_jacobian", **kwargs: Any
    ) -> Any:
        """log|det dx/dz|, of a batch or of one event."""
        ndims, log_det = self.forward_min_event_ndims, super().forward_log_det_jacobian
        return _of_batch(log_det, x, ndims, event_ndims=event_ndims, name=name, **kwargs)

    def inverse_log_det_jacobian(
        self, y: Any, event_ndims: Any = None, name: str = "inverse_log_det_jacobian", **kwargs: Any
    ) -> Any:
        """log|det dz/dx|, of a batch or of one event."""
        ndims, log_det = self.inverse_min_event_ndims, super().inverse_log_det_jacobian
        return _of_batch(log_det, y, ndims, event_ndims=event_ndims, name=name, **kwargs)


def _of_batch(function: Callable[..., Any], x: Any, min_ndims: int, **kwargs: Any) -> Any:
    """function(x); of one event [*event] as of a batch of one.

    Without the batch's axis again, unless the bijector has a batch of parameters, as those of
    several labels.
    """
    shape = x.shape if hasattr(x, "shape") else np.shape(x)
    if tf.TensorShape(shape).rank != min_ndims:
        return function(x, **kwargs)
    y = function(tf.expand_dims(x, 0), **kwargs)
    return y[0] if y.shape[0] == 1 else y


def _members(bijector: tfb.Bijector) -> list[tfb.Bijector]:
    """The chain's members in the order in which `forward` applies them."""
    if isinstance(bijector, _CHAIN):
        return [m for b in reversed(bijector.bijectors) for m in _members(b)]
    return [bijector]


def _one_pass(member: tfb.Bijector, *, inverse: bool) -> Callable[[Any], tuple[Any, Any]] | None:
    """The member's one-pass method of that direction, through `tfb.Invert`; None without one."""
    if isinstance(member, _INVERT):
        return _one_pass(member.bijector, inverse=not inverse)
    return getattr(member, "inverse_and_log_det" if inverse else "forward_and_log_det", None)


def forward_and_log_det(bijector: tfb.Bijector, z: Any, event_ndims: int) -> tuple[Any, Any]:
    """(x, log|det dx/dz|) with every member evaluated once.

    z: [batch, *event], log-det: [batch].
    """
    log_det = tf.zeros(tf.shape(z)[: z.shape.rank - event_ndims], z.dtype)
    for member in _members(bijector):
        one_pass = _one_pass(member, inverse=False)
        if one_pass is not None:
            z, term = one_pass(z)
        else:
            x = member.forward(z)
            term = member.forward_log_det_jacobian(z, event_ndims=event_ndims)
            z = x
        log_det += term
        event_ndims = z.shape.rank - log_det.shape.rank
    return z, log_det


def inverse_and_log_det(bijector: tfb.Bijector, x: Any, event_ndims: int) -> tuple[Any, Any]:
    """(z, log|det dz/dx|) with every member evaluated once.

    x: [batch, *event], log-det: [batch].
    """
    log_det = tf.zeros(tf.shape(x)[: x.shape.rank - event_ndims], x.dtype)
    for member in reversed(_members(bijector)):
        one_pass = _one_pass(member, inverse=True)
        if one_pass is not None:
            x, term = one_pass(x)
        else:
            z = member.inverse(x)
            term = member.inverse_log_det_jacobian(x, event_ndims=event_ndims)
            x = z
        log_det += term
        event_ndims = x.shape.rank - log_det.shape.rank
    return x, log_det
