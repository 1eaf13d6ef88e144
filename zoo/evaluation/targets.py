"""The figures of a model that was fitted to an energy.

    reverse_kl   E_q[log q + U] + log Z in nats over the model's own draws: its loss, 0 is perfect,
                 and blind to parts of the density that the model leaves out
    forward_kl   E_p[log p - log q] in nats over rows drawn from the density itself: large where the
                 model has left something out

log Z is integrated on a grid (`zoo.data.targets.plane`) and stated with the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.data.sources import Arrays
from zoo.data.targets.plane import ENERGIES
from zoo.evaluation.statistics import mean_with_error
from zoo.objectives.reverse_kl import ReverseKL

__all__ = ["DRAWS", "ENERGY_METRICS", "energy_metrics"]

ENERGY_METRICS = ("reverse_kl", "forward_kl")
DRAWS = 200_000
_AT_ONCE = 20_000


def energy_metrics(
    model: Any,
    rows: Arrays,
    names: Sequence[str],
    *,
    energy: str,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The named metrics: {name: {"value", "two_standard_errors", "log_normaliser", ...}}.

    rows: of the energy's density.   energy: its name.   seed: of the model's draws.
    """
    loss = ReverseKL(energy)
    of_latents = tf.function(lambda z: loss.of_latents(model, z), autograph=False)
    total = DRAWS + rows.rows
    reverse = []
    for number, start in enumerate(range(0, DRAWS, _AT_ONCE)):
        z = model.base_distribution().sample(_AT_ONCE, seed=tf.constant([seed, number]))
        reverse.append(of_latents(z).numpy())
        if progress is not None:
            progress(start + _AT_ONCE, total)
    forward = []
    for start in range(0, rows.rows, _AT_ONCE):
        x = rows.x[start : start + _AT_ONCE]
        log_p = -ENERGIES[energy](tf.constant(x)).numpy() - loss.log_normaliser
        forward.append(log_p - model.log_prob(x).numpy())
        if progress is not None:
            progress(DRAWS + start + len(x), total)
    draws = {"reverse_kl": reverse, "forward_kl": forward}
    return {
        name: {
            **mean_with_error(np.concatenate(draws[name]).astype(np.float64)),
            "draws": sum(map(len, draws[name])),
            "log_normaliser": round(loss.log_normaliser, 6),
        }
        for name in names
    }
