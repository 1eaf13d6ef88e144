"""One run of a study: an arm trained from a seed in a run's own folder, and judged on test rows.

    OUT/<arm>/<seed>/            the run, as `zoo train` writes and resumes it
    OUT/records/<arm>-<seed>.json   how it ended, with its figures

A run that cannot come to figures, as one whose loss is no longer finite, has a record that says so;
one that was stopped, or whose machine failed it, has none and is gone on with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo import loading, registry
from zoo.core.recipe import Recipe, override, variant
from zoo.core.recipe_json import digest
from zoo.core.study import SEED, Arm, Study
from zoo.errors import CheckpointError, ConfigError, NonFiniteLossError
from zoo.store.files import read_object, read_optional, write_json_atomic
from zoo.store.folder import METRICS_FILE, RUN_FILE
from zoo.store.hashes import sha256_of
from zoo.store.weights import WEIGHTS_FILE

__all__ = ["published", "recipe_of", "record_path", "recorded", "run", "run_folder"]

Progress = Callable[[int, int, dict[str, float]], None]


def recipe_of(arm: Arm, seed: int) -> Recipe:
    """The recipe of a run. Raises UnknownModelError; ConfigError for changes that do not fit."""
    changes = [change.replace(SEED, str(seed)) for change in arm.changes]
    return _seeded(override(registry.get(arm.entry).recipe, changes), seed)


def _seeded(recipe: Recipe, seed: int) -> Recipe:
    """The recipe, and those before it, with the seed."""
    after = recipe.after and _seeded(recipe.after, seed)
    return variant(recipe, after=after, seed=seed)


def slug(arm: Arm) -> str:
    """The arm's name as that of a folder."""
    return re.sub(r"[^a-z0-9]+", "_", arm.name.lower()).strip("_")


def run_folder(out: Path, arm: Arm, seed: int) -> Path:
    """Where a run lies."""
    return out / slug(arm) / str(seed)


def record_path(out: Path, arm: Arm, seed: int) -> Path:
    """Where a run's record lies."""
    return out / "records" / f"{slug(arm)}-{seed}.json"


def recorded(out: Path, arm: Arm, seed: int) -> dict[str, Any]:
    """The record of a run that has ended; {} for one that has not.

    Raises ConfigError where it was of another recipe.
    """
    record = read_optional(record_path(out, arm, seed))
    if record and record["recipe"] != digest(recipe_of(arm, seed)):
        raise ConfigError(
            f"{run_folder(out, arm, seed)} was run by another recipe than that of the arm "
            f"{arm.name!r} now: give the study another --out."
        )
    return record


def run(
    study: Study,
    arm: Arm,
    seed: int,
    out: Path,
    *,
    max_seconds: float = math.inf,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains and judges a run, or goes on with it; returns its record.

    max_seconds: of this call; a run that they stop has no record, and its status is "stopped".
    Raises what `zoo.training.train` and `zoo.evaluate` do, but for losses and figures that are not
    finite: these are how a run ended.
    """
    from zoo import training
    from zoo.training.records import ENDED
    from zoo.training.state import STATE_FILE

    if record := recorded(out, arm, seed):
        return record
    recipe, folder = recipe_of(arm, seed), run_folder(out, arm, seed)
    record = {"arm": arm.name, "seed": seed, "recipe": digest(recipe)}
    try:
        result = training.train(
            recipe,
            folder,
            name=arm.entry,
            resume=any(folder.rglob(STATE_FILE)),
            max_seconds=max_seconds,
            progress=progress,
        )
        if result.reason not in ENDED:
            return {**record, "status": "stopped", "error": result.reason}
        record |= {"status": "done", "reason": result.reason, **_judged(study, arm, recipe, folder)}
    except (NonFiniteLossError, CheckpointError) as error:
        if isinstance(error, CheckpointError) and type(error) is not CheckpointError:
            raise  # a folder that is damaged
        record |= {"status": "failed", "error": f"{type(error).__name__}: {error}"}
    write_json_atomic(record_path(out, arm, seed), record)
    return record


def _judged(study: Study, arm: Arm, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Figures of the test rows, and what the run's own record says."""
    from zoo.evaluation.evaluating import Subject, evaluate_subject

    subject = Subject(
        name=arm.entry,
        model=loading.load(folder),
        recipe=recipe,
        metrics=study.metrics,
        recorded=False,
    )
    found = evaluate_subject(subject)
    kept = ("step", "best_step", "best_validation_nats", "train_hours", "hardware")
    ended = read_object(folder / RUN_FILE)
    return {
        **{key: ended.get(key) for key in kept},
        "weights": sha256_of(folder / WEIGHTS_FILE),
        **{key: found[key] for key in ("dataset", "count", "protocol", "metrics", "software")},
    }


def published(study: Study, arm: Arm) -> dict[str, Any]:
    """The record of an entry's published weights, from its metrics.json; {} without weights."""
    folder = loading.local_folder(arm.entry)
    metrics = read_optional(folder / METRICS_FILE) if folder else {}
    if not metrics:
        return {}
    assert folder is not None  # noqa: S101
    kept = ("version", "dataset", "count", "protocol", "software", "hardware")
    return {
        "arm": arm.name,
        "seed": study.seeds[0],
        "recipe": digest(registry.get(arm.entry).recipe),
        "status": "done",
        "train_hours": read_optional(folder / RUN_FILE).get("train_hours"),
        **{key: metrics.get(key) for key in kept},
        "metrics": {name: metrics["metrics"][name] for name in study.metrics},
    }
