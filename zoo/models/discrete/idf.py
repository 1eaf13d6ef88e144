"""Integer discrete flows, with couplings of two or more parts.

Hoogeboom et al. 2019, arXiv:1905.07376 (IDF); Tomczak 2020, arXiv:2011.15056 (general couplings).

    x in Z^D in K parts; data -> latent, for i = 1 .. K:
    "general":     y_i = x_i + round(t_i(y_<i, x_>i))            a network t_i for each part
    "one_sided":   y_1 = x_1,  y_2 = x_2 + round(t(x_1))         K = 2, IDF's coupling
    then the vector is reversed;  num_flows such couplings, no log-determinant
    base:          a discretised logistic a dimension, or a mixture of them

`round` is straight-through in training.
Deviations: output layers start at zero where `output_scale` is 0, so that a fresh model is the
identity (the authors' start is torch's, of scale 3**-0.5); the slope of Keras' leaky ReLU is 0.2,
not 0.01; a mixture as base is ours. Parts are contiguous; with `squeeze` those of an image are the
four pixels of every 2 x 2 square, so that the neighbours of a pixel are in the other parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from zoo.bases.discretised_logistic import DiscretisedLogistic
from zoo.bijectors.integer import IntegerCoupling, Shift
from zoo.core.config import ModelConfig
from zoo.core.discrete_config import DiscreteConfig
from zoo.errors import ConfigError
from zoo.kinds.discrete_flow import DiscreteFlow
from zoo.kinds.exact_map import Prepare
from zoo.networks.activations import Activation
from zoo.networks.mlp import MLP

__all__ = ["IDF", "IDFConfig"]


@dataclass(frozen=True, kw_only=True)
class IDFConfig(DiscreteConfig):
    """Sizes of an integer discrete flow.

    num_parts: K; parts differ by one in size where K does not divide D, the first the larger.
    squeeze: pixels are put in order by their places in squares of 2 x 2, the top left ones first.
    num_components: of the mixture, for `base="mixture"`.   input_scale: networks see integers times
    it.   output_scale: deviation of a network's fresh output per unit-variance input of its last
    layer; 0 starts at the identity.
    """

    coupling: Literal["general", "one_sided"] = "general"
    num_parts: int = 4
    num_flows: int = 4
    squeeze: bool = False
    hidden_units: tuple[int, ...] = (256, 256)
    activation: Activation = "leaky_relu"
    base: Literal["logistic", "mixture"] = "logistic"
    num_components: int = 5
    input_scale: float = 1.0
    output_scale: float = 0.0

    def __post_init__(self) -> None:
        """Raises ConfigError for sizes that cannot be built."""
        super().__post_init__()
        if not 2 <= self.num_parts <= self.event_size or self.num_flows < 1:
            raise ConfigError(
                f"Expected num_parts in 2..{self.event_size}, the number of dimensions, and "
                f"num_flows of at least 1; got {self.num_parts} and {self.num_flows}."
            )
        if self.coupling == "one_sided" and self.num_parts != 2:
            raise ConfigError(f"A one_sided coupling has num_parts=2; got {self.num_parts}.")
        if self.num_components < 1 or not 0.0 <= self.output_scale < math.inf:
            raise ConfigError(
                "Expected num_components of at least 1 and a finite output_scale of 0 or more; got "
                f"{self.num_components} and {self.output_scale}."
            )
        sides = self.event_shape[:2] if len(self.event_shape) == 3 else (1,)
        if self.squeeze and any(side % 2 for side in sides):
            raise ConfigError(
                f"squeeze needs images [h, w, c] of even sides; got event_shape={self.event_shape}."
            )
        if not self.input_scale > 0.0:
            raise ConfigError(f"input_scale must be above 0; got {self.input_scale}.")

    @property
    def order(self) -> np.ndarray:
        """The place in a row, row by row, of each number of the vector: [D]."""
        places = np.arange(self.event_size)
        if not self.squeeze:
            return places
        height, width, channels = self.event_shape
        squares = places.reshape(height // 2, 2, width // 2, 2, channels)
        return squares.transpose(1, 3, 0, 2, 4).reshape(-1)

    @property
    def part_sizes(self) -> tuple[int, ...]:
        """Of the parts, [K]."""
        return tuple(len(part) for part in np.array_split(range(self.event_size), self.num_parts))


@keras.saving.register_keras_serializable("zoo")
class IDF(DiscreteFlow):
    """Couplings of integer shifts by perceptrons."""

    config_class: ClassVar[type[ModelConfig]] = IDFConfig
    family: ClassVar[str] = "idf"
    config: IDFConfig

    def _create_networks(self) -> None:
        config, size = self.config, self.config.event_size
        self.shift_networks = [
            [
                self._network(size - out, out, name=f"coupling_{flow}_part_{part}")
                for part, out in enumerate(config.part_sizes)
                if part or config.coupling == "general"
            ]
            for flow in range(config.num_flows)
        ]
        self.base = DiscretisedLogistic(
            size,
            num_components=config.num_components if config.base == "mixture" else 1,
            span=config.num_classes,
            dtype=self.dtype_policy,
            name="base",
        )
        self.base.build()

    def _network(self, in_size: int, out_size: int, *, name: str) -> MLP:
        config = self.config
        network = MLP(
            config.hidden_units,
            out_size,
            activation=config.activation,
            dtype=self.network_dtype,
            name=name,
        )
        network.build((None, in_size))
        if config.output_scale:
            kernel = network.output_layer.kernel
            start = keras.initializers.VarianceScaling(config.output_scale**2)
            kernel.assign(start(kernel.shape, dtype=kernel.dtype))
        return network

    def flat(self, x: Any) -> Any:
        """Rows as vectors, in the order of the parts."""
        flat = super().flat(x)
        return tf.gather(flat, self.config.order, axis=1) if self.config.squeeze else flat

    def unflat(self, x: Any) -> Any:
        """The rows of such vectors."""
        if self.config.squeeze:
            x = tf.gather(x, np.argsort(self.config.order), axis=1)
        return super().unflat(x)

    def _flow(self, prepare: Prepare) -> list[IntegerCoupling]:
        sizes, couplings = self.config.part_sizes, []
        for networks in self.shift_networks:
            shifts = [self._scaled(prepare(network)) for network in networks]
            kept = [None] * (len(sizes) - len(shifts))  # the first part of a one-sided coupling
            couplings.append(IntegerCoupling(sizes, [*kept, *shifts]))
        return couplings

    def _scaled(self, shift: Shift) -> Shift:
        """The shift of integers times `input_scale`."""
        scale = self.config.input_scale
        return shift if scale == 1.0 else lambda x: shift(x * tf.cast(scale, x.dtype))
