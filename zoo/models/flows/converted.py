"""Flows of other libraries, step by step: what `zoo convert` makes of their weights.

A config lists the steps from data to latents:

    kind             z =                                                  weights
    permutation      x[order]                                             none
    linear           L U x + b                                            `LUFactors`
    norm             (x - shift) exp(-log_scale)                          `AffineParameters`
    autoregressive   a scalar map of x_i, by parameters from x_<i         `MADE`, `ResidualMADE`
    coupling         the first `num_kept` stay, and give the parameters   `MLP`, `ResidualMLP`
                     of a scalar map of each of the others

and the scalar maps are those libraries' own: `zoo.bijectors.elsewhere`, and `spline`, that of
neural spline flows. Residual networks have no activation before their output there. The base is a
standard normal. It scores, samples, encodes, trains, exports and serves as any flow here does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from zoo.core.checked import check_words
from zoo.core.config import ModelConfig
from zoo.core.lazy import bijectors, tfb
from zoo.errors import ConfigError
from zoo.kinds.flow import Flow
from zoo.layers.linear import LUFactors
from zoo.layers.norms import AffineParameters, Fit
from zoo.networks.activations import Activation
from zoo.networks.made import MADE, ResidualMADE
from zoo.networks.mlp import MLP, ResidualMLP
from zoo.ops.splines import MIN_BIN

__all__ = ["Converted", "ConvertedConfig", "FlowStep"]

_CONDITIONED = ("autoregressive", "coupling")


@dataclass(frozen=True, kw_only=True)
class FlowStep:
    """A step of the module's table; fields of other kinds are left at their defaults.

    order: of a permutation.   num_kept: of a coupling.
    hidden_units: of the network; with `num_blocks` > 0 it is a residual one, of as many blocks of
        hidden_units[0] units.
    unit_counts: of an autoregressive network's hidden layers, how many units see the coordinates up
        to none, the first, ..., the last but one; of a residual network once for all. Without, they
        are spread evenly.
    num_bins, tail_bound: of a spline, on [-tail_bound, tail_bound].
    """

    kind: Literal["permutation", "linear", "norm", "autoregressive", "coupling"]
    order: tuple[int, ...] = ()
    num_kept: int = 0
    hidden_units: tuple[int, ...] = ()
    num_blocks: int = 0
    unit_counts: tuple[tuple[int, ...], ...] = ()
    scalar_map: Literal["softplus", "sigmoid", "soft_clip", "additive", "spline", "soft_spline"] = (
        "softplus"
    )
    num_bins: int = 8
    tail_bound: float = 3.0

    def __post_init__(self) -> None:
        """Raises ConfigError for words and sizes that are none."""
        for field in ("order", "hidden_units"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        object.__setattr__(self, "unit_counts", tuple(map(tuple, self.unit_counts)))
        check_words(self)
        conditioned = self.kind in _CONDITIONED
        whole = [*self.order, *self.hidden_units, self.num_kept, self.num_blocks, self.num_bins]
        whole += [n for counts in self.unit_counts for n in counts]
        if not all(isinstance(n, int) and n >= 0 for n in whole):
            raise ConfigError(f"Sizes of a step must be integers of 0 or more; got {self}.")
        if conditioned != bool(self.hidden_units) or 0 in self.hidden_units:
            raise ConfigError(
                f"{' and '.join(_CONDITIONED)} steps, and no others, have hidden_units of at least "
                f"1; got {self}."
            )
        if self.unit_counts and self.hidden_units != tuple(map(sum, self.unit_counts)):
            raise ConfigError(f"unit_counts must add up to hidden_units; got {self}.")
        if self.num_blocks and len(self.hidden_units) > 1:
            raise ConfigError(f"All blocks have the units of hidden_units[0]; got {self}.")
        if not 2 <= self.num_bins < 1.0 / MIN_BIN or not 0.0 < self.tail_bound < math.inf:
            raise ConfigError(
                f"Expected num_bins of at least 2 and below {1.0 / MIN_BIN:g}, and a positive, "
                f"finite tail_bound; got {self}."
            )


def _step(given: Any) -> FlowStep:
    """Raises ConfigError for what is no step."""
    if isinstance(given, FlowStep):
        return given
    try:
        return FlowStep(**given)
    except TypeError as error:
        raise ConfigError(f"A step of a converted flow cannot be built: {error}.") from error


@dataclass(frozen=True, kw_only=True)
class ConvertedConfig(ModelConfig):
    """steps: from data to latents.   activation: of all networks."""

    steps: tuple[FlowStep, ...] = ()
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        """Raises ConfigError for steps that do not fit the event."""
        object.__setattr__(self, "steps", tuple(map(_step, self.steps)))
        super().__post_init__()
        if len(self.event_shape) != 1 or self.context_size:
            raise ConfigError(
                "Converted flows are of vectors, and have no conditional form; got event_shape="
                f"{self.event_shape}, context_size={self.context_size}."
            )
        size = self.event_size
        for step in self.steps:
            if step.kind == "permutation" and sorted(step.order) != list(range(size)):
                raise ConfigError(f"order must hold 0..{size - 1} once each; got {step.order}.")
            if any(len(counts) != size for counts in step.unit_counts):
                raise ConfigError(f"unit_counts must have {size} numbers a layer; got {step}.")
            if step.kind == "coupling" and not 0 < step.num_kept < size:
                raise ConfigError(f"num_kept must be in 1..{size - 1}; got {step.num_kept}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The config of `to_dict`'s output."""
        steps = tuple(map(_step, values.get("steps", ())))
        return super().from_dict({**values, "steps": steps})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; of steps the fields that are not the defaults."""
        defaults = {f.name: f.default for f in dataclasses.fields(FlowStep)}
        steps = [
            {key: value for key, value in step.items() if value not in (defaults[key], [])}
            for step in super().to_dict()["steps"]
        ]
        return {**super().to_dict(), "steps": steps}


@keras.saving.register_keras_serializable("zoo")
class Converted(Flow):
    """The steps that the config lists, over a standard normal."""

    config_class: ClassVar[type[ModelConfig]] = ConvertedConfig
    family: ClassVar[str] = "converted"
    slow_direction: ClassVar[Literal["none", "sampling", "density"]] = "sampling"
    starts_from_data: ClassVar[bool] = False
    config: ConvertedConfig

    def _create_networks(self) -> None:
        made = [self._layer_of(i, step) for i, step in enumerate(self.config.steps)]
        self.step_layers = [layer for layer in made if layer is not None]

    def _layer_of(self, index: int, step: FlowStep) -> Any:
        """The built layer with the weights of a step; None for a permutation."""
        size = self.config.event_size
        shared: dict[str, Any] = {"dtype": self.dtype_policy, "name": f"step_{index}"}
        layer: Any
        if step.kind in _CONDITIONED:
            return self._network(index, step)
        if step.kind == "linear":
            layer = LUFactors(size, permutation=range(size), **shared)
        elif step.kind == "norm":
            layer = AffineParameters((size,), **shared)
        else:
            return None
        layer.build(None)
        return layer

    def _network(self, index: int, step: FlowStep) -> Any:
        size, count = self.config.event_size, _scalar_map(step).num_parameters
        shared: dict[str, Any] = {
            "activation": self.config.activation,
            "dtype": self.network_dtype,
            "name": f"step_{index}",
        }
        residual: dict[str, Any] = {
            "num_units": step.hidden_units[0],
            "num_blocks": step.num_blocks,
            "output_scale": 0.0,
            "output_activation": False,
        }
        network: Any
        if step.kind == "autoregressive":
            if step.num_blocks:
                shared["unit_counts"] = step.unit_counts * (1 + 2 * step.num_blocks)
                network = ResidualMADE(size, num_parameters=count, **residual, **shared)
            else:
                shared |= {"unit_counts": step.unit_counts, "output_scale": 0.0}
                network = MADE(size, step.hidden_units, count, **shared)
            network.build((None, size))
            return network
        outputs = (size - step.num_kept) * count
        if step.num_blocks:
            network = ResidualMLP(output_size=outputs, **residual, **shared)
        else:
            network = MLP(step.hidden_units, outputs, **shared)
        network.build((None, step.num_kept))
        return network

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        del fit, context
        layers, size = iter(self.step_layers), self.config.event_size
        chain: list[tfb.Bijector] = []
        for step in self.config.steps:
            if step.kind == "permutation":
                chain.append(tfb.Permute(np.argsort(step.order).astype("int32")))
            elif step.kind == "linear":
                chain.append(next(layers).bijector())
            elif step.kind == "norm":
                chain.append(next(layers).bijector((size,)))
            elif step.kind == "autoregressive":
                bound = next(layers).bind(training=training)
                chain.append(bijectors.AutoregressiveFlow(bound, _scalar_map(step)))
            else:
                chain.append(_coupling(step, next(layers), size, training=training))
        return chain


def _scalar_map(step: FlowStep) -> Any:
    if step.scalar_map == "spline":
        return bijectors.RationalQuadratic(step.num_bins, step.tail_bound)
    if step.scalar_map == "soft_spline":
        return bijectors.SoftSpline(step.num_bins, step.tail_bound)
    return bijectors.DataAffine(step.scalar_map)


def _coupling(step: FlowStep, network: Any, size: int, *, training: bool) -> tfb.Bijector:
    def parameters(kept: Any) -> Any:
        raw = tf.cast(network(kept, training=training), kept.dtype)
        return tf.reshape(raw, [*tf.unstack(tf.shape(kept)[:-1]), size - step.num_kept, -1])

    return bijectors.SplitCoupling(step.num_kept, parameters, _scalar_map(step))
