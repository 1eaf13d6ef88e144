"""Variational autoencoders whose posterior is a flow: planar, radial, Sylvester, IAF, coupling.

    z_K = f_K o ... o f_1 (z_0),  z_0 ~ Normal(mu(x), sigma(x)),  f_k with parameters of the row x

Everything but the flow is `zoo.models.latent.vae`. Parameters come from the encoder's features by
one dense layer for all flows (amortised, as in arXiv:1803.05649), or are the same for every row
(`amortised=False`, as in arXiv:1505.05770 for planar and radial flows).

    planar       w, u, b of every flow                                       arXiv:1505.05770
    radial       center, alpha, beta of every flow                           arXiv:1505.05770
    Sylvester    Q, R1, R2, b of every flow                                  arXiv:1803.05649
    IAF          MADEs of their own, to which the encoder gives a context    arXiv:1606.04934
    coupling     dense networks of half the latents and a context            arXiv:1605.08803

Deviation: the networks of IAF and couplings have float32 outputs whatever the precision inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from zoo.core.config import ModelConfig
from zoo.core.lazy import bijectors, tfb
from zoo.errors import ConfigError
from zoo.models.latent.vae import VAE, VAEConfig
from zoo.networks.made import MADE
from zoo.networks.mlp import MLP
from zoo.ops.stable import soft_clip

__all__ = [
    "IAFVAE",
    "CouplingVAE",
    "CouplingVAEConfig",
    "IAFVAEConfig",
    "PlanarVAE",
    "PlanarVAEConfig",
    "RadialVAE",
    "RadialVAEConfig",
    "SylvesterVAE",
    "SylvesterVAEConfig",
]

LOG_SCALE_LIMIT = 2.0


@dataclass(frozen=True, kw_only=True)
class FlowVAEConfig(VAEConfig):
    """A VAE's sizes and the number of its flows."""

    num_flows: int = 4

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.num_flows < 1:
            raise ConfigError(f"num_flows must be at least 1; got {self.num_flows}.")


@dataclass(frozen=True, kw_only=True)
class PlanarVAEConfig(FlowVAEConfig):
    """Planar flows; `amortised`: with parameters of the row, or the same for all."""

    num_flows: int = 10
    amortised: bool = True


@dataclass(frozen=True, kw_only=True)
class RadialVAEConfig(FlowVAEConfig):
    """Radial flows; `amortised`: with parameters of the row, or the same for all."""

    num_flows: int = 10
    amortised: bool = True


class _ParameterisedVAE(VAE):
    """A VAE whose flows have a vector of parameters each: [batch, size], or [1, size] shared."""

    config: FlowVAEConfig

    @property
    def _flow_parameters(self) -> int:
        """Numbers of one flow."""
        raise NotImplementedError

    def _bijector(self, index: int, parameters: Any) -> tfb.Bijector:
        """Flow `index` of its parameters [rows, size]."""
        raise NotImplementedError

    def _create_posterior(self) -> None:
        size = self.config.num_flows * self._flow_parameters
        self.flow_head: Any = None
        self.shared: Any = None
        if getattr(self.config, "amortised", True):
            self.flow_head = self._head(size, "flow")
        else:
            initializer = keras.initializers.RandomNormal(stddev=0.1, seed=0)
            self.shared = self.add_weight(shape=(size,), initializer=initializer, name="flow")

    def _posterior_flow(self, features: Any) -> list[tfb.Bijector]:
        shared = self.shared is not None
        parameters = self.shared[None, :] if shared else self.flow_head(features)
        parts = tf.split(tf.cast(parameters, self.compute_dtype), self.config.num_flows, -1)
        return [self._bijector(i, part) for i, part in enumerate(parts)]


@keras.saving.register_keras_serializable("zoo")
class PlanarVAE(_ParameterisedVAE):
    """z + u h(w.z + b), `num_flows` times."""

    config_class: ClassVar[type[ModelConfig]] = PlanarVAEConfig
    family: ClassVar[str] = "planar_vae"

    @property
    def _flow_parameters(self) -> int:
        return 2 * self.config.latent_size + 1

    def _bijector(self, index: int, parameters: Any) -> tfb.Bijector:
        size = self.config.latent_size
        w, u, b = tf.split(parameters, [size, size, 1], -1)
        return bijectors.Planar(w, u, b[..., 0], name=f"planar_{index}")


@keras.saving.register_keras_serializable("zoo")
class RadialVAE(_ParameterisedVAE):
    """z + beta (z - c) / (alpha + |z - c|), `num_flows` times."""

    config_class: ClassVar[type[ModelConfig]] = RadialVAEConfig
    family: ClassVar[str] = "radial_vae"

    @property
    def _flow_parameters(self) -> int:
        return self.config.latent_size + 2

    def _bijector(self, index: int, parameters: Any) -> tfb.Bijector:
        center, alpha, beta = tf.split(parameters, [self.config.latent_size, 1, 1], -1)
        return bijectors.Radial(center, alpha[..., 0], beta[..., 0], name=f"radial_{index}")


@dataclass(frozen=True, kw_only=True)
class SylvesterVAEConfig(FlowVAEConfig):
    """Sylvester flows. `num_vectors`: columns of Q (orthogonal), reflections (householder).

    A triangular frame, a permutation, has none.
    """

    kind: Literal["orthogonal", "householder", "triangular"] = "orthogonal"
    num_vectors: int = 8

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.num_vectors < 1 or (
            self.kind == "orthogonal" and self.num_vectors > self.latent_size
        ):
            raise ConfigError(
                "num_vectors must be at least 1, and at most latent_size for an orthogonal frame; "
                f"got {self.num_vectors} for latent_size {self.latent_size}."
            )


@keras.saving.register_keras_serializable("zoo")
class SylvesterVAE(_ParameterisedVAE):
    """z + Q R1 h(R2 Q^T z + b), `num_flows` times."""

    config_class: ClassVar[type[ModelConfig]] = SylvesterVAEConfig
    family: ClassVar[str] = "sylvester_vae"
    config: SylvesterVAEConfig

    @property
    def _sizes(self) -> tuple[int, int]:
        """(numbers of Q, M)."""
        config = self.config
        if config.kind == "orthogonal":
            return config.latent_size * config.num_vectors, config.num_vectors
        frame = config.latent_size * config.num_vectors if config.kind == "householder" else 0
        return frame, config.latent_size

    @property
    def _flow_parameters(self) -> int:
        frame, size = self._sizes
        return frame + size**2 + 3 * size

    def _bijector(self, index: int, parameters: Any) -> tfb.Bijector:
        frame_size, size = self._sizes
        sizes = [frame_size, size**2, size, size, size]
        raw, full, diagonal_1, diagonal_2, b = tf.split(parameters, sizes, -1)
        full = tf.reshape(full, [-1, size, size])  # R1 above its diagonal, R2 below, transposed
        return bijectors.Sylvester(
            self._frame(index, raw),
            tf.linalg.set_diag(full, diagonal_1),
            tf.linalg.set_diag(tf.linalg.matrix_transpose(full), diagonal_2),
            b,
            name=f"sylvester_{index}",
        )

    def _frame(self, index: int, raw: Any) -> Any:
        size, vectors, kind = self.config.latent_size, self.config.num_vectors, self.config.kind
        if kind == "triangular":
            return bijectors.triangular(reverse=bool(index % 2))
        if kind == "householder":
            raw = tf.reshape(raw, [-1, vectors, size])
            return bijectors.householder(raw + tf.eye(vectors, size, dtype=raw.dtype))
        raw = tf.reshape(raw, [-1, size, vectors])
        # Off the identity's columns, others for every flow, so that a fresh Q has full rank.
        columns = tf.roll(tf.eye(size, dtype=raw.dtype), index * vectors, 0)[:, :vectors]
        return bijectors.orthogonal(raw + columns)


@dataclass(frozen=True, kw_only=True)
class ContextVAEConfig(FlowVAEConfig):
    """Flows with networks of their own; `context_features`: what the encoder tells them."""

    context_features: int = 64

    def _check_network(self, name: str) -> None:
        """Raises ConfigError where the hidden layers `name`, or the context, have no size."""
        units = getattr(self, name)
        if not units or min(units) < 1 or self.context_features < 1:
            raise ConfigError(
                f"Expected at least one layer of {name} and context_features >= 1; got "
                f"{units} and {self.context_features}."
            )


class _ContextVAE(VAE):
    """A VAE whose flows' networks take a context from the encoder: [batch, context_features]."""

    config: ContextVAEConfig

    def _create_posterior(self) -> None:
        self.context_head = self._head(self.config.context_features, "context", scale=1.0)

    def _flow_context(self, features: Any) -> Any:
        return keras.activations.elu(self.context_head(features))


@dataclass(frozen=True, kw_only=True)
class IAFVAEConfig(ContextVAEConfig):
    """IAF steps. `made_units`: hidden layers of every MADE.

    gate_bias: of s, so that a fresh step keeps sigmoid(gate_bias) of z; the paper's is 1 to 2.
    full_covariance: a linear step first (Appendix A), L(x) z_0 with L unit lower triangular and of
        the row, so that the others start from a Gaussian of full covariance.
    """

    made_units: tuple[int, ...] = (320,)
    gate_bias: float = 1.5
    full_covariance: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        self._check_network("made_units")
        if self.full_covariance and self.latent_size < 2:
            raise ConfigError("full_covariance needs a latent_size of at least 2.")


@keras.saving.register_keras_serializable("zoo")
class IAFVAE(_ContextVAE):
    """sigmoid(s) z + (1 - sigmoid(s)) m, the order of the latents reversed between steps."""

    config_class: ClassVar[type[ModelConfig]] = IAFVAEConfig
    family: ClassVar[str] = "iaf_vae"
    config: IAFVAEConfig

    def _create_posterior(self) -> None:
        super()._create_posterior()
        config = self.config
        self.mades = []
        for i in range(config.num_flows):
            made = MADE(
                config.latent_size,
                config.made_units,
                num_parameters=2,
                context_size=config.context_features,
                activation="elu",
                dtype=self.network_dtype,
                name=f"made_{i}",
            )
            made.build((None, config.latent_size))
            self.mades.append(made)
        self.covariance_head: Any = None
        if config.full_covariance:
            size = config.latent_size * (config.latent_size - 1) // 2
            self.covariance_head = self._head(size, "covariance")

    def _posterior_flow(self, features: Any) -> list[tfb.Bijector]:
        context, gated = self._flow_context(features), bijectors.Gated(self.config.gate_bias)

        def step(made: MADE) -> tfb.Bijector:
            return bijectors.InverseAutoregressive(made.bind(context), gated, name=made.name)

        # Reversed behind every step: an even number of them leaves the latents in their order.
        flow = [b for made in self.mades for b in (step(made), bijectors.Reverse())]
        return [*self._linear_step(features), *flow]

    def _linear_step(self, features: Any) -> list[tfb.Bijector]:
        if self.covariance_head is None:
            return []
        below = tf.cast(self.covariance_head(features), self.compute_dtype)
        return [bijectors.UnitTriangular(below, name="linear")]


@dataclass(frozen=True, kw_only=True)
class CouplingVAEConfig(ContextVAEConfig):
    """Affine couplings. `coupling_units`: hidden layers of every conditioner."""

    coupling_units: tuple[int, ...] = (128, 128)

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.latent_size < 2:
            raise ConfigError("Couplings need a latent_size of at least 2.")
        self._check_network("coupling_units")


@keras.saving.register_keras_serializable("zoo")
class CouplingVAE(_ContextVAE):
    """RealNVP's affine couplings, the halves in turn."""

    config_class: ClassVar[type[ModelConfig]] = CouplingVAEConfig
    family: ClassVar[str] = "coupling_vae"
    config: CouplingVAEConfig

    @property
    def _split(self) -> int:
        return self.config.latent_size // 2

    def _create_posterior(self) -> None:
        super()._create_posterior()
        config = self.config
        self.conditioners = []
        for i in range(config.num_flows):
            kept = self._split if i % 2 == 0 else config.latent_size - self._split
            network = MLP(
                config.coupling_units,
                2 * (config.latent_size - kept),
                activation="elu",
                dtype=self.network_dtype,
                name=f"coupling_{i}",
            )
            network.build((None, kept + config.context_features))
            self.conditioners.append(network)

    def _posterior_flow(self, features: Any) -> list[tfb.Bijector]:
        context = self._flow_context(features)

        def conditioner(network: Any) -> Callable[[Any], tuple[Any, Any]]:
            def shift_and_log_scale(kept: Any) -> tuple[Any, Any]:
                lead = tf.concat([tf.shape(kept)[:-1], tf.shape(context)[-1:]], 0)
                inputs = tf.concat(
                    [tf.cast(kept, context.dtype), tf.broadcast_to(context, lead)], -1
                )
                shift, log_scale = tf.split(tf.cast(network(inputs), kept.dtype), 2, -1)
                return shift, soft_clip(log_scale, LOG_SCALE_LIMIT)

            return shift_and_log_scale

        return [
            bijectors.SplitCoupling(
                self._split,
                conditioner(network),
                condition_on_first=i % 2 == 0,
                name=network.name,
            )
            for i, network in enumerate(self.conditioners)
        ]
