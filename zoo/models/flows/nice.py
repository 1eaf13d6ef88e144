"""NICE: non-linear independent components estimation.

Dinh, Krueger & Bengio 2014, arXiv:1410.8516.

    additive coupling (Sec. 3.2):   z_a = x_a,  z_b = x_b + m(x_a)         log|det dz/dx| = 0
    diagonal scaling  (Sec. 3.3):   z = exp(s) * h                         log|det dz/dh| = sum s
    base              (Sec. 3.4):   standard logistic, or standard normal

Couplings alternate between conditioning on the even and on the odd coordinates (Sec. 5.1).
Direction: the paper's forward map is data -> latent, `inverse` here; shifts are subtracted there,
which a network's sign absorbs.
Conditional, which the paper is not: m sees the context beside x_a, and s is s + r(c), r a network.
Deviations: optionally dropout in the coupling networks, a data-dependent start of s (`adapt`) and a
factor on its learning rate; the paper's recipe uses none of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from zoo.core.config import ModelConfig, Preprocessing
from zoo.core.context import ConditionerConfig
from zoo.core.lazy import bijectors, tfb, tfd
from zoo.errors import ConfigError
from zoo.kinds.flow import Flow
from zoo.layers.norms import AffineParameters, Fit
from zoo.networks.custom import Coupled
from zoo.networks.joined import joined
from zoo.networks.mlp import MLP

__all__ = ["NICE", "NICEConfig"]

LOGISTIC_DEVIATION = math.pi / math.sqrt(3.0)  # of the standard logistic


@dataclass(frozen=True, kw_only=True)
class NICEConfig(ConditionerConfig):
    """Sizes of NICE; the defaults are the paper's for MNIST."""

    num_couplings: int = 4
    hidden_units: tuple[int, ...] = (1000,) * 5
    base: Literal["logistic", "normal"] = "logistic"
    dropout: float = 0.0
    log_scale_factor: float = 1.0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.event_size < 2 or self.num_couplings < 1:
            raise ConfigError(
                "NICE needs at least 2 dimensions to couple and 1 coupling; got event_shape="
                f"{self.event_shape}, num_couplings={self.num_couplings}."
            )
        if not 0.0 <= self.dropout < 1.0 or not 0.0 < self.log_scale_factor < math.inf:
            raise ConfigError(
                "Expected dropout in [0, 1) and a positive, finite log_scale_factor; got "
                f"{self.dropout} and {self.log_scale_factor}."
            )

    @classmethod
    def image_preprocessing(cls) -> Preprocessing:
        """Grey levels scaled to [0, 1] (Sec. 5.1)."""
        return Preprocessing(num_levels=256, transform="unit")


@keras.saving.register_keras_serializable("zoo")
class NICE(Flow):
    """Additive couplings on odd and even coordinates under one diagonal scaling."""

    config_class: ClassVar[type[ModelConfig]] = NICEConfig
    family: ClassVar[str] = "nice"
    config: NICEConfig

    def _create_networks(self) -> None:
        config = self.config
        num_odds = config.event_size // 2
        num_evens = config.event_size - num_odds
        self.shift_networks = []
        for i in range(config.num_couplings):
            in_size, out_size = (num_evens, num_odds) if i % 2 == 0 else (num_odds, num_evens)
            shared: dict[str, Any] = {"dtype": self.network_dtype, "name": f"coupling_{i}"}
            network: Coupled | MLP
            if config.network:
                network = Coupled(config.network, out_size, **shared)
            else:
                network = MLP(config.hidden_units, out_size, dropout=config.dropout, **shared)
            network.build((None, in_size + self.context_width))
            self.shift_networks.append(network)
        self.scaling = AffineParameters(
            (config.event_size,),
            use_shift=False,
            log_scale_factor=config.log_scale_factor,
            deviation=1.0 if config.base == "normal" else LOGISTIC_DEVIATION,
            dtype=self.dtype_policy,
            name="scaling",
        )
        self.scaling.build(None)
        self.scale_network: MLP | None = None
        if self.context_width:
            units = config.hidden_units[:1]
            self.scale_network = MLP(
                units, config.event_size, dtype=self.network_dtype, name="context_scaling"
            )
            self.scale_network.build((None, self.context_width))

    def base_distribution(self) -> tfd.Distribution:
        """Logistic or normal, as the config says."""
        if self.config.base == "normal":
            return super().base_distribution()
        zero = tf.zeros([], self.compute_dtype)
        logistic = tfd.Logistic(zero, tf.ones_like(zero))
        return tfd.Sample(logistic, sample_shape=[self.config.event_size])

    def _flow(
        self, *, training: bool = False, fit: Fit = "nothing", context: Any = None
    ) -> list[tfb.Bijector]:
        config = self.config
        num_evens = config.event_size - config.event_size // 2
        chain: list[tfb.Bijector] = []
        if len(config.event_shape) > 1:
            chain.append(
                tfb.Reshape(event_shape_out=config.event_shape, event_shape_in=[config.event_size])
            )
        chain.append(bijectors.Interleave())
        for i, network in enumerate(self.shift_networks):

            def shift_only(x: Any, network: Any = network) -> tuple[Any, None]:
                return tf.cast(network(joined(x, context), training=training), x.dtype), None

            chain.append(
                bijectors.SplitCoupling(
                    num_evens, shift_only, condition_on_first=i % 2 == 0, name=f"coupling_{i}"
                )
            )
        change = None
        if self.scale_network is not None:
            change = tf.cast(self.scale_network(context), self.compute_dtype)
        chain.append(self.scaling.bijector((config.event_size,), fit=fit, log_scale_change=change))
        return chain
