"""Planar flow as a density model.

Rezende & Mohamed 2015, arXiv:1505.05770, Eq. 10-13:  f(z) = z + u_hat tanh(w.z + b)
(`zoo.bijectors.planar`; `zoo.models.flows.free_flow` says how layers stack).

Deviation: the paper uses it as a posterior, which is sampled and never inverted; here the inverse
is solved for, so that arbitrary points have a density.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import tensorflow as tf

from zoo.core.config import ModelConfig
from zoo.core.lazy import bijectors, tfb
from zoo.models.flows.free_flow import FreeFlow, FreeFlowConfig

__all__ = ["PlanarConfig", "PlanarFlow"]


@dataclass(frozen=True, kw_only=True)
class PlanarConfig(FreeFlowConfig):
    """Sizes of a planar flow."""


@keras.saving.register_keras_serializable("zoo")
class PlanarFlow(FreeFlow):
    """K planar layers."""

    config_class: ClassVar[type[ModelConfig]] = PlanarConfig
    family: ClassVar[str] = "planar"

    def _layer_weights(self) -> tuple[Mapping[str, tuple[int, ...]], Mapping[str, float]]:
        size = self.config.event_size
        deviation = math.sqrt(2.0 / size)  # N(0, 1) in two dimensions
        return {"w": (size,), "u": (size,), "b": ()}, dict.fromkeys("wub", deviation)

    def _neutral_weights(self) -> Mapping[str, Any]:
        # u_hat = 0 where u is parallel to w and m(w.u) = 0.
        w = tf.convert_to_tensor(self.parameters.weight("w"))
        return {"u": math.log(math.e - 1.0) * w / tf.reduce_sum(tf.square(w), -1, keepdims=True)}

    def _layer(self, index: int, weights: Mapping[str, Any]) -> tfb.Bijector:
        return bijectors.Planar(weights["w"], weights["u"], weights["b"], name=f"planar_{index}")
