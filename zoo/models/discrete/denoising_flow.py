"""Discrete denoising flows: couplings that sort categories by how likely they are.

Lindt and Hoogeboom 2021, arXiv:2107.11625. A coupling takes features a as they are, and relabels
the others, b, each by a network's logits of it given a (Sec. 4):

    order = argsort(-logits, stable);   z_b = the place of x_b in order      (likeliest class -> 0)
    inverse: x_b = order[z_b]
    sorts < K: only so many of the likeliest move to the front; the others keep their order
    log P(X = x) = sum_j log P(Z_j = z_j)      independent categories, fitted in closed form

Couplings are trained one after the other, each network by the cross-entropy of x_b given a on what
the couplings before make of the rows; then it is frozen. No gradient passes an argsort.
a is a random half of the features, another one in each coupling.

Deviations: the base is counted, in place of some epochs of Adam; batch norm has, from the moment a
coupling is frozen, the moments of all rows; a coupling that would lower the training score is left
out, that is, its network says 0, which is the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from zoo.core.categorical_config import CategoricalConfig
from zoo.core.config import ModelConfig
from zoo.core.training import Descent
from zoo.errors import ConfigError
from zoo.kinds.growing import Growing, mean_nats
from zoo.models.discrete.classifying import classify
from zoo.models.discrete.halves import Halves, HalvesFlow
from zoo.networks.normalised_mlp import NormalisedMLP

__all__ = ["DDF", "DDFConfig"]

_NEVER = -1e9  # the logit of a class that a feature does not have


@dataclass(frozen=True, kw_only=True)
class DDFConfig(CategoricalConfig):
    """Sizes of a discrete denoising flow.

    num_couplings: room for so many.   sorts: classes that move to the front; 0 for all.
    seed: names the halves.
    """

    num_couplings: int = 4
    sorts: int = 0
    hidden_units: tuple[int, ...] = (256, 256, 256)
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if self.num_couplings < 1 or self.event_size < 2:
            raise ConfigError(
                "Expected num_couplings of at least 1 and two features or more; got "
                f"{self.num_couplings} and {self.event_size}."
            )
        if not 0 <= self.sorts <= self.most_classes:
            raise ConfigError(
                f"sorts must be in 0..{self.most_classes}, the number of classes; got {self.sorts}."
            )
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more; got {self.seed}.")


@keras.saving.register_keras_serializable("zoo")
class DDF(Growing, HalvesFlow):
    """Couplings with perceptrons that classify."""

    config_class: ClassVar[type[ModelConfig]] = DDFConfig
    family: ClassVar[str] = "ddf"
    default_descent: ClassVar[Descent | None] = Descent()
    config: DDFConfig

    def _create_networks(self) -> None:
        config = self.config
        self._halves = Halves(config.event_size, config.num_couplings, config.seed)
        counts = np.array(config.class_counts)
        self._inside = np.arange(config.most_classes) < counts[:, None]
        self.networks = []
        for number in range(config.num_couplings):
            kept, moved = self._halves[number]
            network = NormalisedMLP(
                config.hidden_units,
                len(moved) * config.most_classes,
                dtype=self.network_dtype,
                name=f"coupling_{number}",
            )
            network.build((None, len(kept) * config.most_classes))
            network.trainable = False
            self.networks.append(network)
        self.base.trainable = False

    # The map.

    def relabelled(self, x: Any) -> Any:
        """data -> latent, the networks in the model's own precision."""
        return self._walk(x, 1, list(self.networks), self.compute_dtype)

    def _walk(self, x: Any, sign: int, networks: list[Any], dtype: Any) -> Any:
        for number in range(self.config.num_couplings)[::sign]:
            kept, moved = self._halves[number]
            given = tf.gather(x, kept, axis=1)
            logits = tf.cast(networks[number](self._one_hot(given, dtype)), dtype)
            logits = tf.reshape(logits, [-1, len(moved), self.config.most_classes])
            logits = tf.where(self._inside[moved], logits, tf.cast(_NEVER, logits.dtype))
            order = sorted_classes(logits, self.config.sorts)
            values = tf.gather(x, moved, axis=1)
            if sign > 0:
                same = tf.cast(tf.equal(order, values[..., None]), tf.int32)
                values = tf.reduce_sum(same * tf.range(self.config.most_classes), axis=-1)
            else:
                values = tf.gather(order, values, axis=2, batch_dims=2)
            x = tf.gather(tf.concat([given, values], axis=1), self._halves.back(number), axis=1)
        return x

    def _one_hot(self, given: Any, dtype: Any) -> Any:
        one_hot = tf.one_hot(given, self.config.most_classes, dtype=dtype)
        return tf.reshape(one_hot, [-1, given.shape[1] * self.config.most_classes])

    # Growing.

    @property
    def most_stages(self) -> int:
        """The couplings that there is room for."""
        return self.config.num_couplings

    def grow(
        self,
        x: Any,
        context: Any = None,
        *,
        seed: int = 0,
        descent: Descent | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> float:
        """Trains the next coupling, on the latents of the rows x [rows, *event_shape]."""
        del context
        number = self._check_room()
        kept, moved = self._halves[number]
        network, before = self.networks[number], mean_nats(self, x)
        z = self._latents(x)
        classify(
            network,
            z[:, kept],
            z[:, moved],
            features=lambda given: self._one_hot(given, self.compute_dtype),
            inside=self._inside[moved],
            descent=descent or self.default_descent or Descent(),
            seed=(seed, number),
            report=report,
        )
        self._grown.assign(number + 1)
        shares = self.base.logits.numpy()
        self.base.adapt(self._latents(x))
        after = mean_nats(self, x)
        if after > before:
            network.output_layer.kernel.assign(tf.zeros_like(network.output_layer.kernel))
            network.output_layer.bias.assign(tf.zeros_like(network.output_layer.bias))
            self.base.logits.assign(shares)
            return 0.0
        return before - after

    def _latents(self, x: Any) -> np.ndarray:
        """int32 [rows, D]."""
        return self.encode(x).numpy()


def sorted_classes(logits: Any, sorts: int) -> Any:
    """Classes in the order of their logits, the likeliest first: int32 [..., K] of [..., K].

    Ties go by class. sorts: only so many come first, and the others follow in their own order.
    """
    order = tf.argsort(logits, direction="DESCENDING", stable=True)
    size = logits.shape[-1]
    if not 0 < sorts < size:
        return order
    # Places of the classes; those behind the first `sorts` all count alike, and ties go by class.
    places = tf.minimum(tf.argsort(order, stable=True), sorts)
    return tf.argsort(places, stable=True)
