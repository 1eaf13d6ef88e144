"""Increasing maps of one coordinate: what a conditioner's parameters do to each latent.

A coupling and an autoregressive flow differ in who conditions whom; which map the parameters
describe is chosen here:

    map                   parameters of a coordinate              system
    `ShiftAndScale`       the pair (shift, log_scale)             NICE, RealNVP
    `Affine`              2 raw numbers                           MAF
    `Gated`               2 raw numbers                           IAF
    `RationalQuadratic`   3 K - 1 raw numbers (`spline.py`)       neural spline flows
    `MixtureQuantile`     3 C raw numbers (`mixture.py`)          MADE and MAF with mixtures
    `Chained`             those of its maps, one after another    splines of an affine map

Each has

    forward(z, parameters) -> (x, log|dx/dz|)        inverse(x, parameters) -> (z, log|dz/dx|)

elementwise, so that slices of z with the same slices of the parameters give slices of x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import tensorflow as tf

from zoo.bijectors.base import OnePassBijector
from zoo.ops.stable import soft_clip

__all__ = ["Affine", "Chained", "Elementwise", "Gated", "Inverted", "ScalarMap", "ShiftAndScale"]


class ScalarMap(Protocol):
    """An increasing map of each coordinate: see the module's table.

    z, x: [..., D].   parameters: what the map takes, for all D coordinates.
    """

    def forward(self, z: Any, parameters: Any) -> tuple[Any, Any]:
        """(x, log|dx/dz|), each [..., D]."""
        ...

    def inverse(self, x: Any, parameters: Any) -> tuple[Any, Any]:
        """(z, log|dz/dx|), each [..., D]."""
        ...


@dataclass(frozen=True)
class ShiftAndScale:
    """x = z exp(log_scale) + shift;  log|dx/dz| = log_scale.

    parameters: (shift, log_scale), each [..., D]; `None` for log_scale preserves volume.
    """

    def forward(self, z: Any, parameters: tuple[Any, Any]) -> tuple[Any, Any]:
        """x = z exp(s) + t."""
        shift, log_scale = parameters
        if log_scale is None:
            return z + shift, tf.zeros_like(z)
        return z * tf.exp(log_scale) + shift, log_scale

    def inverse(self, x: Any, parameters: tuple[Any, Any]) -> tuple[Any, Any]:
        """z = (x - t) exp(-s)."""
        shift, log_scale = parameters
        if log_scale is None:
            return x - shift, tf.zeros_like(x)
        return (x - shift) * tf.exp(-log_scale), -log_scale


@dataclass(frozen=True)
class Affine:
    """`ShiftAndScale` with log_scale = limit tanh(raw / limit).   MAF (arXiv:1705.07057), Eq. 3-4.

    parameters: [..., D, 2].   limit: of |log_scale|, so that exp stays in float32.
    """

    limit: float
    num_parameters: int = 2

    def _parameters(self, parameters: Any) -> tuple[Any, Any]:
        shift, raw_log_scale = tf.unstack(parameters, axis=-1)
        return shift, soft_clip(raw_log_scale, self.limit)

    def forward(self, z: Any, parameters: Any) -> tuple[Any, Any]:
        """x = z exp(s) + t."""
        return ShiftAndScale().forward(z, self._parameters(parameters))

    def inverse(self, x: Any, parameters: Any) -> tuple[Any, Any]:
        """z = (x - t) exp(-s)."""
        return ShiftAndScale().inverse(x, self._parameters(parameters))


@dataclass(frozen=True)
class Gated:
    """x = sigmoid(s) z + (1 - sigmoid(s)) m;  log|dx/dz| = log sigmoid(s).

    IAF (arXiv:1606.04934), Eq. 14. It contracts, towards m.
    parameters: [..., D, 2], m and the raw gate, or the pair of them.   s = bias + the raw gate, as
    limit tanh(raw / limit) where there is a limit. The paper's bias is 1 to 2, so that a fresh flow
    is near the identity.
    """

    bias: float = 0.0
    limit: float = 0.0
    num_parameters: int = 2

    def _parameters(self, parameters: Any) -> tuple[Any, Any]:
        pair = isinstance(parameters, tuple)
        mean, gate = parameters if pair else tf.unstack(parameters, axis=-1)
        return mean, self.bias + (soft_clip(gate, self.limit) if self.limit else gate)

    def forward(self, z: Any, parameters: Any) -> tuple[Any, Any]:
        """x = m + sigmoid(s) (z - m)."""
        mean, gate = self._parameters(parameters)
        return mean + tf.sigmoid(gate) * (z - mean), tf.math.log_sigmoid(gate)

    def inverse(self, x: Any, parameters: Any) -> tuple[Any, Any]:
        """z = x exp(softplus(-s)) - m exp(-s), for 1 / sigmoid(s) = 1 + exp(-s)."""
        mean, gate = self._parameters(parameters)
        log_scale = tf.nn.softplus(-gate)
        return x * tf.exp(log_scale) - mean * tf.exp(-gate), log_scale


@dataclass(frozen=True)
class Inverted:
    """A scalar map the other way round."""

    scalar_map: ScalarMap

    def forward(self, z: Any, parameters: Any) -> tuple[Any, Any]:
        """The map's inverse."""
        return self.scalar_map.inverse(z, parameters)

    def inverse(self, x: Any, parameters: Any) -> tuple[Any, Any]:
        """The map's forward."""
        return self.scalar_map.forward(x, parameters)


@dataclass(frozen=True)
class Chained:
    """Maps of a coordinate one after another: inverse applies the first one first.

    Every map has `num_parameters`.   parameters: [..., D, sum of them], the first map's first.
    """

    maps: tuple[Any, ...]

    @property
    def num_parameters(self) -> int:
        """The maps' together."""
        return sum(each.num_parameters for each in self.maps)

    def _pairs(self, parameters: Any) -> list[tuple[Any, Any]]:
        sizes = [each.num_parameters for each in self.maps]
        return list(zip(self.maps, tf.split(parameters, sizes, -1), strict=True))

    def forward(self, z: Any, parameters: Any) -> tuple[Any, Any]:
        """The maps' forwards, the last map's first."""
        log_det = tf.zeros_like(z)
        for scalar_map, own in reversed(self._pairs(parameters)):
            z, term = scalar_map.forward(z, own)
            log_det += term
        return z, log_det

    def inverse(self, x: Any, parameters: Any) -> tuple[Any, Any]:
        """The maps' inverses, the first map's first."""
        log_det = tf.zeros_like(x)
        for scalar_map, own in self._pairs(parameters):
            x, term = scalar_map.inverse(x, own)
            log_det += term
        return x, log_det


class Elementwise(OnePassBijector):
    """A `ScalarMap` with given parameters as a bijector of vectors; log-det summed over them."""

    def __init__(
        self, scalar_map: ScalarMap, parameters: Any, *, name: str = "elementwise"
    ) -> None:
        arguments = {"scalar_map": scalar_map, "map_parameters": parameters, "name": name}
        super().__init__(event_ndims=1, parameters=arguments, name=name)
        self._scalar_map = scalar_map
        self._map_parameters = parameters

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """Coordinate by coordinate."""
        x, log_det = self._scalar_map.forward(z, self._map_parameters)
        return x, tf.reduce_sum(log_det, -1)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """Coordinate by coordinate."""
        z, log_det = self._scalar_map.inverse(x, self._map_parameters)
        return z, tf.reduce_sum(log_det, -1)
