"""Models whose rows may be conditioned on a label, numbers, columns or an image."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from zoo.core.context_checks import of_rows
from zoo.kinds.model import ZooModel
from zoo.layers.context import ContextEncoder, context_encoder

__all__ = ["Conditioned"]


class Conditioned(ZooModel):
    """A model whose networks see a vector of the context (`zoo.layers.context`)."""

    def _create_preprocessing(self) -> None:
        super()._create_preprocessing()
        self.context_encoder: ContextEncoder | None = context_encoder(
            self.config, self.dtype_policy, self.network_dtype
        )

    @property
    def context_width(self) -> int:
        """Numbers that the networks see of a context; 0 for an unconditional model."""
        encoder = self.context_encoder
        return self.config.context_size if encoder is None else encoder.width

    def seen_context(self, context: Any) -> Any:
        """The context as the networks take it, [batch, context_width]: labels as indicators."""
        if context is None:
            return None
        if self.context_encoder is not None:
            return tf.cast(self.context_encoder(context), self.compute_dtype)
        return tf.one_hot(context, self.config.context_size, dtype=self.compute_dtype)

    def context_ndims(self, context: Any) -> int:
        """How many of the last axes of contexts are those of one: none of a label."""
        del context
        return 0 if self.context is None else len(self.context.shape)

    def adapt_context(self, context: Any) -> None:
        """Standardises real contexts by the moments of these, [batch, ...]."""
        if self.context_encoder is not None and context is not None:
            self.context_encoder.adapt(self.checked_context(context, rows=None))

    def drawn_context(self, context: Any, num_samples: Any) -> Any:
        """The checked context of so many draws, of a context each or of one for all."""
        return self.checked_context(of_rows(context, self.context, num_samples), num_samples)
