"""Masked autoregressive flow, and MADE alone.

Papamakarios, Pavlakou & Murray 2017, arXiv:1705.07057.

    x_i = z_i * exp(alpha_i) + mu_i,   (mu_i, alpha_i) = MADE(x_<i)       (Eq. 3-4)
    log p(x) = log base(z) - sum alpha                                    (Eq. 5)

A MAF stacks `num_layers` of these, the order of the variables reversed from one to the next, each
followed (towards the latent) by a batch norm bijector whose evaluation uses the moments of the
training set (Sec. 4.1, Appendix B). MADE is one layer of it with a Gaussian base: the special case
of Sec. 3.3. Class-conditional models give the label to the first hidden layer of every MADE
(Sec. 3.4).

Density is one pass of the networks; sampling takes up to D of them
(`zoo.bijectors.autoregressive`).

Deviations: hidden degrees are sorted, not random, which makes the masks block-triangular;
log-scales pass through limit * tanh(./limit), which is inactive near 0 and keeps exp in float32;
normalization may be "activation_norm" (data-dependent start, no running moments) or "none".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from zoo.errors import ConfigError
from zoo.lazy import bijectors, tfb
from zoo.models.base import DensityModel
from zoo.models.config import ModelConfig, Preprocessing
from zoo.models.normalization import Fit, activation_norm_bijector, batch_norm_bijector
from zoo.networks.made import MADE
from zoo.networks.normalization import AffineParameters, RunningMoments
from zoo.ops.stable import soft_clip

__all__ = ["MAF", "MADEConfig", "MADEModel", "MAFConfig"]


@dataclass(frozen=True, kw_only=True)
class MADEConfig(ModelConfig):
    """Sizes of one MADE with Gaussian conditionals."""

    hidden_units: tuple[int, ...] = (100, 100)
    activation: str = "relu"
    log_scale_limit: float = 8.0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if not self.hidden_units:
            raise ConfigError("hidden_units must hold at least one layer.")
        if self.log_scale_limit <= 0.0:
            raise ConfigError(f"log_scale_limit must be positive; got {self.log_scale_limit}.")

    @classmethod
    def image_preprocessing(cls) -> Preprocessing:
        """Logit of the dequantised grey levels with the paper's margin for MNIST (Sec. 4.3)."""
        return Preprocessing(num_levels=256, transform="logit", alpha=1e-6)


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
        if self.normalization not in ("batch_norm", "activation_norm", "none"):
            raise ConfigError(
                "normalization must be batch_norm, activation_norm or none; "
                f"got {self.normalization!r}."
            )


class _Autoregressive(DensityModel):
    """What MAF and MADE share: binding a MADE network to an autoregressive bijector."""

    config: MADEConfig
    slow_direction: ClassVar[Literal["none", "sampling", "density"]] = "sampling"

    def _made(self, name: str) -> MADE:
        config = self.config
        network = MADE(
            config.event_size,
            config.hidden_units,
            num_parameters=2,
            context_size=config.context_size,
            activation=config.activation,
            dtype=self.network_dtype,
            name=name,
        )
        network.build((None, config.event_size))
        return network

    def _layer(self, network: MADE, context: Any) -> bijectors.AutoregressiveFlow:
        bound = network.bind(context)

        def shift_and_log_scale(x: Any) -> tuple[Any, Any]:
            parameters = tf.cast(bound(x), x.dtype)  # [..., D, 2]
            shift, log_scale = tf.unstack(parameters, axis=-1)
            return shift, soft_clip(log_scale, self.config.log_scale_limit)

        return bijectors.AutoregressiveFlow(shift_and_log_scale, name=network.name)

    def _flattening(self) -> list[tfb.Bijector]:
        """[D] -> event_shape, for events that are no vectors."""
        config = self.config
        if len(config.event_shape) == 1:
            return []
        return [tfb.Reshape(event_shape_out=config.event_shape, event_shape_in=[config.event_size])]


@keras.saving.register_keras_serializable("zoo")
class MADEModel(_Autoregressive):
    """MADE with Gaussian conditionals: an autoregressive flow of one layer."""

    config_class: ClassVar[type[ModelConfig]] = MADEConfig
    family: ClassVar[str] = "made"

    def _create_networks(self) -> None:
        self.network = self._made("made")

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        del training, fit  # neither noise nor moments
        return [*self._flattening(), self._layer(self.network, context)]


@keras.saving.register_keras_serializable("zoo")
class MAF(_Autoregressive):
    """A stack of MADEs with reversed orders and batch norm between them."""

    config_class: ClassVar[type[ModelConfig]] = MAFConfig
    family: ClassVar[str] = "maf"
    config: MAFConfig

    def _create_networks(self) -> None:
        config = self.config
        self.networks = [self._made(f"made_{i}") for i in range(config.num_layers)]
        self.norms: list[Any] = []
        for i in range(config.num_layers if config.normalization != "none" else 0):
            if config.normalization == "batch_norm":
                norm: Any = RunningMoments(
                    config.event_size, dtype=self.dtype_policy, name=f"norm_{i}"
                )
            else:
                norm = AffineParameters(
                    (config.event_size,), dtype=self.dtype_policy, name=f"norm_{i}"
                )
            norm.build(None)
            self.norms.append(norm)

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        shape = (self.config.event_size,)
        chain = self._flattening()
        for i, network in enumerate(self.networks):
            if i:
                chain.append(bijectors.Reverse())
            chain.append(self._layer(network, context))
            if self.config.normalization == "batch_norm":
                chain.append(batch_norm_bijector(self.norms[i], shape, training=training, fit=fit))
            elif self.config.normalization == "activation_norm":
                chain.append(activation_norm_bijector(self.norms[i], shape, fit=fit))
        return chain
