"""Neural spline flows, autoregressive and coupling.

Durkan, Bekasov, Murray & Papamakarios 2019, arXiv:1906.04032.

A step, from data to latents: a learned linear map P L U (Sec. 3.4), then a monotone
rational-quadratic spline of every coordinate (Sec. 3.1), whose bins and slopes a residual network
(Sec. 5.1) reads from other coordinates. A last linear map follows `num_layers` steps. The two
families are one model with two orders:

    family         parts                                       who conditions whom
    nsf            LU, spline, `ResidualMADE`                  x_<i conditions x_i
    nsf_coupling   LU, spline, `ResidualMLP`                   one half conditions the other

MAF (`zoo.models.flows.maf`) is `nsf` with an affine map for the spline and a reversal for the LU.

Deviations: hidden degrees are sorted, not cyclic; the diagonal of U is exp of a weight, not
softplus; the raw slopes are offset, so that a network that says 0 is the identity; raw numbers are
not divided by sqrt(hidden units) but start at 0, a fresh spline at the identity. Couplings
condition on the first half and on the second in turn. With `affine`, which the paper does not have,
a coordinate is shifted and scaled before its spline: rows with heavy tails lie beyond any bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from zoo.core.config import ModelConfig
from zoo.core.context import ConditionerConfig
from zoo.core.lazy import bijectors, tfb
from zoo.errors import ConfigError
from zoo.kinds.flow import Flow
from zoo.layers.flattening import flattening
from zoo.layers.linear import LUFactors
from zoo.layers.norms import Fit
from zoo.networks.activations import Activation
from zoo.networks.custom import Coupled, Masked
from zoo.networks.joined import joined
from zoo.networks.made import ResidualMADE
from zoo.networks.mlp import ResidualMLP
from zoo.ops.splines import MIN_BIN

__all__ = ["LOG_SCALE_LIMIT", "NSF", "NSFConfig", "NSFCoupling", "NSFCouplingConfig"]

LOG_SCALE_LIMIT = 2.0  # of the affine maps: no layer stretches a coordinate by more than e**2


@dataclass(frozen=True, kw_only=True)
class NSFConfig(ConditionerConfig):
    """Sizes of a neural spline flow; the defaults are the paper's for tables.

    num_bins, tail_bound: of the splines, on [-tail_bound, tail_bound] with linear tails.
    affine: whether a coordinate is shifted and scaled before its spline, by two numbers more from
        the same network. The paper's spline leaves values beyond tail_bound as they are; with it
        they are moved as MAF moves them, by at most exp(`LOG_SCALE_LIMIT`).
    activation: the paper's is ReLU; smooth ones, "silu" and "swish4", fit in fewer steps.
    """

    num_layers: int = 10
    num_units: int = 256
    num_blocks: int = 2
    num_bins: int = 8
    tail_bound: float = 3.0
    affine: bool = False
    dropout: float = 0.0
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        sizes = {name: getattr(self, name) for name in ("num_layers", "num_units", "num_blocks")}
        if min(sizes.values()) < 1:
            raise ConfigError(f"A neural spline flow needs sizes of at least 1; got {sizes}.")
        if not 2 <= self.num_bins < 1.0 / MIN_BIN:
            raise ConfigError(
                f"num_bins must be at least 2 and below {1.0 / MIN_BIN:g}; got {self.num_bins}."
            )
        if not 0.0 < self.tail_bound < math.inf:
            raise ConfigError(f"tail_bound must be positive and finite; got {self.tail_bound}.")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout must be in [0, 1); got {self.dropout}.")


@dataclass(frozen=True, kw_only=True)
class NSFCouplingConfig(NSFConfig):
    """Sizes of a neural spline flow of couplings."""

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.event_size < 2:
            raise ConfigError(
                f"Couplings need at least 2 dimensions; got event_shape={self.event_shape}."
            )


class _NeuralSplineFlow(Flow):
    """The chain of all families; they say how a step's splines are conditioned."""

    starts_from_data: ClassVar[bool] = False
    config: NSFConfig

    def _create_networks(self) -> None:
        config = self.config
        self.linears = [
            LUFactors(config.event_size, seed=i, dtype=self.dtype_policy, name=f"linear_{i}")
            for i in range(config.num_layers + 1)
        ]
        for layer in self.linears:
            layer.build(None)
        self.networks = [self._network(i) for i in range(config.num_layers)]

    def _network(self, index: int) -> Any:
        """The built conditioner of a step."""
        raise NotImplementedError

    def _step(self, index: int, context: Any, *, training: bool) -> tfb.Bijector:
        """The splines of a step, conditioned."""
        raise NotImplementedError

    def _layer(self, index: int, context: Any, *, training: bool) -> list[tfb.Bijector]:
        """A linear map and the splines of what it gives."""
        return [self.linears[index].bijector(), self._step(index, context, training=training)]

    def _scalar_map(self) -> Any:
        spline = bijectors.RationalQuadratic(self.config.num_bins, self.config.tail_bound)
        if not self.config.affine:
            return spline
        return bijectors.Chained((bijectors.Affine(LOG_SCALE_LIMIT), spline))

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        del fit
        chain = flattening(self.config)
        for i in range(self.config.num_layers):
            chain += self._layer(i, context, training=training)
        return [*chain, self.linears[-1].bijector()]


@keras.saving.register_keras_serializable("zoo")
class NSF(_NeuralSplineFlow):
    """The autoregressive neural spline flow, RQ-NSF (AR)."""

    config_class: ClassVar[type[ModelConfig]] = NSFConfig
    family: ClassVar[str] = "nsf"
    slow_direction: ClassVar[Literal["none", "sampling", "density"]] = "sampling"

    def _network(self, index: int) -> Any:
        config, parameters = self.config, self._scalar_map().num_parameters
        shared: dict[str, Any] = {
            "context_size": self.context_width,
            "dtype": self.network_dtype,
            "name": f"made_{index}",
        }
        network: Masked | ResidualMADE
        if config.network:
            network = Masked(config.network, config.event_size, parameters, **shared)
        else:
            network = ResidualMADE(
                config.event_size,
                config.num_units,
                config.num_blocks,
                parameters,
                dropout=config.dropout,
                activation=config.activation,
                output_scale=0.0,
                **shared,
            )
        network.build((None, config.event_size))
        return network

    def _step(self, index: int, context: Any, *, training: bool) -> tfb.Bijector:
        bound = self.networks[index].bind(context, training=training)
        return bijectors.AutoregressiveFlow(bound, self._scalar_map(), name=f"splines_{index}")


@keras.saving.register_keras_serializable("zoo")
class NSFCoupling(_NeuralSplineFlow):
    """The neural spline flow of couplings, RQ-NSF (C): both directions take one pass."""

    config_class: ClassVar[type[ModelConfig]] = NSFCouplingConfig
    family: ClassVar[str] = "nsf_coupling"

    def _sizes(self, index: int) -> tuple[int, int]:
        """(coordinates that condition, coordinates that are moved)."""
        first = (self.config.event_size + 1) // 2
        second = self.config.event_size - first
        return (first, second) if index % 2 == 0 else (second, first)

    def _network(self, index: int) -> Any:
        config = self.config
        kept, moved = self._sizes(index)
        outputs = moved * self._scalar_map().num_parameters
        shared: dict[str, Any] = {"dtype": self.network_dtype, "name": f"coupling_{index}"}
        network: Coupled | ResidualMLP
        if config.network:
            network = Coupled(config.network, outputs, **shared)
        else:
            network = ResidualMLP(
                config.num_units,
                config.num_blocks,
                outputs,
                dropout=config.dropout,
                activation=config.activation,
                output_scale=0.0,
                **shared,
            )
        network.build((None, kept + self.context_width))
        return network

    def _step(self, index: int, context: Any, *, training: bool) -> tfb.Bijector:
        network, (_, moved) = self.networks[index], self._sizes(index)

        def parameters(kept: Any) -> Any:
            raw = tf.cast(network(joined(kept, context), training=training), kept.dtype)
            return tf.reshape(raw, [*tf.unstack(tf.shape(kept)[:-1]), moved, -1])

        return bijectors.SplitCoupling(
            (self.config.event_size + 1) // 2,
            parameters,
            self._scalar_map(),
            condition_on_first=index % 2 == 0,
            name=f"splines_{index}",
        )
