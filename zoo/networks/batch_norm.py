"""Keras' batch normalisation inside a conditioner, as the zoo's steps need it."""

from __future__ import annotations

from typing import Any

import keras

from zoo.ops.row_weights import batch_moments, weighted

__all__ = ["BatchNormalization"]


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer, whose moments weigh the rows of a batch that has weights.

    Frozen, by `trainable = False` or each of its weights, it runs with its moving moments.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:  # noqa: FBT001 (Keras)
        """As Keras' call."""
        frozen = not self.gamma.trainable and not self.beta.trainable
        return super().call(inputs, training=bool(training) and not frozen, mask=mask)

    def _moments(self, inputs: Any, mask: Any) -> Any:
        return batch_moments(inputs) if weighted() else super()._moments(inputs, mask)
