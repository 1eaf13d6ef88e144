"""A flow over NumPy or PyTorch: density, latents to data, samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import Arrays, Step
from .families import A_WEIGHT, FAMILIES
from .maps import mixture_log_prob, mixture_quantile
from .networks import made
from .preprocessing import noise, preprocessing
from .steps import autoregressive

__all__ = ["Flow"]


class Flow(Arrays):
    """log_prob, decode and sample of a family's steps."""

    def log_prob(self, x: Any, context: Any = None) -> Any:
        """Nats [batch] of rows x [batch, *event] as stored: grey levels or features.

        context: labels [batch], of a conditional flow. Grey levels get the zoo's own noise, a hash
        of the row: equal rows have equal answers.
        """
        y, hot = self._dequantised(x), self._one_hot(context, len(x))
        total = self.zeros(y)
        for step in self._steps(hot):
            y, log_det = step.inverse(y)
            total = total + log_det
        return total + self.xp.sum(self._base_log_prob(y, hot), -1)

    def decode(self, z: Any, context: Any = None) -> Any:
        """Latents [batch, D] -> rows [batch, *event]; grey levels are whole numbers, as floats."""
        y, hot = self.like(z, self._any_weight()), self._one_hot(context, len(z))
        if self.num_components:
            y = self._mixture_step(hot).forward(y)
        for step in reversed(self._steps(hot)):
            y = step.forward(y)
        return self.xp.clip(self.xp.floor(y), 0, self.levels - 1) if self.levels else y

    def sample(
        self, num_samples: int, seed: Any = None, temperature: float = 1.0, context: Any = None
    ) -> Any:
        """Rows [num_samples, *event]: draws of the base, times the temperature, decoded.

        seed: of NumPy's generator, which draws the latents.   context: a label for all, or each.
        """
        rng, shape = np.random.default_rng(seed), (num_samples, self.size)
        z = rng.logistic(size=shape) if self._is_logistic else rng.normal(size=shape)
        return self.decode(temperature * z, context)

    # The pieces.

    def _steps(self, hot: Any) -> list[Step]:
        """From data to latents, or to what the mixtures score; hot: labels as indicators."""
        return [*preprocessing(self), *FAMILIES[self.family](self, hot)]

    @property
    def _is_logistic(self) -> bool:
        return bool(self.config.get("base", "normal") == "logistic")

    def _base_log_prob(self, z: Any, hot: Any) -> Any:
        """Of every coordinate: [batch, D]."""
        if self.num_components:
            return mixture_log_prob(self, z, self._mixture_net(hot)(z))
        if self._is_logistic:
            return -z - 2.0 * self.softplus(-z)
        return -0.5 * z**2 - 0.5 * math.log(2.0 * math.pi)

    def _mixture_net(self, hot: Any) -> Callable[[Any], Any]:
        name = "made" if self.family == "made" else "made_base"
        return made(self, name, 3 * self.num_components, hot)

    def _mixture_step(self, hot: Any) -> Step:
        net = self._mixture_net(hot)
        return autoregressive(self, net, None, lambda z, raw: mixture_quantile(self, z, raw))

    def _dequantised(self, x: Any) -> Any:
        like = self._any_weight()
        if not self.levels:
            return self.like(x, like)
        whole = self.integers(x, like)
        return self.like(whole, like) + self.like(noise(self, whole), like)

    def _one_hot(self, context: Any, rows: int) -> Any:
        """[rows, classes]; None for a flow without. Raises ValueError for a context too much."""
        if (context is None) != (self.context_size == 0):
            need = f"labels 0..{self.context_size - 1}" if self.context_size else "None"
            raise ValueError(f"context must be {need} for this flow; got {context!r}.")
        if context is None:
            return None
        like = self._any_weight()
        labels = self.integers(context, like).reshape(-1, 1)
        hot = self.like(labels == self.integers(np.arange(self.context_size), like), like)
        return hot + 0.0 * self.like(np.zeros((rows, 1)), like)

    def _any_weight(self) -> Any:
        """A weight of floats, for its dtype and its device."""
        return self.weight(A_WEIGHT[self.family])
