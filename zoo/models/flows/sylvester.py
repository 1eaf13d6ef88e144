"""Sylvester flow as a density model.

van den Berg et al. 2018, arXiv:1803.05649, Eq. 7-13:  f(z) = z + Q R1 tanh(R2 Q^T z + b)
(`zoo.bijectors.sylvester`; `zoo.models.flows.free_flow` says how layers stack).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from zoo.core.config import ModelConfig
from zoo.core.lazy import bijectors, tfb
from zoo.errors import ConfigError
from zoo.models.flows.free_flow import FreeFlow, FreeFlowConfig

__all__ = ["SylvesterConfig", "SylvesterFlow"]


@dataclass(frozen=True, kw_only=True)
class SylvesterConfig(FreeFlowConfig):
    """Sizes of a Sylvester flow.

    frame: how Q is made.   num_vectors: columns of an orthogonal Q, at most D, or reflections of a
    Householder one; a triangular one has none.
    """

    frame: Literal["orthogonal", "householder", "triangular"] = "orthogonal"
    num_vectors: int = 2

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.num_vectors < 1 or (
            self.frame == "orthogonal" and self.num_vectors > self.event_size
        ):
            raise ConfigError(
                "num_vectors must be at least 1, and at most the event's size for an orthogonal "
                f"frame; got {self.num_vectors} for {self.event_size} dimensions."
            )


@keras.saving.register_keras_serializable("zoo")
class SylvesterFlow(FreeFlow):
    """K Sylvester layers."""

    config_class: ClassVar[type[ModelConfig]] = SylvesterConfig
    family: ClassVar[str] = "sylvester"
    config: SylvesterConfig

    def _layer_weights(self) -> tuple[Mapping[str, tuple[int, ...]], Mapping[str, float]]:
        config = self.config
        size, count = config.event_size, config.num_vectors
        columns = count if config.frame == "orthogonal" else size
        shapes: dict[str, tuple[int, ...]] = {
            "r1": (columns, columns),
            "r2": (columns, columns),
            "b": (columns,),
        }
        if config.frame == "orthogonal":
            shapes["q"] = (size, columns)
        elif config.frame == "householder":
            shapes["q"] = (count, size)
        deviation = 1.0 / math.sqrt(columns)
        return shapes, {"r1": deviation, "r2": deviation, "b": 1.0, "q": 1.0}

    def _neutral_weights(self) -> Mapping[str, Any]:
        return {"r1": tf.zeros_like(self.parameters.weight("r1"))}

    def _layer(self, index: int, weights: Mapping[str, Any]) -> tfb.Bijector:
        if self.config.frame == "orthogonal":
            frame = bijectors.orthogonal(weights["q"])
        elif self.config.frame == "householder":
            frame = bijectors.householder(weights["q"])
        else:
            frame = bijectors.triangular(reverse=index % 2 == 1)
        return bijectors.Sylvester(
            frame, weights["r1"], weights["r2"], weights["b"], name=f"sylvester_{index}"
        )
