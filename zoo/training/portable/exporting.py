"""A recipe's training step, state and data as a folder that `tools/run_step.py` runs.

    manifest.json     what it is, and the size and SHA-256 of every other file; written last
    train.jax         (state, x, [context], step) -> ({nats, gradient_norm, learning_rate}, state)
    weights.jax       (state, [x, [context]]) -> weights of an evaluation: the averages, and batch
                      norm's moments on the rows given
    evaluate.jax      (weights, x, [context]) -> {nats}, of the rows as stored
    state/, data/     arrays in parts (`zoo.training.portable.arrays`), rows as stored

The state is `TrainingStep.state_variables()` in its order, and begins with the model's variables,
which are the weights. The step is `TrainingStep` itself; its numbers are those of
`tf.function(jit_compile=True)`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.core.recipe import Recipe
from zoo.core.recipe_json import to_dict
from zoo.data.sources import Arrays
from zoo.errors import ConfigError, ExportError
from zoo.store.files import write_text_atomic
from zoo.store.folder import software_versions
from zoo.training.portable import arrays
from zoo.training.run import Run
from zoo.training.train import run_before

__all__ = ["FORMAT_VERSION", "MANIFEST_FILE", "PART_BYTES", "described", "export_step"]

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
PART_BYTES = 15_000_000
DEFAULT_PLATFORMS = ("cuda", "tpu", "cpu")


def export_step(
    recipe: Recipe,
    folder: str | os.PathLike[str],
    *,
    name: str,
    run_folder: str | os.PathLike[str],
    resume: bool = False,
    initial_weights: str | os.PathLike[str] = "",
    platforms: Sequence[str] = DEFAULT_PLATFORMS,
    reference_steps: int = 0,
    data_part_bytes: int = PART_BYTES,
) -> Path:
    """Writes the folder of a run that is about to begin, or with `resume` to go on.

    name: The run's name, for its card.
    run_folder: Where `zoo train` would run; nothing is written there. With `resume`, the run that
        lies there is the one to go on with.
    initial_weights: A `.weights.h5` to start from, as for `zoo.training.train`.
    platforms: Out of `zoo.training.portable.lowering.PLATFORMS`.
    reference_steps: Also runs that many steps here, in TensorFlow under XLA, and stores their
        losses for `run_step.py --check`.
    data_part_bytes: The largest size of a file of data; files of state have at most 15 MB.

    Returns:
        The folder.

    Raises:
        ExportError: The folder is not empty, JAX is absent, the recipe cuts clips
            (`bucket_size`), or the step cannot be lowered.
        ConfigError: A precision that the recipe's preprocessing cannot do with, or sizes below one.
        DataError, TrainingError, MissingCheckpointError: As for `zoo.training.train`.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ExportError(f"{folder} is not empty: give a new folder.")
    if data_part_bytes < 1 or reference_steps < 0:
        raise ConfigError(
            "Expected parts of at least one byte and 0 or more reference steps; got "
            f"{data_part_bytes} and {reference_steps}."
        )
    if recipe.sgd.bucket_size:
        raise ExportError(
            "An exported step takes batches of one shape, whole clips: set bucket_size to 0."
        )
    if importlib.util.find_spec("jax") is None:
        raise ExportError("Exporting a step needs JAX: pip install 'density-zoo[portable]'.")
    before = None if initial_weights else run_before(recipe, Path(run_folder))
    run = Run(
        recipe,
        Path(run_folder),
        name,
        resume=resume,
        initial_weights=initial_weights,
        before=before,
    )
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": name,
        "recipe": to_dict(recipe),
        "software": software_versions(),
        **_facts(run),
        **_write_functions(run, folder, platforms),
        "state": arrays.write(
            folder / "state", "state", _values(run.step.state_variables()), part_bytes=PART_BYTES
        ),
        "data": {
            split: arrays.write(folder / "data", split, columns, part_bytes=data_part_bytes)
            for split, columns in (
                ("train", _columns(run.train_rows)),
                ("validation", _columns(run.validation_rows)),
            )
        },
        "reference": _reference(run, reference_steps),
    }
    # Not `write_json_atomic`: a history may hold the infinity of a validation that was not finite.
    text = json.dumps(manifest, indent=1) + "\n"
    write_text_atomic(folder / MANIFEST_FILE, text)
    return folder


def described(variables: Sequence[Any]) -> list[dict[str, Any]]:
    """Name, shape and dtype of each variable, as a manifest lists the state.

    The numbers that Keras appends to names of its own, counting objects of the process, are left
    out.
    """
    return [
        {
            "name": re.sub(r"\b(adam|seed_generator)_\d+/", r"\1/", getattr(v, "path", v.name)),
            "shape": [int(n) for n in v.shape],
            "dtype": tf.as_dtype(v.dtype).name,
        }
        for v in variables
    ]


def _exact_products(recipe: Recipe) -> bool:
    return recipe.sgd.conditioner_dtype != "tensorfloat32"


def _facts(run: Run) -> dict[str, Any]:
    """What the runner needs to know of the recipe: plain numbers."""
    return {
        "float32_products": "exact" if _exact_products(run.recipe) else "default",
        "event_size": run.model.config.event_size,
        "seed": run.recipe.sgd.seed,
        "batch_size": run.recipe.sgd.batch_size,
        "steps_per_epoch": run.steps_per_epoch,
        "total_steps": run.total_steps,
        "validate_every": run.validate_every,
        "evaluation_batch_size": _evaluation_batch_size(run),
        "moment_rows": run.moment_rows,
        "patience": run.recipe.sgd.patience,
        "counters": {
            **run.counters,
            "best_validation_nats": repr(run.counters["best_validation_nats"]),  # may be infinite
        },
        "history": run.history,
    }


def _evaluation_batch_size(run: Run) -> int:
    return min(run.evaluation_batch_size, run.validation_rows.rows)


def _values(variables: Sequence[Any]) -> list[tuple[str, np.ndarray]]:
    names = [entry["name"] for entry in described(variables)]
    return [(name, v.numpy()) for name, v in zip(names, variables, strict=True)]


def _columns(rows: Arrays) -> list[tuple[str, np.ndarray]]:
    columns = [("x", rows.x)]
    return columns if rows.context is None else [*columns, ("context", rows.context)]


# --- the functions


@dataclass(frozen=True)
class _Function:
    """What `zoo.training.portable.lowering.lower` takes."""

    function: Callable[..., Any]
    arguments: list[tf.TensorSpec]
    variables: Sequence[Any]
    returns_values: bool = False


def _functions(run: Run) -> dict[str, _Function]:
    """The step, the weights of an evaluation and their score; (x, context) as positional x, *rest.

    They do on the host what `Run` does between two validations.
    """
    step, model = run.step, run.model

    def train(x: Any, *rest: Any) -> dict[str, Any]:
        *context, number = rest
        result = step(x, context[0] if context else None, number)
        return {
            "nats": result["nats"],
            "gradient_norm": result["gradient_norm"],
            "learning_rate": tf.cast(step.optimizer.learning_rate, tf.float32),
        }

    def weights(*rows: Any) -> list[Any]:
        for variable, average in zip(step.variables, step.averages, strict=False):
            variable.assign(average)
        if rows:
            model.adapt_batch_norm(*rows)
        return [tf.convert_to_tensor(v) for v in model.variables]

    def evaluate(x: Any, *context: Any) -> dict[str, Any]:
        return {"nats": run.evaluation_nats(x, context[0] if context else None)}

    state, number = step.state_variables(), tf.TensorSpec([], tf.int32)
    return {
        "train": _Function(
            train,
            [*_specs(run, run.recipe.sgd.batch_size), number],
            state,
            returns_values=True,
        ),
        "weights": _Function(weights, _specs(run, run.moment_rows), state),
        "evaluate": _Function(evaluate, _specs(run, _evaluation_batch_size(run)), model.variables),
    }


def _specs(run: Run, count: int) -> list[tf.TensorSpec]:
    """A batch of `count` rows; nothing for none."""
    columns = _columns(run.train_rows) if count else []
    return [tf.TensorSpec([count, *c.shape[1:]], c.dtype, name=name) for name, c in columns]


def _write_functions(run: Run, folder: Path, platforms: Sequence[str]) -> dict[str, Any]:
    """Lowers and writes the three functions; their part of the manifest."""
    from zoo.training.portable import lowering

    entries, conventions = {}, set()
    for name, one in _functions(run).items():
        artefact = lowering.lower(
            one.function,
            one.arguments,
            one.variables,
            platforms=platforms,
            exact_products=_exact_products(run.recipe),
            returns_values=one.returns_values,
        )
        file = f"{name}.jax"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(artefact.content)
        entries[name] = {
            "file": file,
            "size": len(artefact.content),
            "sha256": hashlib.sha256(artefact.content).hexdigest(),
            "num_values": len(one.variables),
            "arguments": [
                {"shape": list(spec.shape), "dtype": spec.dtype.name} for spec in one.arguments
            ],
        }
        conventions.add(artefact.calling_convention)
    return {
        "platforms": list(platforms),
        "jax": {"version": lowering.JAX_VERSION, "calling_convention": max(conventions)},
        "functions": entries,
    }


def _reference(run: Run, steps: int) -> list[float]:
    """The losses of the next steps in TensorFlow under XLA; leaves the run as it was."""
    if not steps:
        return []
    variables = run.step.state_variables()
    kept = [v.numpy() for v in variables]
    compiled = tf.function(run.step, autograph=False, jit_compile=True)
    first, losses = run.counters["step"], []
    for number, (x, context) in zip(range(first, first + steps), run.batches(), strict=False):
        context = None if context is None else tf.constant(context)
        result = compiled(tf.constant(x), context, tf.constant(number, tf.int32))
        losses.append(float(tf.reduce_mean(result["nats"])))
    for variable, value in zip(variables, kept, strict=True):
        variable.assign(value)
    return losses
