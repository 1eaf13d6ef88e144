"""Keras' batch normalisation inside a conditioner, as the zoo's steps need it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras

from zoo.ops.row_weights import batch_moments, weighted

__all__ = ["BatchNormalization", "measuring"]

_MEASURING: ContextVar[bool] = ContextVar("moving moments become the batch's", default=False)


@contextlib.contextmanager
def measuring() -> Iterator[None]:
    """Inside, layers that are not frozen take the moments of the rows they get, and run by them."""
    token = _MEASURING.set(True)
    try:
        yield
    finally:
        _MEASURING.reset(token)


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer, whose moments weigh the rows of a batch that has weights.

    Frozen, by `trainable = False` or each of its weights, it runs with its moving moments.
    """

    momentum: float

    @property
    def frozen(self) -> bool:
        """Whether no weight is trained."""
        return not self.gamma.trainable and not self.beta.trainable

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:  # noqa: FBT001 (Keras)
        """As Keras' call."""
        if self.frozen or not _MEASURING.get():
            training = bool(training) and not self.frozen
            return super().call(inputs, training=training, mask=mask)
        momentum, self.momentum = self.momentum, 0.0
        try:
            return super().call(inputs, training=True, mask=mask)
        finally:
            self.momentum = momentum

    def _moments(self, inputs: Any, mask: Any) -> Any:
        return batch_moments(inputs) if weighted() else super()._moments(inputs, mask)
