"""Between the data as stored and a flow's model space: noise, scaling, whitening, and back."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from zoo.core import checks
from zoo.core.checks import EVALUATION_SEED
from zoo.core.lazy import bijectors, tfb
from zoo.kinds.model import ZooModel
from zoo.layers.whitening import whitening_layer
from zoo.ops.noise import hashed_uniform

__all__ = ["Preprocessed"]


class Preprocessed(ZooModel):
    """A model of dequantised data, scaled and whitened as its config says."""

    def _create_preprocessing(self) -> None:
        self.whitening: Any = whitening_layer(
            self.config.preprocessing.whitening, self.config.event_shape, self.dtype_policy
        )

    def _preprocessing(self) -> list[tfb.Bijector]:
        """Bijectors from data (first) to model space (last)."""
        preprocessing, shape = self.config.preprocessing, self.config.event_shape
        chain: list[tfb.Bijector] = []
        if self.config.columns:
            chain.append(bijectors.ColumnCoordinates(self.config.columns))
        if preprocessing.transform != "none":
            chain.append(
                bijectors.PixelScaling(
                    num_levels=preprocessing.num_levels,
                    transform=preprocessing.transform,
                    alpha=preprocessing.alpha,
                    event_ndims=len(shape),
                )
            )
        if self.whitening is not None:
            chain.append(self.whitening.bijector(shape))
        return chain

    def dequantised(self, x: Any, seed: Any) -> Any:
        """x + u, u uniform in [0, 1) for grey levels; features as they are."""
        if not self.config.preprocessing.num_levels:
            return tf.cast(x, self.compute_dtype)
        noise = hashed_uniform(tf.cast(x, tf.int32), seed)
        return tf.cast(x, self.compute_dtype) + tf.cast(noise, self.compute_dtype)

    def _quantised(self, y: Any) -> Any:
        levels = self.config.preprocessing.num_levels
        if not levels:
            return y
        y = tf.where(tf.math.is_nan(y), tf.zeros_like(y), y)
        return tf.cast(tf.clip_by_value(tf.floor(y), 0.0, levels - 1.0), tf.uint8)

    def adapt_whitening(self, x: Any) -> None:
        """Fits the whitening alone to the rows x [batch, *event_shape], typically all of them."""
        if self.whitening is None:
            return
        x = self.checked_data(x)
        y = self.dequantised(x, tf.constant(EVALUATION_SEED, tf.int32))
        members = self._preprocessing()[:-1]
        if members:
            y = bijectors.inverse_and_log_det(tfb.Chain(members), y, len(self.config.event_shape))[
                0
            ]
        self.whitening.initialize(y)

    def paper_space_log_det(self, x: Any, *, seed: Any = None) -> Any:
        """log|det dv/d(x+u)|, v the data in the space in which papers quote nats.

        That is after pixel scaling (NICE: pixels in [0, 1] or [-1, 1]; MAF: logit space), without
        whitening; for features it is after standardisation. log_prob minus it is the density of v.
        x: [batch, *event_shape].   returns: [batch].
        """
        x = self.checked_data(x)
        y = self.dequantised(x, checks.seed_tensor(seed, default=EVALUATION_SEED))
        members = self._preprocessing()[:1]
        if not members:
            return tf.zeros(tf.shape(x)[:1], self.compute_dtype)
        return bijectors.inverse_and_log_det(tfb.Chain(members), y, len(self.config.event_shape))[1]

    @property
    def paper_space(self) -> str:
        """Words for the space of `paper_space_log_det`."""
        preprocessing = self.config.preprocessing
        if self.config.columns:
            return "nats, coordinates of the columns"
        if preprocessing.transform == "none":
            kind = preprocessing.whitening
            return {"none": "nats, raw features", "standardise": "nats, standardised features"}.get(
                kind, "nats, whitened features"
            )
        return {
            "unit": "nats, pixels in [0, 1]",
            "symmetric": "nats, pixels in [-1, 1]",
            "logit": f"nats, logit space (alpha = {preprocessing.alpha:g})",
        }[preprocessing.transform]
