"""Missing values, drawn from the model's conditional density given those that are there.

    p(x_missing | x_observed) is proportional to p(x_missing, x_observed)

A flow gives the right-hand side and its gradient exactly, for any set of missing coordinates. It is
sampled by Hamiltonian Monte Carlo (Neal 2011, arXiv:1206.1901), one chain a row, in coordinates
scaled by the deviations of the model's own samples. A chain starts from the missing values of one
of the ten samples that are nearest in the observed ones. Every chain has a step size of its own,
found by dual averaging (Hoffman & Gelman 2014, arXiv:1111.4246, Sec. 3.2) over the first 80 % of
the steps, for an acceptance of 0.75: a column that the others determine to a thousandth of its
deviation needs steps of a hundredth of the first.

A model that has conditionals of its own needs no chain: those of models in any order are exact
(`AnyOrder`), those of a table's MADE are by importance resampling (`Imputes`).
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.core import checks
from zoo.core.capabilities import AnyOrder, Imputes
from zoo.core.context_checks import checked_condition
from zoo.core.encoding import decoded, encoded, in_order, names_of
from zoo.errors import InvalidInputError

__all__ = ["impute"]

NUM_SAMPLES = 2000
NUM_NEIGHBOURS = 10
LEAPFROG_STEPS = 8
FIRST_STEP = 0.1
TARGET_ACCEPTANCE = 0.75


def impute(
    model: Any, x: Any, *, context: Any = None, num_steps: int = 200, seed: Any = None
) -> Any:
    """The rows x with every NaN replaced by a draw from the conditional density: float32 [n, D].

    A data frame comes back as one, filled in by its columns' names; further columns stay.

    model: a density model of real features [D], or a model that has draws of its own: exact ones
    (`AnyOrder`), whatever num_steps says, or by num_steps particles (`TableMADE.impute`).
    x: [n, D], NaN where a value is missing; of a table numbers, or a data frame.
    context: one a row, [n, ...], for conditional models.   num_steps: of every chain; twice as
    many should change nothing but the draws.   seed: makes the draws reproducible.
    Observed values come back as they are; integers as the model stores them. For several draws a
    row, repeat the rows.

    Warns of rows whose chains stand still after the adaptation: their values are a sample's.
    Raises InvalidInputError for models of images or audio, rows of another shape, values that are
    no numbers, infinities, labels that are not one a row, and num_steps < 10.
    """
    space = model.data
    if names_of(x):
        return _frame_filled(model, x, context=context, num_steps=num_steps, seed=seed)
    if isinstance(model, AnyOrder):
        return np.asarray(_completed(model, x, context, seed))
    if isinstance(model, Imputes):
        return np.asarray(model.impute(x, context, num_particles=num_steps, seed=seed))
    if len(space.shape) != 1 or space.is_integer:
        raise InvalidInputError(
            f"Imputation is for rows of real features; {model.name} models {space.shape}."
        )
    if not isinstance(num_steps, int) or num_steps < 10:
        raise InvalidInputError(f"num_steps must be an integer of at least 10; got {num_steps!r}.")
    rows = _with_gaps(x)
    if rows.ndim != 2 or rows.shape[1] != space.size or len(rows) == 0:
        raise InvalidInputError(
            f"Expected x of shape [batch, {space.size}]; got {list(rows.shape)}."
        )
    if np.isinf(rows).any():
        raise InvalidInputError("x holds infinity; mark missing values as NaN.")
    labels = checked_condition(context, model.context, len(rows))
    seeds = tf.random.split(checks.seed_tensor(seed, default=None), 3)
    incomplete = np.flatnonzero(np.isnan(rows).any(1))
    if incomplete.size == 0:
        return rows
    chosen = None if labels is None else labels.numpy()[incomplete]
    filled, moved = _drawn(model, rows[incomplete], chosen, num_steps=num_steps, seeds=seeds)
    if not moved.all():
        still = incomplete[~moved]
        warnings.warn(
            f"The chains of {still.size} of {incomplete.size} rows with missing values stand still "
            f"(row {still[0]} the first): give them more than {num_steps} steps.",
            stacklevel=2,
        )
    result = rows.copy()
    result[incomplete] = np.where(np.isnan(rows[incomplete]), filled, rows[incomplete])
    return result


def _completed(model: AnyOrder, x: Any, context: Any, seed: Any) -> Any:
    """By the model's exact conditionals; integers are told from gaps by a mask."""
    space = model.data
    if space.columns or not space.is_integer:
        return model.impute(x, context, seed=seed)
    rows = _with_gaps(x)
    observed = ~np.isnan(rows)
    known = np.where(observed, rows, 0.0)
    if (known != np.round(known)).any() or np.isinf(known).any():
        raise InvalidInputError(
            f"{model.name} models integers {space.minimum}..{space.maximum}; x holds others."
        )
    shape = rows.shape
    if rows.ndim == 2 and rows.shape[1] == space.size:  # an image as a row of a table
        known, observed = (part.reshape(-1, *space.shape) for part in (known, observed))
    filled = model.impute(known.astype(np.int64), context, observed=observed, seed=seed)
    return np.reshape(filled, shape)


def _frame_filled(model: Any, frame: Any, **options: Any) -> Any:
    """A copy of the frame whose missing cells are filled in, those of the model's columns."""
    space = model.data
    if space.columns:
        columns = [dataclasses.replace(column, missing=True) for column in space.columns]
        rows, names = encoded(frame, columns, "x"), [column.name for column in columns]
        filled = impute(model, {name: np.asarray(frame[name]) for name in names}, **options)
    else:
        names = list(model.column_names or names_of(frame))
        rows = np.asarray(in_order(frame, names, "x"), np.float64)
        filled = impute(model, rows, **options)
    found = frame.copy()
    values = dict(zip(names, filled.T, strict=True))
    if space.columns:
        values = decoded(filled, space.columns)
    for i, name in enumerate(names):
        missing = np.isnan(rows[:, i])
        if missing.any():
            column = found[name].copy()
            column.iloc[np.flatnonzero(missing)] = values[name][missing]
            found[name] = column
    return found


def _with_gaps(x: Any) -> np.ndarray:
    """A copy of x as float32, NaN where a value is missing."""
    try:
        mask = checks.mask_of(x)
        rows = np.asarray(np.ma.getdata(x) if isinstance(x, np.ma.MaskedArray) else x)
        if rows.dtype.kind == "O":
            if any(isinstance(value, str | bytes) for value in rows.flat):
                raise InvalidInputError("Expected numbers in x; got texts among them.")
            rows = rows.astype(np.float64)  # None becomes NaN
        if mask is not None and rows.dtype.kind in "fiub":
            rows = np.where(mask, np.nan, rows.astype(np.float64))
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(
            f"x is not an array of numbers: {error}. Mark missing values as NaN."
        ) from error
    return np.array(checks.as_array(rows, "x", np.float32))


def _drawn(
    model: Any, rows: np.ndarray, context: Any, *, num_steps: int, seeds: Any
) -> tuple[np.ndarray, np.ndarray]:
    """(the last states of the chains [n, D], whether each has moved since the adaptation [n])."""
    import tensorflow_probability as tfp

    missing = np.isnan(rows)
    start, scale = _start(model, rows, context, seed=seeds[0])
    observed = tf.constant(np.where(missing, start, rows), tf.float32)
    free = tf.constant(missing)
    labels = None if context is None else tf.constant(context)

    def target(state: Any) -> Any:
        # Observed coordinates move freely under a unit normal of their own and change nothing.
        idle = -0.5 * tf.reduce_sum(tf.where(free, 0.0, tf.square(state)), -1)
        # A trajectory that diverges is scored where it started, and refused.
        sound = tf.math.is_finite(state * scale)
        x = tf.where(free & sound, state * scale, observed)
        log_prob = tf.cast(model.log_prob(x, labels), tf.float32)
        sound = tf.reduce_all(sound, -1) & tf.math.is_finite(log_prob)
        return tf.where(sound, log_prob + idle, -np.inf)

    burn_in = num_steps * 4 // 5
    kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(
        tfp.mcmc.HamiltonianMonteCarlo(
            target,
            step_size=tf.fill([len(rows), 1], FIRST_STEP),
            num_leapfrog_steps=LEAPFROG_STEPS,
        ),
        num_adaptation_steps=burn_in,
        target_accept_prob=TARGET_ACCEPTANCE,
    )

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def last_state(state: Any, results: Any, steps: Any, seed: Any) -> Any:
        states, _, results = tfp.mcmc.sample_chain(
            num_results=1,
            num_burnin_steps=steps - 1,
            current_state=state,
            previous_kernel_results=results,
            kernel=kernel,
            trace_fn=lambda *_: (),
            return_final_kernel_results=True,
            seed=seed,
        )
        return states[0], results

    state = tf.constant(start / scale, tf.float32)
    adapted, results = last_state(state, kernel.bootstrap_results(state), burn_in, seeds[1])
    state, _ = last_state(adapted, results, num_steps - burn_in, seeds[2])
    moved = (np.asarray(state != adapted) & missing).any(-1)
    return np.asarray(state) * scale, moved


def _start(model: Any, rows: np.ndarray, context: Any, *, seed: Any) -> tuple[Any, Any]:
    """(each row with the missing values of a sample near it, deviations [D] of the samples)."""
    contexts = np.zeros(len(rows)) if context is None else np.asarray(context)
    flat = contexts.reshape(len(rows), -1)
    _, firsts, groups = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    is_label = contexts.ndim == 1
    number = NUM_SAMPLES if is_label else max(NUM_NEIGHBOURS, NUM_SAMPLES // len(firsts))
    rng = np.random.default_rng(np.asarray(seed).astype(np.uint32))
    start, deviations = rows.copy(), []
    for group, first in enumerate(firsts):
        one = None if context is None else contexts[first]
        samples = np.asarray(model.sample(number, seed=seed, context=one))
        samples = samples[np.isfinite(samples).all(1)]
        deviation = np.maximum(samples.std(0), 1e-6)
        deviations.append(deviation)
        for i in np.flatnonzero(groups.reshape(-1) == group):
            known = ~np.isnan(rows[i])
            distance = np.square((samples - rows[i]) / deviation)[:, known].sum(1)
            order = np.lexsort((rng.random(len(samples)), distance))  # of equal ones any
            start[i] = np.where(known, 0.0, samples[rng.choice(order[:NUM_NEIGHBOURS])])
    return start, np.mean(deviations, 0).astype(np.float32)
