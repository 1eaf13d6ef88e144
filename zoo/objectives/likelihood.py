"""Maximum likelihood."""

from __future__ import annotations

from typing import Any

from zoo.objectives.base import Objective

__all__ = ["NegativeLogLikelihood"]


class NegativeLogLikelihood(Objective):
    """-log p(x [| context]) in nats of the data as stored: `-model.score`."""

    @classmethod
    def of(cls, settings: Any, model: Any, **unused: Any) -> NegativeLogLikelihood:
        """It has no settings."""
        del settings, model, unused
        return cls()

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
        """-log p, [batch]. seed: names the dequantisation noise."""
        del step
        return -model.score(x, context, seed, training=training)
