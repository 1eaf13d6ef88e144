"""Order-agnostic MADE: the masked autoencoder of every order, one network for all.

Germain et al. 2015, arXiv:1502.03509, Sec. 4.2: the masks of a random order, another one at each
step, with weights of the masks themselves (Sec. 4.3); tested on several orders as the DEformer
(`zoo.models.any_order.deformer`), whose baseline it is.

Deviations: every row has an order of its own, not every batch; the degrees of hidden units are
fixed, evenly spread (the paper's "order-agnostic" without "connectivity-agnostic"); every feature
has a bias at the output, from which a fresh model starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import tensorflow as tf

from zoo.core.config import ModelConfig
from zoo.errors import ConfigError
from zoo.kinds.any_order import AnyOrderModel
from zoo.models.any_order.config import AnyOrderConfig
from zoo.networks.activations import Activation
from zoo.networks.order_agnostic import OrderAgnosticMADE

__all__ = ["OAMADE", "OAMADEConfig"]


@dataclass(frozen=True, kw_only=True)
class OAMADEConfig(AnyOrderConfig):
    """Sizes of a masked perceptron."""

    hidden_units: tuple[int, ...] = (500, 500)
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if not self.hidden_units:
            raise ConfigError("hidden_units must hold at least one size.")


@keras.saving.register_keras_serializable("zoo")
class OAMADE(AnyOrderModel):
    """A masked perceptron over features in any order."""

    config_class: ClassVar[type[ModelConfig]] = OAMADEConfig
    family: ClassVar[str] = "oamade"
    config: OAMADEConfig

    def _create_networks(self) -> None:
        config, size = self.config, self.config.event_size
        self.heads = config.heads()
        self.network = OrderAgnosticMADE(
            size,
            self.heads.num_features,
            config.hidden_units,
            self.heads.num_parameters,
            activation=config.activation,
            dtype=self.network_dtype,
            name="network",
        )
        self.network.build()
        self.output_bias = self.add_weight(
            shape=(size, self.heads.num_parameters), initializer="zeros", name="output_bias"
        )
        self.output_bias.assign(self.heads.fresh())

    def _parameters(self, x: Any, order: Any, *, training: bool) -> Any:
        del training
        degrees = 1 + tf.argsort(order)
        raw = self.network(self.heads.features(x), degrees)
        return raw + tf.cast(self.output_bias, x.dtype)

    def _first(self, order: Any) -> Any:
        del order
        return ()

    def _next(self, step: Any, order: Any, x: Any, state: Any) -> tuple[Any, Any]:
        raw = self._parameters(x, order, training=False)
        return tf.gather(raw, tf.gather(order, step, axis=1), axis=1, batch_dims=1), state
