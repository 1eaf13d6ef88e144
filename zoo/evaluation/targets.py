"""The figures of a model that was fitted to a target without rows, an energy.

    reverse_kl   E_q[log q + U] + log Z in nats over the model's own draws: its loss, 0 is perfect,
                 and blind to parts of the density that the model leaves out
    forward_kl   E_p[log p - log q] in nats over rows drawn from the density itself: large where the
                 model has left something out

log Z is integrated on a grid (`zoo.data.targets.plane`) and stated with the figure.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import tensorflow as tf

from zoo.core.recipe import Target
from zoo.data.targets.plane import ENERGIES
from zoo.errors import ConfigError
from zoo.evaluation.statistics import mean_with_error
from zoo.evaluation.task import Measured, Task
from zoo.objectives.reverse_kl import ReverseKL

__all__ = ["DRAWS", "target_metrics"]

DRAWS = 200_000
_AT_ONCE = 20_000


def target_metrics(task: Task, names: Collection[str]) -> Measured:
    """The named metrics, with the number of draws and log Z beside each.

    The task's rows are of the target's density.   Raises ConfigError for a recipe without a target.
    """
    if task.recipe is None or not isinstance(task.recipe.data, Target):
        raise ConfigError(f"{', '.join(names)} compare with a target; the recipe has none.")
    model, rows, seed = task.model, task.rows, task.seed
    loss = ReverseKL(task.recipe.data.energy)
    energy = ENERGIES[task.recipe.data.energy]
    of_latents = tf.function(lambda z: loss.of_latents(model, z), autograph=False)
    total = DRAWS + rows.rows
    reverse = []
    for number, start in enumerate(range(0, DRAWS, _AT_ONCE)):
        z = model.base_distribution().sample(_AT_ONCE, seed=tf.constant([seed, number]))
        reverse.append(of_latents(z).numpy())
        task.report(start + _AT_ONCE, total)
    forward = []
    for start in range(0, rows.rows, _AT_ONCE):
        x = rows.x[start : start + _AT_ONCE]
        log_p = -energy(tf.constant(x)).numpy() - loss.log_normaliser
        forward.append(log_p - model.log_prob(x).numpy())
        task.report(DRAWS + start + len(x), total)
    draws = {"reverse_kl": reverse, "forward_kl": forward}
    metrics = {
        name: {
            **mean_with_error(np.concatenate(draws[name]).astype(np.float64)),
            "draws": sum(map(len, draws[name])),
            "log_normaliser": round(loss.log_normaliser, 6),
        }
        for name in names
    }
    words = f"{DRAWS:,} draws of the model, seed {seed}; log Z integrated on a grid"
    return Measured(metrics, words)
