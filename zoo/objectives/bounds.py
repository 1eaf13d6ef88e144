"""The evidence lower bound, with its warm-up and free bits."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from zoo.core import objective as settings_of
from zoo.errors import ConfigError
from zoo.objectives.base import Objective
from zoo.ops.row_weights import batch_mean

__all__ = ["NegativeELBO", "annealed"]


def annealed(steps: int, step: Any, *, start: float = 0.0) -> Any:
    """beta at a step: from `start` to 1 over so many steps, 1 without steps or a step."""
    if not steps or step is None:
        return 1.0
    return tf.minimum(1.0, start + tf.cast(step, tf.float32) / steps)


class NegativeELBO(Objective):
    """-E_q[log p(x | z) + log p(z) - log q(z | x)], by one draw per row.

    In training it is beta KL(q | p) - E_q[log p(x | z)] with annealing "kl"; with "joint" it is
    -beta E_q[log p(x, z)] - H(q) (arXiv:1505.05770, Eq. 20). Free bits are the config's: the KL,
    averaged over the batch, is not pushed below them (arXiv:1606.04934, Appendix C.8).
    """

    def __init__(self, settings: settings_of.NegativeELBO | None = None) -> None:
        self.settings = settings or settings_of.NegativeELBO()

    @classmethod
    def of(cls, settings: settings_of.NegativeELBO, model: Any, **unused: Any) -> NegativeELBO:
        """Raises ConfigError for free bits with joint annealing, which has no KL divergence."""
        del unused
        if settings.annealing_steps and settings.annealing == "joint" and model.config.free_bits:
            raise ConfigError(
                "free_bits bound a KL divergence; joint annealing has none. Leave out one of them."
            )
        return cls(settings)

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
        """The bound's negative, [batch]."""
        likelihood, prior, entropy = model.elbo_terms(x, seed, context)
        if not training:
            return -(likelihood + prior + entropy)
        settings = self.settings
        if settings.annealing == "joint":
            beta = tf.cast(annealed(settings.annealing_steps, step, start=0.01), entropy.dtype)
            return -(beta * (likelihood + prior) + entropy)
        divergence = -(prior + entropy)
        if free_bits := model.config.free_bits:
            spent = batch_mean(divergence) > free_bits
            divergence = tf.where(spent, divergence, free_bits)
        beta = tf.cast(annealed(settings.annealing_steps, step), entropy.dtype)
        return beta * divergence - likelihood
