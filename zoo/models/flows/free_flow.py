"""What planar, radial and Sylvester flows share as density models: layers of free parameters.

    z ~ N(0, I),   z_0 = shift + exp(log_scale) * z,   x = f_K(... f_1(z_0))

The layers f are those of the posteriors of arXiv:1505.05770 and arXiv:1803.05649, with one set of
parameters for all rows. Forward is one pass in closed form, and so is radial's inverse; planar's
and Sylvester's solve scalar equations (`zoo.ops.roots`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from zoo.core.config import ModelConfig
from zoo.core.lazy import tfb
from zoo.errors import ConfigError
from zoo.kinds.flow import Flow
from zoo.layers.flattening import flattening
from zoo.layers.flow_parameters import FlowParameters
from zoo.layers.norms import AffineParameters, Fit

__all__ = ["FreeFlow", "FreeFlowConfig"]


@dataclass(frozen=True, kw_only=True)
class FreeFlowConfig(ModelConfig):
    """num_layers: K.   base_scale: exp(log_scale) of a fresh model."""

    num_layers: int = 8
    base_scale: float = 1.0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.num_layers < 1 or not 0.0 < self.base_scale < math.inf:
            raise ConfigError(
                "Expected num_layers >= 1 and a positive, finite base_scale; got "
                f"{self.num_layers} and {self.base_scale}."
            )
        if self.context_size:
            raise ConfigError("Flows of free parameters have no conditional form: context_size 0.")


class FreeFlow(Flow):
    """Layers of free parameters over a diagonal Gaussian.

    Subclasses say what weights a layer has (`_layer_weights`), and what bijector they make
    (`_layer`).
    """

    config: FreeFlowConfig
    config_class: ClassVar[type[ModelConfig]] = FreeFlowConfig

    def _layer_weights(self) -> tuple[Mapping[str, tuple[int, ...]], Mapping[str, float]]:
        """(shapes, deviations of the start) of one layer's weights, by name."""
        raise NotImplementedError

    def _layer(self, index: int, weights: Mapping[str, Any]) -> tfb.Bijector:
        raise NotImplementedError

    def _neutral_weights(self) -> Mapping[str, Any]:
        """Values of stacked weights, [num_layers, ...], by name, that make a layer the identity."""
        raise NotImplementedError

    def initialize(self, x: Any, context: Any, fit: Fit) -> None:
        """Makes the layers identities and the base the Gaussian of the rows x, where `fit` is all.

        A fresh model, whose layers are random, spreads over the plane: a start for energies, which
        are not learnt from rows.
        """
        x = self.checked_data(x)
        if fit == "all":
            for name, value in self._neutral_weights().items():
                self.parameters.weight(name).assign(value)
        super().initialize(x, context, fit)

    def _create_networks(self) -> None:
        config = self.config
        shapes, deviations = self._layer_weights()
        self.parameters = FlowParameters(
            config.num_layers, shapes, deviations, dtype=self.dtype_policy, name=self.family
        )
        self.parameters.build(None)
        self.base = AffineParameters((config.event_size,), dtype=self.dtype_policy, name="base")
        self.base.build(None)
        self.base.raw_log_scale.assign(np.full(config.event_size, math.log(config.base_scale)))

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        del training, context  # neither noise nor labels
        config = self.config
        chain = flattening(config)
        layers = [self._layer(i, weights) for i, weights in enumerate(self.parameters.layers())]
        chain += reversed(layers)
        chain.append(self.base.bijector((config.event_size,), fit=fit))
        return chain
