"""The mass that a model of integers gives to what is no data.

    mass_outside   P(x is no row of data) = P_z[encode(decode(z)) != z],   z ~ base

A flow of integers is a bijection of Z^D, and its base reaches all of Z^D: some mass lies on
integers that are no class. `decode` brings those into the classes' range, so that just they do not
come back.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import tensorflow as tf

from zoo.errors import ConfigError
from zoo.evaluation.statistics import mean_with_error
from zoo.evaluation.task import Measured, Task

__all__ = ["DRAWS", "outside_metrics"]

DRAWS = 20_000
_AT_ONCE = 2_000


def outside_metrics(task: Task, names: Collection[str]) -> Measured:
    """`mass_outside` by draws of the base; the rows are not looked at.

    Raises ConfigError for a model that does not give data back bit for bit.
    """
    model = task.model
    if (model.measure, model.lossless) != ("mass", "data"):
        raise ConfigError(f"{', '.join(names)} is of models whose codes give the data back.")
    outside = []
    for number, start in enumerate(range(0, DRAWS, _AT_ONCE)):
        z = model.base.sample(_AT_ONCE, tf.constant([task.seed, number]), 1.0)
        outside.append((model.encode(model.decode(z)).numpy() != z.numpy()).any(axis=-1))
        task.report(start + _AT_ONCE, DRAWS)
    figure = {**mean_with_error(np.concatenate(outside).astype(np.float64)), "draws": DRAWS}
    return Measured(dict.fromkeys(names, figure), f"{DRAWS:,} draws of the base, seed {task.seed}")
