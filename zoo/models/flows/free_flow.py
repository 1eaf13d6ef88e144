"""What planar, radial and Sylvester flows share as density models: layers of free parameters.

    z ~ N(0, I),   z_0 = shift + exp(log_scale) * z,   x = f_K(... f_1(z_0))

The layers f are those of the posteriors of arXiv:1505.05770 and arXiv:1803.05649, with one set of
parameters for all rows. In a conditional flow that set, shift and log_scale among it, is a start to
which a network adds what it makes of the row's context (amortised, as those posteriors are).
Forward is one pass in closed form, and so is radial's inverse; planar's and Sylvester's solve
scalar equations (`zoo.ops.roots`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from zoo.core.config import ModelConfig
from zoo.core.context import ConditionedConfig
from zoo.core.lazy import tfb
from zoo.errors import ConfigError
from zoo.kinds.flow import Flow
from zoo.layers.flattening import flattening
from zoo.layers.flow_parameters import FlowParameters
from zoo.layers.norms import AffineParameters, Fit
from zoo.networks.mlp import MLP

__all__ = ["FreeFlow", "FreeFlowConfig"]


@dataclass(frozen=True, kw_only=True)
class FreeFlowConfig(ConditionedConfig):
    """num_layers: K.   base_scale: exp(log_scale) of a fresh model.

    hidden_units: of the network that makes parameters of a context; of no effect without one.
    """

    num_layers: int = 8
    base_scale: float = 1.0
    hidden_units: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.num_layers < 1 or not 0.0 < self.base_scale < math.inf:
            raise ConfigError(
                "Expected num_layers >= 1 and a positive, finite base_scale; got "
                f"{self.num_layers} and {self.base_scale}."
            )


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
        self.context_network: MLP | None = None
        if self.context_width:
            self.context_network = MLP(
                config.hidden_units,
                sum(self._changed_sizes().values()),
                activation="silu",
                dtype=self.network_dtype,
                name="context_network",
            )
            self.context_network.build((None, self.context_width))

    def _changed_sizes(self) -> dict[str, int]:
        """How many numbers of each parameter a context changes, of all layers and of the base."""
        config = self.config
        shapes = self._layer_weights()[0]
        layers = {name: config.num_layers * math.prod(shape) for name, shape in shapes.items()}
        return {**layers, "shift": config.event_size, "log_scale": config.event_size}

    def _changes(self, context: Any) -> dict[str, Any]:
        """What the context adds to the parameters: [batch, ...] of the base, lists of layers'."""
        if self.context_network is None:
            return {}
        config, sizes = self.config, self._changed_sizes()
        flat = tf.cast(self.context_network(context), self.compute_dtype)
        parts = dict(zip(sizes, tf.split(flat, list(sizes.values()), -1), strict=True))
        for name, shape in self._layer_weights()[0].items():
            stacked = tf.reshape(parts[name], [-1, config.num_layers, *shape])
            parts[name] = tf.unstack(stacked, axis=1)
        return parts

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        del training  # no noise
        config = self.config
        chain = flattening(config)
        changes = self._changes(context)
        layers = []
        for i, weights in enumerate(self.parameters.layers()):
            changed = {k: w + changes[k][i] if changes else w for k, w in weights.items()}
            layers.append(self._layer(i, changed))
        chain += reversed(layers)
        base = self.base.bijector(
            (config.event_size,),
            fit=fit,
            shift_change=changes.get("shift"),
            log_scale_change=changes.get("log_scale"),
        )
        return [*chain, base]
