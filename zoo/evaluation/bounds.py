"""The figures of models that bound their density: variational autoencoders.

    negative_elbo        -ELBO(x), nats an image: one draw of the posterior a row
    negative_log_prob    -log p(x), nats an image, by K importance samples a row (K beside it);
                         in expectation an upper bound that falls with K
    active_units         latents u with Var_x(u(x)) > 0.01 over the rows, u(x) the flow's image of
                         the encoder's mean; without a flow E[u | x] (Burda et al. 2016,
                         arXiv:1509.00519, Sec. 5.2): the others carry nothing of x

Draws are named by (seed, row): the same seed gives the same figures.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.evaluation.statistics import mean_with_error
from zoo.evaluation.task import Measured, Task
from zoo.ops.noise import binarized

__all__ = ["IMPORTANCE_SAMPLES", "bound_metrics"]

IMPORTANCE_SAMPLES = 500
ACTIVE_VARIANCE = 0.01


def bound_metrics(task: Task, names: Collection[str]) -> Measured:
    """The named metrics. Grey levels that a recipe binarises are drawn once, by the seed."""
    model, rows, seed = task.model, task.rows, task.seed
    binarise = task.recipe is not None and task.recipe.training.binarises
    elbos, log_probs, latents = [], [], []
    for part in task.parts():
        x = tf.constant(rows.x[part])
        if binarise:
            x = binarized(x, tf.constant([0, seed]))
        elbos.append(model.elbo(x, seed=seed).numpy())
        latents.append(model.encode(x).numpy())
        if "negative_log_prob" in names:
            log_prob = model.log_prob(x, seed=seed, num_importance_samples=IMPORTANCE_SAMPLES)
            log_probs.append(log_prob.numpy())
    variances = np.var(np.concatenate(latents), axis=0)
    found: dict[str, Any] = {
        "negative_elbo": mean_with_error(-np.concatenate(elbos).astype(np.float64)),
        "active_units": {
            "value": int(np.sum(variances > ACTIVE_VARIANCE)),
            "of": model.config.latent_size,
        },
    }
    if log_probs:
        found["negative_log_prob"] = {
            **mean_with_error(-np.concatenate(log_probs).astype(np.float64)),
            "num_importance_samples": IMPORTANCE_SAMPLES,
        }
    return Measured(
        {name: found[name] for name in names},
        f"one draw of the posterior a row for the ELBO, seed {seed}",
    )
