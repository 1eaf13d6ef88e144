"""The figures of densities and masses, of the rows as the dataset stores them.

    bits_per_dim           -log p(x) / (D log 2); grey levels get uniform noise, one draw a row
    log_prob_paper         nats in the space in which the paper quotes them (`space` says which)
    log_prob               nats of the data as stored; the figure of models of real features
    log_prob_symmetrised   the same of the mixture of the model over the eight symmetries of square
                           patches: `zoo.tasks.symmetrised`

Noise is named by (seed, row): the same seed gives the same figures.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.evaluation.statistics import mean_with_error
from zoo.evaluation.task import Measured, Task
from zoo.ops.units import bits_per_dim_from_nats
from zoo.tasks.symmetrised import symmetrised_log_prob

__all__ = ["density_metrics"]


def density_metrics(task: Task, names: Collection[str]) -> Measured:
    """The named metrics on all rows, a batch at a time."""
    model, rows = task.model, task.rows
    log_probs, paper_log_dets, symmetrised = [], [], []
    for part in task.parts():
        x = tf.constant(rows.x[part])
        context = None
        if model.context is not None and rows.context is not None:
            context = tf.constant(rows.context[part])
        log_probs.append(model.log_prob(x, context, seed=task.seed).numpy())
        if "log_prob_paper" in names:
            paper_log_dets.append(model.paper_space_log_det(x, seed=task.seed).numpy())
        if "log_prob_symmetrised" in names:
            symmetrised.append(symmetrised_log_prob(model, x).numpy())
    log_prob = np.concatenate(log_probs).astype(np.float64)
    values = {
        "bits_per_dim": bits_per_dim_from_nats(log_prob, model.config.event_size),
        "log_prob": log_prob,
    }
    if paper_log_dets:
        values["log_prob_paper"] = log_prob - np.concatenate(paper_log_dets)
    if symmetrised:
        values["log_prob_symmetrised"] = np.concatenate(symmetrised).astype(np.float64)
    metrics: dict[str, Any] = {name: mean_with_error(values[name]) for name in names}
    if "log_prob_paper" in metrics:
        metrics["log_prob_paper"]["space"] = model.paper_space
    return Measured(metrics, _protocol(model, task.seed))


def _protocol(model: Any, seed: int) -> str:
    if model.measure == "mixed":
        return "exact density of the continuous columns and probability of the others, as stored"
    if model.measure == "mass":
        how = "exact" if model.precision == "exact" else f"{model.precision} of the"
        return f"{how} probability of the stored values"
    if model.data.is_integer:
        return f"uniform dequantisation, one draw a row, seed {seed}"
    return "exact density of the stored features"
