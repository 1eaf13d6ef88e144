"""Fitting a flow to an energy: variational inference with a density that is not normalised.

    KL(q | p) = E_q[log q(x) + U(x)] + log Z,   p = exp(-U) / Z                 (reverse KL)

x is the model's own draw, x = f(z), log q(x) = log base(z) - log|det dx/dz|: one pass in the
direction that IAF, planar and radial flows are fast in (arXiv:1505.05770, Sec. 6.1). log Z is
integrated on a grid, so that the loss is the divergence itself and 0 is a perfect fit.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from zoo.core import objective as settings_of
from zoo.core.data import Target
from zoo.core.lazy import bijectors
from zoo.data.targets.plane import ENERGIES, log_normaliser
from zoo.errors import ConfigError
from zoo.objectives.base import Objective
from zoo.objectives.bounds import annealed
from zoo.ops.noise import hashed_uniform

__all__ = ["ReverseKL"]


class ReverseKL(Objective):
    """The loss of a model of the plane against one of `zoo.data.targets.plane`: [batch] nats.

    Rows are not learnt from; they name the noise, with the seed, so that a row's loss depends on
    that row and the seed alone.
    Raises ConfigError for no energy.
    """

    learns_from_rows: ClassVar[bool] = False

    def __init__(self, energy: str, settings: settings_of.ReverseKL | None = None) -> None:
        self.settings = settings or settings_of.ReverseKL()
        if energy not in ENERGIES:
            raise ConfigError(f"energy must be one of {', '.join(ENERGIES)}; got {energy!r}.")
        self.energy = ENERGIES[energy]
        self.log_normaliser = log_normaliser(energy)

    @classmethod
    def of(
        cls, settings: settings_of.ReverseKL, model: Any, *, data: Any, **unused: Any
    ) -> ReverseKL:
        """Of the recipe's target. Raises ConfigError for rows, which have no energy."""
        del unused
        if not isinstance(data, Target):
            raise ConfigError(f"ReverseKL needs a Target; {model.name} has {data!r}.")
        objective = cls(data.energy, settings)
        objective._check(model)
        return objective

    @staticmethod
    def _check(model: Any) -> None:
        if tuple(model.config.event_shape) != (2,):
            raise ConfigError(
                "An energy is fitted by a model with event_shape (2,); got "
                f"{tuple(model.config.event_shape)}."
            )

    def __call__(
        self,
        model: Any,
        x: Any,
        context: Any,
        seed: Any,
        *,
        step: Any = None,
        training: bool = False,
    ) -> Any:
        """log q(y) + beta U(y) + log Z of one draw y per row, [batch].

        x: [batch, 2].   seed: int32 [2].
        In training beta rises to 1 over `annealing_steps`: a small one spreads the model over the
        plane, from where it closes in on all of the density (Eq. 20).
        Raises ConfigError for a model of other events than the plane's points.
        """
        del context  # energies have none
        self._check(model)
        beta = annealed(self.settings.annealing_steps, step if training else None, start=0.01)
        words = tf.bitcast(tf.cast(x, tf.float32), tf.int32)
        uniform = tf.cast(hashed_uniform(words, seed), model.compute_dtype)
        base = model.base_distribution()
        z = base.distribution.quantile(uniform)
        return self.of_latents(model, z, beta=beta)

    def of_latents(self, model: Any, z: Any, *, beta: Any = 1.0) -> Any:
        """log q(y) + beta U(y) + log Z at y = f(z), [batch].   z: [batch, 2], drawn from the base.

        For beta = 1 the mean is KL(q | p).
        """
        y, log_det = bijectors.forward_and_log_det(model.chain(), z, 1)
        log_q = model.base_distribution().log_prob(z) - log_det
        beta, log_z = tf.cast(beta, z.dtype), tf.constant(self.log_normaliser, z.dtype)
        return log_q + beta * self.energy(y) + log_z
