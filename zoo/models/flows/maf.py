"""Masked autoregressive flow, and MADE alone.

Papamakarios, Pavlakou & Murray 2017, arXiv:1705.07057.

    x_i = z_i * exp(alpha_i) + mu_i,   (mu_i, alpha_i) = MADE(x_<i)       (Eq. 3-4)
    log p(x) = log base(z) - sum alpha                                    (Eq. 5)

A MAF stacks `num_layers` of these, the order of the variables reversed from one to the next, each
followed (towards the latent) by a batch norm bijector whose evaluation uses the moments of the
training set (Sec. 4.1, Appendix B). MADE is one layer of it with a Gaussian base: the special case
of Sec. 3.3. Conditional models give the context, a label in the paper, to the first hidden
layer of every MADE (Sec. 3.4).

With `num_components` = C > 0 the conditionals of MADE, or of a MADE that takes the place of MAF's
normal base, are mixtures of C Gaussians (MADE MoG and MAF MoG of Sec. 4). Here that is one more
autoregressive layer, whose map of a coordinate is z = Phi**-1(mixture's distribution function):
latents are standard normal in any case (`zoo.bijectors.mixture`).

Density is one pass of the networks; sampling computes their units block by block, in D small steps
at most (`zoo.networks.blockwise`).

Deviations: hidden degrees are sorted, not random, which makes the masks block-triangular;
log-scales pass through limit * tanh(./limit), which is inactive near 0 and keeps exp in float32;
normalization may be "activation_norm" (data-dependent start, no running moments) or "none".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from zoo.core.config import ModelConfig, Preprocessing
from zoo.core.context import ConditionerConfig
from zoo.core.lazy import bijectors, tfb
from zoo.errors import ConfigError
from zoo.kinds.flow import Flow
from zoo.layers.flattening import flattening
from zoo.layers.norms import Fit, norm_layer
from zoo.networks.activations import Activation
from zoo.networks.custom import Masked
from zoo.networks.made import MADE

__all__ = ["MAF", "AutoregressiveConfig", "MADEConfig", "MADEModel", "MAFConfig"]


@dataclass(frozen=True, kw_only=True)
class AutoregressiveConfig(ConditionerConfig):
    """Sizes of the MADE networks of an affine autoregressive flow.

    activation: the paper's is ReLU, or tanh; smooth ones, "silu" and "swish4", fit in fewer steps.
    """

    hidden_units: tuple[int, ...] = (100, 100)
    activation: Activation = "relu"
    log_scale_limit: float = 8.0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if not self.hidden_units:
            raise ConfigError("hidden_units must hold at least one layer.")
        if not 0.0 < self.log_scale_limit < math.inf:
            raise ConfigError(
                f"log_scale_limit must be positive and finite; got {self.log_scale_limit}."
            )

    @classmethod
    def image_preprocessing(cls) -> Preprocessing:
        """Logit of the dequantised grey levels with the paper's margin for MNIST (Sec. 4.3)."""
        return Preprocessing(num_levels=256, transform="logit", alpha=1e-6)


@dataclass(frozen=True, kw_only=True)
class MADEConfig(AutoregressiveConfig):
    """Sizes of one MADE.

    num_components: of the mixtures of Gaussians; 0 for single ones.
    """

    num_components: int = 0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.num_components < 0:
            raise ConfigError(
                f"num_components must be 0, for single Gaussians, or more; "
                f"got {self.num_components}."
            )


@dataclass(frozen=True, kw_only=True)
class MAFConfig(MADEConfig):
    """Sizes of a MAF; the default depth is the paper's MAF(5)."""

    num_layers: int = 5
    normalization: Literal["batch_norm", "activation_norm", "none"] = "batch_norm"

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.num_layers < 1:
            raise ConfigError(f"num_layers must be at least 1; got {self.num_layers}.")


class _Autoregressive(Flow):
    """What MAF, MADE and IAF share: MADE networks bound to autoregressive bijectors."""

    config: AutoregressiveConfig
    slow_direction: ClassVar[Literal["none", "sampling", "density"]] = "sampling"

    def _affine_map(self) -> Any:
        return bijectors.Affine(self.config.log_scale_limit)

    def _made(self, name: str, num_parameters: int) -> MADE | Masked:
        config = self.config
        shared: dict[str, Any] = {
            "context_size": self.context_width,
            "dtype": self.network_dtype,
            "name": name,
        }
        network: MADE | Masked
        if config.network:
            network = Masked(config.network, config.event_size, num_parameters, **shared)
        else:
            network = MADE(
                config.event_size,
                config.hidden_units,
                num_parameters=num_parameters,
                activation=config.activation,
                output_scale=0.0,
                **shared,
            )
        network.build((None, config.event_size))
        return network

    def _layer(self, network: MADE | Masked, scalar_map: Any, context: Any) -> tfb.Bijector:
        return bijectors.AutoregressiveFlow(network.bind(context), scalar_map, name=network.name)


class _WithMixtures(_Autoregressive):
    """MADE and MAF: the conditionals nearest to the latents may be mixtures."""

    config: MADEConfig

    def _mixture_map(self) -> Any:
        return bijectors.MixtureQuantile(self.config.num_components, self.config.log_scale_limit)

    def _mixture_network(self) -> MADE | Masked | None:
        """The MADE whose conditionals are mixtures, nearest to the latents; None without one."""
        raise NotImplementedError

    def score(self, x: Any, context: Any, seed: Any, *, training: bool = False) -> Any:
        network = self._mixture_network()
        if network is None:
            return super().score(x, context, seed, training=training)
        # The mixture's own density: its quantile, which latents need, would cancel.
        encoded = self.encoded_context(context)
        members = self.chain(training=training, context=encoded).bijectors[:-1]
        y, event_ndims = self.dequantised(x, seed), len(self.config.event_shape)
        log_det = tf.zeros(tf.shape(y)[:1], y.dtype)
        if members:
            chain = bijectors.FlowChain(members)
            y, log_det = bijectors.inverse_and_log_det(chain, y, event_ndims)
        log_probs = self._mixture_map().log_prob(y, network.bind(encoded)(y))  # [batch, D]
        return tf.reduce_sum(log_probs, -1) + log_det


@keras.saving.register_keras_serializable("zoo")
class MADEModel(_WithMixtures):
    """MADE with Gaussian conditionals, an autoregressive flow of one layer; or with mixtures."""

    config_class: ClassVar[type[ModelConfig]] = MADEConfig
    family: ClassVar[str] = "made"
    starts_from_data: ClassVar[bool] = False

    def _create_networks(self) -> None:
        self.network = self._made("made", 3 * self.config.num_components or 2)

    def _mixture_network(self) -> MADE | Masked | None:
        return self.network if self.config.num_components else None

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        del training, fit
        scalar_map = self._mixture_map() if self.config.num_components else self._affine_map()
        return [*flattening(self.config), self._layer(self.network, scalar_map, context)]


@keras.saving.register_keras_serializable("zoo")
class MAF(_WithMixtures):
    """A stack of MADEs with reversed orders and batch norm between them."""

    config_class: ClassVar[type[ModelConfig]] = MAFConfig
    family: ClassVar[str] = "maf"
    config: MAFConfig

    def _create_networks(self) -> None:
        config = self.config
        self.networks = [self._made(f"made_{i}", 2) for i in range(config.num_layers)]
        self.norms = [
            norm_layer(config.normalization, config.event_size, self.dtype_policy, f"norm_{i}")
            for i in range(config.num_layers if config.normalization != "none" else 0)
        ]
        self.base_network = (
            self._made("made_base", 3 * config.num_components) if config.num_components else None
        )

    def _mixture_network(self) -> MADE | Masked | None:
        return self.base_network

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        chain, size = flattening(self.config), (self.config.event_size,)
        for i, network in enumerate(self.networks):
            if i:
                chain.append(bijectors.Reverse())
            chain.append(self._layer(network, self._affine_map(), context))
            if self.norms:
                chain.append(self.norms[i].bijector(size, training=training, fit=fit))
        if self.base_network is not None:
            base = self._layer(self.base_network, self._mixture_map(), context)
            chain += [bijectors.Reverse(), base]
        return chain
