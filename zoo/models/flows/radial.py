"""Radial flow as a density model.

Rezende & Mohamed 2015, arXiv:1505.05770, Eq. 14:  f(z) = z + beta (z - c) / (alpha + |z - c|)
(`zoo.bijectors.radial`; `zoo.models.flows.free_flow` says how layers stack). Both directions are in
closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import tensorflow as tf

from zoo.core.config import ModelConfig, Preprocessing
from zoo.core.lazy import bijectors, tfb
from zoo.models.flows.free_flow import FreeFlow, FreeFlowConfig

__all__ = ["RadialConfig", "RadialFlow"]


@dataclass(frozen=True, kw_only=True)
class RadialConfig(FreeFlowConfig):
    """Sizes of a radial flow."""

    @classmethod
    def feature_preprocessing(cls) -> Preprocessing:
        """Whitened: radial layers move points to and from centres, and turn no correlations."""
        return Preprocessing(whitening="zca_cor")


@keras.saving.register_keras_serializable("zoo")
class RadialFlow(FreeFlow):
    """K radial layers; a fresh one is the identity, its centres spread like the base."""

    config_class: ClassVar[type[ModelConfig]] = RadialConfig
    family: ClassVar[str] = "radial"

    def _layer_weights(self) -> tuple[Mapping[str, tuple[int, ...]], Mapping[str, float]]:
        shapes: dict[str, tuple[int, ...]] = {
            "center": (self.config.event_size,),
            "raw_alpha": (),
            "raw_beta": (),
        }
        return shapes, {"center": self.config.base_scale}

    def _neutral_weights(self) -> Mapping[str, Any]:
        return {"raw_beta": tf.convert_to_tensor(self.parameters.weight("raw_alpha"))}  # beta = 0

    def _layer(self, index: int, weights: Mapping[str, Any]) -> tfb.Bijector:
        return bijectors.Radial(
            weights["center"], weights["raw_alpha"], weights["raw_beta"], name=f"radial_{index}"
        )
