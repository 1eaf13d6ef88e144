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
not divided by sqrt(hidden units) but start at a tenth of the usual scale. Couplings condition on
the first half and on the second in turn. With `affine`, which the paper does not have, a coordinate
is shifted and scaled before its spline: rows with heavy tails lie beyond any bound. With
`square_positions`, nor in the paper, the flow is of patches in one of their positions; nor are
`latent_bound` and `step_bound`, of values that steps carry away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from zoo.core.config import ModelConfig
from zoo.core.lazy import bijectors, tfb
from zoo.errors import ConfigError
from zoo.kinds.flow import Flow
from zoo.layers.linear import LUFactors
from zoo.layers.norms import Fit
from zoo.layers.steps import flattening
from zoo.networks.activations import Activation
from zoo.networks.made import ResidualMADE
from zoo.networks.mlp import ResidualMLP
from zoo.ops.splines import MIN_BIN
from zoo.ops.symmetries import NUM_POSITIONS, side_of_rows

__all__ = ["NSF", "STEP_SLOPE", "NSFConfig", "NSFCoupling", "NSFCouplingConfig"]

STEP_SLOPE = 64.0


@dataclass(frozen=True, kw_only=True)
class NSFConfig(ModelConfig):
    """Sizes of a neural spline flow; the defaults are the paper's for tables.

    num_bins, tail_bound: of the splines, on [-tail_bound, tail_bound] with linear tails.
    affine: whether a coordinate is shifted and scaled before its spline, by two numbers more from
        the same network. The paper's spline leaves values beyond tail_bound as they are; with it
        they are moved as MAF moves them.
    log_scale_limit, negative_log_scale_limit, shift_limit: of the affine map's |log_scale|, of its
        log_scales below 0 (0: the same) and of its |shift| (0: none). Between data and latents
        negative log_scales stretch and shifts carry away: limits bound how far a layer can move a
        row unlike all others, though not how far ten layers can.
    latent_bound: beyond it latents grow as the logarithm of what the last linear map says
        (`ExponentialTails`); 0 for no bound. With 5 a normal latent is beyond it once in two
        million, and a row that the steps carry away costs thousands of nats, not billions.
    step_bound: the same behind every step, but where its slope has fallen to 1 / `STEP_SLOPE` the
        map goes on as a line: exponentials of exponentials would sample infinities. A step then
        hands on less of a row that the one before carried away, in training, too, where such rows
        would take the whole of a clipped gradient. 20 is beyond almost all values; 0 for no bound.
    square_positions: 2, 4 or 8 of a patch's eight positions have the same density
        (`SquareEquivariant`), for rows of side**2 - 1 pixels as those of `zoo.data.bsds300`; 0 for
        none. The more, the fewer rows differ, and the sooner a flow overfits.
    slope_softness: of that, in units of the data; the default is half a grey level of `bsds300`.
    activation: the paper's is ReLU; smooth ones, "silu" and "swish4", fit in fewer steps.
    """

    num_layers: int = 10
    num_units: int = 256
    num_blocks: int = 2
    num_bins: int = 8
    tail_bound: float = 3.0
    affine: bool = False
    log_scale_limit: float = 2.0
    negative_log_scale_limit: float = 0.0
    shift_limit: float = 0.0
    latent_bound: float = 0.0
    step_bound: float = 0.0
    square_positions: int = 0
    slope_softness: float = 0.002
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
        if not 0.0 < self.log_scale_limit <= 10.0:
            raise ConfigError(f"log_scale_limit must be in (0, 10]; got {self.log_scale_limit}.")
        for name in ("negative_log_scale_limit", "shift_limit", "latent_bound", "step_bound"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be 0 or a limit; got {getattr(self, name)}.")
        if not 0.0 < self.slope_softness < math.inf:
            raise ConfigError(
                f"slope_softness must be positive and finite; got {self.slope_softness}."
            )
        if self.square_positions not in (0, *NUM_POSITIONS):
            raise ConfigError(
                f"square_positions must be 0 or one of {NUM_POSITIONS}; "
                f"got {self.square_positions}."
            )
        if self.square_positions and (
            len(self.event_shape) != 1
            or not side_of_rows(self.event_size)
            or self.preprocessing.num_levels
        ):
            raise ConfigError(
                "square_positions are of rows of side**2 - 1 real pixels; got "
                f"event_shape={self.event_shape}, "
                f"num_levels={self.preprocessing.num_levels}."
            )
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
    """The chain of both families; they say how a step's spline is conditioned."""

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

    def _scalar_map(self) -> Any:
        spline = bijectors.RationalQuadratic(self.config.num_bins, self.config.tail_bound)
        if not self.config.affine:
            return spline
        affine = bijectors.Affine(
            self.config.log_scale_limit,
            negative_limit=self.config.negative_log_scale_limit or None,
            shift_limit=self.config.shift_limit or None,
        )
        return bijectors.Chained((affine, spline))

    def _linear(self, index: int) -> tfb.Bijector:
        layer = self.linears[index]
        return bijectors.LULinear(
            tf.convert_to_tensor(layer.factors),
            tf.convert_to_tensor(layer.bias),
            layer.permutation,
            name=layer.name,
        )

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        del fit  # nothing starts from the data
        chain = flattening(self.config)
        for i in range(self.config.num_layers):
            chain += [self._linear(i), self._step(i, context, training=training)]
            if self.config.step_bound:
                chain.append(
                    bijectors.ExponentialTails(self.config.step_bound, max_slope=STEP_SLOPE)
                )
        chain.append(self._linear(self.config.num_layers))
        if self.config.latent_bound:
            chain.append(bijectors.ExponentialTails(self.config.latent_bound))
        return chain

    def adapt_whitening(self, x: Any) -> None:
        """Fits the whitening to the rows x, as it meets them: with square_positions in position."""
        if self.config.square_positions:
            x = self.chain().bijectors[0].into_position(self.checked_data(x))
        super().adapt_whitening(x)

    def chain(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> tfb.Chain:
        chain = super().chain(training=training, fit=fit, context=context)
        if not self.config.square_positions:
            return chain
        return bijectors.FlowChain(
            [
                bijectors.SquareEquivariant(
                    chain, self.config.slope_softness, self.config.square_positions
                )
            ],
            name=chain.name,
        )


@keras.saving.register_keras_serializable("zoo")
class NSF(_NeuralSplineFlow):
    """The autoregressive neural spline flow, RQ-NSF (AR)."""

    config_class: ClassVar[type[ModelConfig]] = NSFConfig
    family: ClassVar[str] = "nsf"
    slow_direction: ClassVar[Literal["none", "sampling", "density"]] = "sampling"

    def _network(self, index: int) -> Any:
        config = self.config
        network = ResidualMADE(
            config.event_size,
            config.num_units,
            config.num_blocks,
            self._scalar_map().num_parameters,
            dropout=config.dropout,
            context_size=config.context_size,
            activation=config.activation,
            dtype=self.network_dtype,
            name=f"made_{index}",
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
        network = ResidualMLP(
            config.num_units,
            config.num_blocks,
            moved * self._scalar_map().num_parameters,
            dropout=config.dropout,
            activation=config.activation,
            dtype=self.network_dtype,
            name=f"coupling_{index}",
        )
        network.build((None, kept + config.context_size))
        return network

    def _step(self, index: int, context: Any, *, training: bool) -> tfb.Bijector:
        network, (_, moved) = self.networks[index], self._sizes(index)

        def parameters(kept: Any) -> Any:
            inputs = kept
            if context is not None:
                lead = [*tf.unstack(tf.shape(kept)[:-1]), tf.shape(context)[-1]]
                inputs = tf.concat([kept, tf.broadcast_to(context, lead)], -1)
            raw = tf.cast(network(inputs, training=training), kept.dtype)
            return tf.reshape(raw, [*tf.unstack(tf.shape(kept)[:-1]), moved, -1])

        return bijectors.SplitCoupling(
            (self.config.event_size + 1) // 2,
            parameters,
            self._scalar_map(),
            condition_on_first=index % 2 == 0,
            name=f"splines_{index}",
        )
