"""The figures of variational autoencoders.

    negative_elbo        -ELBO(x), nats an image: one draw of the posterior a row
    negative_log_prob    -log p(x), nats an image, by K importance samples a row (K beside it);
                         in expectation an upper bound that falls with K
    active_units         latents u with Var_x(u(x)) > 0.01 over the rows, u(x) the flow's image of
                         the encoder's mean; without a flow E[u | x] (Burda et al. 2016,
                         arXiv:1509.00519, Sec. 5.2): the others carry nothing of x

Draws are named by (seed, row): the same seed gives the same figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.data.sources import Arrays
from zoo.evaluation.statistics import mean_with_error
from zoo.ops.noise import binarized

__all__ = ["IMPORTANCE_SAMPLES", "VAE_METRICS", "vae_metrics"]

VAE_METRICS = ("negative_elbo", "negative_log_prob", "active_units")
IMPORTANCE_SAMPLES = 500
ACTIVE_VARIANCE = 0.01


def vae_metrics(
    model: Any,
    rows: Arrays,
    names: Sequence[str],
    *,
    dynamic_binarization: bool,
    batch_size: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The named metrics of a VAE: {name: {"value", "two_standard_errors", ...}}.

    dynamic_binarization: whether the rows are grey levels to be made binary, once, by the seed.
    """
    elbos, log_probs, latents = [], [], []
    for start in range(0, rows.rows, batch_size):
        stop = min(start + batch_size, rows.rows)
        x = tf.constant(rows.x[start:stop])
        if dynamic_binarization:
            x = binarized(x, tf.constant([0, seed]))
        elbos.append(model.elbo(x, seed=seed).numpy())
        latents.append(model.encode(x).numpy())
        if "negative_log_prob" in names:
            log_prob = model.log_prob(x, seed=seed, num_importance_samples=IMPORTANCE_SAMPLES)
            log_probs.append(log_prob.numpy())
        if progress is not None:
            progress(stop, rows.rows)
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
    return {name: found[name] for name in names}
