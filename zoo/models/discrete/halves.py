"""Which features a coupling keeps, and which it changes: a random half each."""

from __future__ import annotations

import numpy as np

__all__ = ["Halves"]


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
