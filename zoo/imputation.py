"""Missing values, drawn from the model's conditional density given those that are there.

    p(x_missing | x_observed) is proportional to p(x_missing, x_observed)

A flow gives the right-hand side and its gradient exactly, for any set of missing coordinates. It is
sampled by Hamiltonian Monte Carlo (Neal 2011, arXiv:1206.1901), one chain a row, in coordinates
scaled by the deviations of the model's own samples. A chain starts from the missing values of the
sample that is nearest in the observed ones. The step size adapts over the first 80 % of the steps,
for an acceptance of 0.75.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from zoo.errors import InvalidInputError
from zoo.models import inputs

__all__ = ["impute"]

NUM_SAMPLES = 2000
LEAPFROG_STEPS = 8
TARGET_ACCEPTANCE = 0.75


def impute(
    model: Any, x: Any, *, context: Any = None, num_steps: int = 200, seed: Any = None
) -> np.ndarray:
    """The rows x with every NaN replaced by a draw from the conditional density: float32 [n, D].

    model: a density model of real features [D].   x: [n, D], NaN where a value is missing.
    context: int labels [n], for class-conditional models.   num_steps: of every chain; twice as
    many should change nothing but the draws.   seed: makes the draws reproducible.
    Observed values come back as they are. For several draws a row, repeat the rows.

    Raises InvalidInputError for models of images or audio, rows of another shape, infinities, and
    num_steps < 10.
    """
    config = model.config
    if len(config.event_shape) != 1 or config.preprocessing.num_levels:
        raise InvalidInputError(
            f"Imputation is for rows of real features; {model.name} models {config.event_shape}."
        )
    if not isinstance(num_steps, int) or num_steps < 10:
        raise InvalidInputError(f"num_steps must be an integer of at least 10; got {num_steps!r}.")
    rows = np.asarray(x, np.float32)
    if rows.ndim != 2 or rows.shape[1] != config.event_shape[0] or len(rows) == 0:
        raise InvalidInputError(
            f"Expected x of shape [batch, {config.event_shape[0]}]; got {list(rows.shape)}."
        )
    if np.isinf(rows).any():
        raise InvalidInputError("x holds infinity; mark missing values as NaN.")
    seeds = tf.random.split(inputs.seed_tensor(seed, default=None), 2)
    incomplete = np.flatnonzero(np.isnan(rows).any(1))
    if incomplete.size == 0:
        return rows
    chosen = None if context is None else np.asarray(context)[incomplete]
    filled = _drawn(model, rows[incomplete], chosen, num_steps=num_steps, seeds=seeds)
    result = rows.copy()
    result[incomplete] = np.where(np.isnan(rows[incomplete]), filled, rows[incomplete])
    return result


def _drawn(model: Any, rows: np.ndarray, context: Any, *, num_steps: int, seeds: Any) -> np.ndarray:
    """The last states of the chains, [n, D]."""
    import tensorflow_probability as tfp

    missing = np.isnan(rows)
    start, scale = _start(model, rows, context, seed=seeds[0])
    observed = tf.constant(np.where(missing, 0.0, rows), tf.float32)
    free = tf.constant(missing)
    labels = None if context is None else tf.constant(context, tf.int32)

    def target(state: Any) -> Any:
        # Observed coordinates move freely under a unit normal of their own and change nothing.
        idle = -0.5 * tf.reduce_sum(tf.where(free, 0.0, tf.square(state)), -1)
        log_prob = model.log_prob(tf.where(free, state * scale, observed), labels)
        return tf.where(tf.math.is_finite(log_prob), log_prob, -np.inf) + idle

    burn_in = num_steps * 4 // 5
    kernel = tfp.mcmc.SimpleStepSizeAdaptation(
        tfp.mcmc.HamiltonianMonteCarlo(
            target, step_size=tf.fill([len(rows), 1], 0.1), num_leapfrog_steps=LEAPFROG_STEPS
        ),
        num_adaptation_steps=burn_in,
        target_accept_prob=TARGET_ACCEPTANCE,
    )

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def last_state(state: Any, seed: Any) -> Any:
        return tfp.mcmc.sample_chain(
            num_results=1,
            num_burnin_steps=num_steps - 1,
            current_state=state,
            kernel=kernel,
            trace_fn=None,
            seed=seed,
        )[0]

    state = last_state(tf.constant(start / scale, tf.float32), seeds[1])
    return np.asarray(state) * scale


def _start(model: Any, rows: np.ndarray, context: Any, *, seed: Any) -> tuple[Any, Any]:
    """(each row with the missing values of the nearest sample, deviations [D] of the samples)."""
    groups = np.zeros(len(rows), int) if context is None else np.asarray(context)
    start, deviations = rows.copy(), []
    for label in np.unique(groups):
        label_context = None if context is None else int(label)
        samples = np.asarray(model.sample(NUM_SAMPLES, seed=seed, context=label_context))
        samples = samples[np.isfinite(samples).all(1)]
        deviation = np.maximum(samples.std(0), 1e-6)
        deviations.append(deviation)
        for i in np.flatnonzero(groups == label):
            known = ~np.isnan(rows[i])
            distance = np.square((samples - rows[i]) / deviation)[:, known].sum(1)
            start[i] = np.where(known, 0.0, samples[distance.argmin()])
    return start, np.mean(deviations, 0).astype(np.float32)
