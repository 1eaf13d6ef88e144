"""NumPy and PyTorch under one name: the few functions that differ, and what a step is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Arrays", "Step"]


class Step(NamedTuple):
    """x -> (z, log|det dz/dx| [batch]), and z -> x."""

    inverse: Callable[[Any], tuple[Any, Any]]
    forward: Callable[[Any], Any]


class Arrays:
    """What every piece of a flow reads: the array library, the config and the weights.

    xp: the module `numpy` or `torch`.   weight: name -> array, as it is now.
    """

    def start(self, xp: Any, family: str, config: Any, weight: Callable[[str], Any]) -> None:
        """Takes them; a constructor of its own would clash with that of a module."""
        self.xp, self.family, self.config, self.weight = xp, family, config, weight
        self.event_shape = tuple(config["event_shape"])
        self.size = math.prod(self.event_shape)
        self.levels = config["preprocessing"]["num_levels"]
        self.context_size = config.get("context_size", 0)
        self.num_components = config.get("num_components", 0)

    @property
    def is_torch(self) -> bool:
        """Whether the arrays are tensors of PyTorch."""
        return self.xp is not np

    def like(self, x: Any, like: Any) -> Any:
        """x as an array of the dtype, and on the device, of another."""
        if self.is_torch:
            return self.xp.as_tensor(x, dtype=like.dtype, device=like.device)
        return np.asarray(x, like.dtype)

    def integers(self, x: Any, like: Any) -> Any:
        """x as 64-bit integers, on the device of another array."""
        if self.is_torch:
            return self.xp.as_tensor(x, device=like.device).to(self.xp.int64)
        return np.asarray(x).astype(np.int64)

    def zeros(self, x: Any) -> Any:
        """A zero a row of x: [batch]."""
        return 0.0 * self.xp.sum(x.reshape(len(x), -1), -1)

    def softplus(self, x: Any) -> Any:
        """log(1 + exp(x))."""
        return self.xp.logaddexp(x, 0.0 * x)

    def logsumexp(self, x: Any) -> Any:
        """Over the last axis."""
        top = self.xp.amax(x, -1)
        return top + self.xp.log(self.xp.sum(self.xp.exp(x - top[..., None]), -1))

    def activation(self, x: Any) -> Any:
        """That of the config's networks. Raises ValueError for one that is not here."""
        name, xp = self.config.get("activation", "relu"), self.xp
        if name == "relu":
            return x * self.like(x > 0.0, x)
        if name == "tanh":
            return xp.tanh(x)
        if name in ("silu", "swish", "swish4"):
            return x * xp.exp(-self.softplus((-4.0 if name == "swish4" else -1.0) * x))
        if name == "elu":
            return xp.where(x > 0.0, x, xp.exp(x * self.like(x < 0.0, x)) - 1.0)
        if name == "linear":
            return x
        raise ValueError(f"This reader has no activation {name!r}.")
