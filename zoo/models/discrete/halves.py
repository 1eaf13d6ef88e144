"""Which features a coupling keeps, and which it changes: a random half each; flows of such."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.core.categorical_config import CategoricalConfig
from zoo.kinds.categorical_flow import CategoricalFlow
from zoo.kinds.exact_map import blockwise
from zoo.networks.precise import in_float64

__all__ = ["Halves", "HalvesFlow"]


class Halves:
    """For each coupling (kept, changed), the places of features: the first ceil(D / 2) are kept.

    They follow from their seed; from one coupling to the next the halves of two features change
    sides.
    """

    def __init__(self, event_size: int, num_couplings: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        half = (event_size + 1) // 2
        self._orders = []
        for number in range(num_couplings):
            order = rng.permutation(event_size)
            if event_size == 2:
                order = np.array([number % 2, 1 - number % 2])
            self._orders.append(np.concatenate([np.sort(order[:half]), np.sort(order[half:])]))
        self._half = half

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        order = self._orders[number].astype(np.int32)
        return order[: self._half], order[self._half :]

    def back(self, number: int) -> np.ndarray:
        """Where each feature is in (kept, changed): int32 [D]."""
        return np.argsort(self._orders[number]).astype(np.int32)


class HalvesFlow(CategoricalFlow):
    """A flow of couplings that change the half of the features by a network of the other half.

    Subclasses have `networks`, one for each coupling, and `_walk`.
    """

    config: CategoricalConfig
    networks: list[Any]

    def _walk(self, x: Any, sign: int, networks: Any, dtype: Any) -> Any:
        """int32 [batch, D] through all couplings: data -> latent by 1, back by -1."""
        raise NotImplementedError

    def to_latent(self, x: Any) -> Any:
        """Data -> latent, exactly: int32 [batch, D]."""
        return self._exactly[0](x)

    def to_data(self, z: Any) -> Any:
        """Latent -> data, exactly: int32 [batch, D]."""
        return self._exactly[1](z)

    @functools.cached_property
    def _exactly(self) -> tuple[Any, Any]:
        return self._blockwise(1), self._blockwise(-1)

    def _blockwise(self, sign: int) -> Any:
        """`_walk` with its networks in float64, in blocks of one number of rows."""
        networks = [in_float64(network) for network in self.networks]

        def walk(block: Any) -> Any:
            return self._walk(block, sign, networks, tf.float64)

        return blockwise(walk, self.config.event_size)
