"""Discrete flows with modular shifts, trained end to end with straight-through gradients.

Tran et al. 2019, arXiv:1905.10347: the baseline of denoising and of tree flows. Of two halves a and
b of the features, other ones in each coupling,

    z_b = (x_b + m(a)) mod K,   m(a)_j = argmax of a network's logits [K]      (Eq. 5, no scale)
    log P(X = x) = sum_j log P(Z_j = z_j)

In training the argmax has the gradient of softmax(logits / temperature), temperature 0.1, and rows
go through as one-hot vectors: a shift is a circular convolution with the one-hot vector of m.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from zoo.core.categorical_config import CategoricalConfig
from zoo.core.config import ModelConfig
from zoo.errors import ConfigError
from zoo.models.discrete.halves import Halves, HalvesFlow
from zoo.networks.activations import Activation
from zoo.networks.mlp import MLP

__all__ = ["ModularFlow", "ModularFlowConfig"]


@dataclass(frozen=True, kw_only=True)
class ModularFlowConfig(CategoricalConfig):
    """Sizes of a discrete flow with modular shifts; all features have as many classes.

    output_scale: deviation of a fresh network's logits per unit-variance input of its last layer; 0
    starts at the identity, from which the softmax has a gradient.
    softness: the temperature of the softmax whose gradient stands for that of the argmax.
    seed: names the halves.
    """

    num_couplings: int = 4
    hidden_units: tuple[int, ...] = (256, 256)
    activation: Activation = "relu"
    output_scale: float = 0.0
    softness: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if len(set(self.class_counts)) > 1:
            raise ConfigError(
                "A shift modulo K needs features with the same number of classes; got "
                f"{self.class_counts}. Families ddf and dtf take others."
            )
        if self.num_couplings < 1 or self.event_size < 2 or self.seed < 0:
            raise ConfigError(
                "Expected num_couplings of at least 1, two features or more, and a seed of 0 or "
                f"more; got {self.num_couplings}, {self.event_size} and {self.seed}."
            )
        if self.softness <= 0.0 or self.output_scale < 0.0:
            raise ConfigError(
                "Expected softness above 0 and output_scale of 0 or more; got "
                f"{self.softness} and {self.output_scale}."
            )


@keras.saving.register_keras_serializable("zoo")
class ModularFlow(HalvesFlow):
    """Couplings of shifts modulo K by perceptrons."""

    config_class: ClassVar[type[ModelConfig]] = ModularFlowConfig
    family: ClassVar[str] = "discrete_flow"
    portable: ClassVar[frozenset[str]] = frozenset({"log_prob"})
    config: ModularFlowConfig

    def _create_networks(self) -> None:
        config = self.config
        self._halves = Halves(config.event_size, config.num_couplings, config.seed)
        self.networks = []
        for number in range(config.num_couplings):
            kept, moved = self._halves[number]
            network = MLP(
                config.hidden_units,
                len(moved) * config.most_classes,
                activation=config.activation,
                dtype=self.network_dtype,
                name=f"coupling_{number}",
            )
            network.build((None, len(kept) * config.most_classes))
            kernel = network.output_layer.kernel
            if config.output_scale:
                start = keras.initializers.VarianceScaling(config.output_scale**2)
                kernel.assign(start(kernel.shape, dtype=kernel.dtype))
            self.networks.append(network)

    # Training: one-hot rows, differentiable.

    def score(self, x: Any, context: Any, seed: Any, *, training: bool = False) -> Any:
        """`log_prob` of checked rows, in any graph; with straight-through gradients."""
        del context, seed
        size, log_shares = self.config.most_classes, self.base.log_shares()
        rows = tf.one_hot(self._flat(x), size, dtype=log_shares.dtype)
        # rows shifted by m are sum_v rows[v] [k = v + m mod K], k the last index.
        sources = (np.arange(size)[:, None] - np.arange(size)) % size  # [k, m] -> v
        for number, network in enumerate(self.networks):
            kept, moved = self._halves[number]
            given = tf.gather(rows, kept, axis=1)
            logits = network(tf.reshape(given, [-1, len(kept) * size]), training=training)
            shift = self._chosen(tf.cast(tf.reshape(logits, [-1, len(moved), size]), rows.dtype))
            sources_of = tf.gather(tf.gather(rows, moved, axis=1), sources, axis=2)
            moved_rows = tf.einsum("bjkm,bjm->bjk", sources_of, shift)
            both = tf.concat([given, moved_rows], axis=1)
            rows = tf.gather(both, self._halves.back(number), axis=1)
        return tf.reduce_sum(rows * log_shares, axis=[1, 2])

    def _chosen(self, logits: Any) -> Any:
        """The one-hot vector of the argmax, with the gradient of the softmax: [..., K]."""
        soft = tf.nn.softmax(logits / self.config.softness)
        hard = tf.one_hot(tf.argmax(logits, -1), self.config.most_classes, dtype=soft.dtype)
        return soft + tf.stop_gradient(hard - soft)

    # Codes.

    def _walk(self, x: Any, sign: int, networks: Any, dtype: Any) -> Any:
        size = self.config.most_classes
        for number in range(self.config.num_couplings)[::sign]:
            kept, moved = self._halves[number]
            given = tf.gather(x, kept, axis=1)
            one_hot = tf.one_hot(given, size, dtype=dtype)
            logits = networks[number](tf.reshape(one_hot, [-1, len(kept) * size]))
            shift = tf.argmax(tf.reshape(logits, [-1, len(moved), size]), -1, tf.int32)
            values = tf.math.floormod(tf.gather(x, moved, axis=1) + sign * shift, size)
            both = tf.concat([given, values], axis=1)
            x = tf.gather(both, self._halves.back(number), axis=1)
        return x
