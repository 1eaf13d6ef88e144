"""The card's figures, recomputed: the papers' protocols on the whole test set.

Metrics, each with two standard errors of its mean over the rows:

    bits_per_dim     -log p(x) / (D log 2), x the data as stored; uniform dequantisation
                     noise, one draw a row
    log_prob_paper   nats in the space in which the paper quotes them (`space` says which), higher
                     is better
    log_prob         nats of the data as stored; the figure of models of real features
    log_prob_symmetrised
                     the same of the mixture of the model over the eight symmetries of square
                     patches: `zoo.tasks.symmetrised`
    reverse_kl, forward_kl
                     of models that were fitted to an energy: `zoo.evaluation.targets`
    bits_per_sample, bits_per_sample_mu_law, recognised
                     of audio: `zoo.evaluation.audio`
    negative_elbo, negative_log_prob, active_units
                     of variational autoencoders: `zoo.evaluation.bounds`

A lower bits_per_dim is better. Noise is named by (seed, row): the same seed gives the same figures.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import loading, registry
from zoo.core.recipe import Distillation, Target
from zoo.data import sources
from zoo.errors import CheckpointError, InvalidInputError
from zoo.evaluation import certificate
from zoo.evaluation.audio import AUDIO_METRICS, CLIPS_A_LABEL, audio_metrics
from zoo.evaluation.bounds import VAE_METRICS, vae_metrics
from zoo.evaluation.statistics import mean_with_error
from zoo.evaluation.targets import DRAWS, ENERGY_METRICS, energy_metrics
from zoo.ops.precision import float32_products
from zoo.ops.units import bits_per_dim_from_nats
from zoo.store import pins
from zoo.store.files import read_json, write_json_atomic
from zoo.store.folder import software_versions
from zoo.tasks.symmetrised import symmetrised_log_prob

__all__ = ["evaluate", "mean_with_error"]

DENSITY_METRICS = ("bits_per_dim", "log_prob_paper", "log_prob")
METRICS = (*DENSITY_METRICS, "log_prob_symmetrised", *ENERGY_METRICS, *AUDIO_METRICS, *VAE_METRICS)
SLOW_ROWS = 100  # certified where a direction takes D network passes

BATCH_NUMBERS = 2**17


@float32_products(exact=True)
def evaluate(
    name: str,
    split: str = "test",
    *,
    model: Any = None,
    limit: int = 0,
    batch_size: int = 0,
    seed: int = 0,
    certify: bool = False,
    out: str | os.PathLike[str] = "",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluates a named model on a split of its recipe's dataset, in float32 on GPUs too.

    returns: what `metrics.json` holds.
    name: a registered name: its weights, dataset and the paper's figure.
    model: evaluates this model of the same family in place of the published weights.
    split: "train", "validation" or "test".   limit: only the first rows; 0 for all.
    batch_size: rows at a time; 0 for as many as make `BATCH_NUMBERS` numbers, at least 200.
    seed: of the dequantisation noise.   out: also writes the result there, as JSON.
    certify: also measures invertibility and log-determinants on the split's rows (on the first
        hundred where one direction is slow), and what the model says of other data
        (`zoo.evaluation.certificate`).
    progress: called after every batch with (rows done, rows in all).

    Raises UnknownModelError, DataError, CheckpointError; InvalidInputError for sizes that are none.
    """
    if limit < 0 or batch_size < 0:
        raise InvalidInputError(
            f"Expected limit and batch_size of 0 or more; got {limit} and {batch_size}."
        )
    entry = registry.get(name)
    started = time.monotonic()
    published = model is None
    if published:
        model = loading.load(name)
    rows = sources.load_arrays(entry.recipe.dataset, split)
    rows = rows.take(limit or rows.rows)
    batch_size = batch_size or max(200, BATCH_NUMBERS // model.config.event_size)
    if model.data.medium == "audio":
        metrics = audio_metrics(
            model,
            rows,
            entry.metrics,
            distillation=_distillation(entry.recipe),
            seed=seed,
            progress=progress,
        )
    elif _energy(entry.recipe):
        metrics = energy_metrics(
            model,
            rows,
            entry.metrics,
            energy=_energy(entry.recipe),
            seed=seed,
            progress=progress,
        )
    elif hasattr(model, "elbo"):
        metrics = vae_metrics(
            model,
            rows,
            entry.metrics,
            dynamic_binarization=entry.recipe.training.binarises,
            batch_size=batch_size,
            seed=seed,
            progress=progress,
        )
    else:
        metrics = _density_metrics(
            model, rows, entry.metrics, batch_size=batch_size, seed=seed, progress=progress
        )
    dataset = entry.recipe.dataset
    result: dict[str, Any] = {
        "name": name,
        "version": pins.pins().get(name, {}).get("version", 1) if published else 0,
        "dataset": f"{dataset.name}:{dataset.version}",
        "split": split,
        "count": rows.rows,
        "protocol": _protocol(model, _energy(entry.recipe), seed),
        "metrics": metrics,
        "paper": _paper(entry),
        "software": software_versions(),
        "hardware": f"{os.cpu_count()} CPU cores",
        "wall_seconds": round(time.monotonic() - started, 1),
    }
    for metric, value in metrics.items():
        if not math.isfinite(value["value"]):
            raise CheckpointError(
                f"{metric} of {name} on {dataset.name} is {value['value']}: under these weights "
                "some rows have no finite score."
            )
    if certify and model.data.medium != "audio" and hasattr(model, "bijector"):
        count = rows.rows if model.slow_direction == "none" else SLOW_ROWS
        certified = rows.take(min(count, rows.rows))
        labels = certified.context if model.config.context_size else None
        result["certificate"] = certificate.certificate(model, certified.x, labels)
        result["slow_direction"] = model.slow_direction
        result["other_data"] = certificate.other_data(model, seed=seed)
    if published:
        result["train_hours"] = _train_hours(loading.resolve(name))
    if out:
        write_json_atomic(out, result)
    return result


def _distillation(recipe: Any) -> Any:
    return recipe.objective if isinstance(recipe.objective, Distillation) else None


def _energy(recipe: Any) -> str:
    return recipe.data.energy if isinstance(recipe.data, Target) else ""


def _density_metrics(
    model: Any,
    rows: sources.Arrays,
    names: Sequence[str],
    *,
    batch_size: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    """The named metrics on all rows, a batch at a time."""
    log_probs, paper_log_dets, symmetrised = [], [], []
    for start in range(0, rows.rows, batch_size):
        stop = min(start + batch_size, rows.rows)
        x = tf.constant(rows.x[start:stop])
        context = None
        if model.config.context_size and rows.context is not None:
            context = tf.constant(rows.context[start:stop])
        log_probs.append(model.log_prob(x, context, seed=seed).numpy())
        paper_log_dets.append(model.paper_space_log_det(x, seed=seed).numpy())
        if "log_prob_symmetrised" in names:
            symmetrised.append(symmetrised_log_prob(model, x).numpy())
        if progress is not None:
            progress(stop, rows.rows)
    log_prob = np.concatenate(log_probs).astype(np.float64)
    log_prob_paper = log_prob - np.concatenate(paper_log_dets)
    values = {
        "bits_per_dim": bits_per_dim_from_nats(log_prob, model.config.event_size),
        "log_prob_paper": log_prob_paper,
        "log_prob": log_prob,
    }
    if symmetrised:
        values["log_prob_symmetrised"] = np.concatenate(symmetrised).astype(np.float64)
    metrics = {metric: mean_with_error(values[metric]) for metric in names}
    if "log_prob_paper" in metrics:
        metrics["log_prob_paper"]["space"] = model.paper_space
    return metrics


def _protocol(model: Any, energy: str, seed: int) -> str:
    if energy:
        return f"{DRAWS:,} draws of the model, seed {seed}; log Z integrated on a grid"
    if hasattr(model, "elbo"):
        return f"one draw of the posterior a row for the ELBO, seed {seed}"
    if model.data.medium == "audio":
        heard = f"{CLIPS_A_LABEL} clips of every label, drawn with seed {seed}, are listened to"
        exact = model.slow_direction != "density"
        scored = "exact probability of the stored samples" if exact else "a draw for every row"
        return f"{scored}; {heard}"
    if model.config.preprocessing.num_levels:
        return f"uniform dequantisation, one draw a row, seed {seed}"
    return "exact density of the stored features"


def _paper(entry: registry.Entry) -> dict[str, Any] | None:
    if entry.paper_value is None:
        return None
    return {"metric": entry.paper_metric, "value": entry.paper_value, "source": entry.paper_source}


def _train_hours(folder: Path) -> float | None:
    """From run.json, which the training wrote beside the weights."""
    path = folder / "run.json"
    return read_json(path).get("train_hours") if path.exists() else None
