"""The card's figures, recomputed: the papers' protocols on the whole test set.

Which figures there are, what each needs and where it is computed says the table
`zoo.core.metric.METRICS`. A figure is the mean over the rows, with two standard errors of it; noise
is named by (seed, row): the same seed gives the same figures.
"""

from __future__ import annotations

import importlib
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import loading, registry
from zoo.core import metric, recipe_json
from zoo.core.capabilities import capabilities_of
from zoo.core.recipe import Recipe
from zoo.data import sources
from zoo.errors import CheckpointError, ConfigError, InvalidInputError
from zoo.evaluation import certificate, needs
from zoo.evaluation.statistics import rounded
from zoo.evaluation.task import Measured, Task
from zoo.ops.precision import float32_products
from zoo.store import pins
from zoo.store.files import read_object, read_optional, write_json_atomic
from zoo.store.folder import RECIPE_FILE, RUN_FILE, software_versions

__all__ = [
    "Subject",
    "evaluate",
    "evaluate_subject",
    "measure",
    "paper_of",
    "subject_of",
]

SLOW_ROWS = 100  # certified where a direction takes D network passes

BATCH_NUMBERS = 2**17


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model to be evaluated, and what is known of it.

    metrics: names of `zoo.core.metric`; () for the customary ones of such a model.
    paper: the figure to compare with, as `metrics.json` holds it.
    train_hours: None where unknown.   recorded: whether the result says them.
    """

    name: str
    model: Any
    recipe: Recipe
    version: int = 0
    metrics: tuple[str, ...] = ()
    paper: dict[str, Any] | None = None
    train_hours: float | None = None
    recorded: bool = True

    @property
    def capabilities(self) -> frozenset[str]:
        """What the model can do, and what its recipe brings."""
        return capabilities_of(self.model) | needs.things_of(self.recipe)

    def chosen_metrics(self) -> tuple[str, ...]:
        """The metrics asked for, or the customary ones.

        Raises ConfigError for metrics that the model or the recipe lacks something for.
        """
        chosen = self.metrics or metric.customary(self.capabilities)
        if not chosen:
            raise ConfigError(f"No metric is customary for {self.name}: it scores nothing.")
        if missing := metric.unmet(chosen, self.capabilities):
            name, lacking = next(iter(missing.items()))
            raise ConfigError(
                f"{name} needs {', '.join(sorted(metric.metric(name).needs))}; {self.name} lacks "
                f"{', '.join(lacking)}."
            )
        return chosen


@float32_products(exact=True)
def evaluate(
    name: str | os.PathLike[str],
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
    """Evaluates a model on a split of its recipe's dataset, in float32 on GPUs too.

    returns: what `metrics.json` holds.
    name: a registered name: its weights, dataset and the paper's figure. Or the path of a run's or
        a checkpoint's folder: its weights, on the dataset of its recipe.json; the metrics and the
        paper's figure are those of the registered name that run.json gives, else the customary ones
        of such a model.
    model: evaluates this model of the same family in place of the published weights.
    split: "train", "validation" or "test".   limit: only the first rows; 0 for all.
    batch_size: rows at a time; 0 for as many as make `BATCH_NUMBERS` numbers, at least 200.
    seed: of the dequantisation noise.   out: also writes the result there, as JSON.
    certify: also measures invertibility and log-determinants on the split's rows (on the first
        hundred where one direction is slow), and what the model says of other data
        (`zoo.evaluation.certificate`).
    progress: called after every batch with (rows done, rows in all).

    Raises UnknownModelError, DataError, CheckpointError; ConfigError for metrics that need what the
    model cannot do; InvalidInputError for sizes that are none.
    """
    if limit < 0 or batch_size < 0:
        raise InvalidInputError(
            f"Expected limit and batch_size of 0 or more; got {limit} and {batch_size}."
        )
    started = time.monotonic()
    result = evaluate_subject(
        subject_of(name, model=model),
        split,
        limit=limit,
        batch_size=batch_size,
        seed=seed,
        certify=certify,
        progress=progress,
        started=started,
    )
    if out:
        write_json_atomic(out, result)
    return result


def subject_of(name: str | os.PathLike[str], *, model: Any = None) -> Subject:
    """The published model of that name, that of a folder, or `model` in place of either."""
    if loading.is_folder(name):
        folder = Path(name).expanduser()
        loaded = loading.load(folder) if model is None else model
        run = read_optional(folder / RUN_FILE)
        entry = registry.ENTRIES.get(run.get("name", folder.resolve().name))
        return Subject(
            name=folder.resolve().name,
            model=loaded,
            recipe=recipe_json.from_dict(read_object(folder / RECIPE_FILE)),
            metrics=entry.metrics if entry else (),
            paper=paper_of(entry) if entry else None,
            train_hours=run.get("train_hours"),
            recorded=model is None,
        )
    name = str(name)
    entry = registry.get(name)
    published = model is None
    record: dict[str, Any] = {}
    if published:
        model = loading.load(name)
        record = read_optional((loading.local_folder(name) or Path()) / RUN_FILE)
    return Subject(
        name=name,
        version=pins.pins().get(name, {}).get("version", 1) if published else 0,
        model=model,
        recipe=entry.recipe,
        metrics=entry.metrics,
        paper=paper_of(entry),
        train_hours=record.get("train_hours"),
        recorded=published,
    )


@float32_products(exact=True)
def evaluate_subject(
    subject: Subject,
    split: str = "test",
    *,
    limit: int = 0,
    batch_size: int = 0,
    seed: int = 0,
    certify: bool = False,
    progress: Callable[[int, int], None] | None = None,
    started: float | None = None,
) -> dict[str, Any]:
    """`evaluate` for a model at hand.   started: by `time.monotonic`; now without."""
    started = time.monotonic() if started is None else started
    model, dataset = subject.model, subject.recipe.dataset
    names = subject.chosen_metrics()
    rows = sources.load_arrays(dataset, split)
    rows = rows.take(limit or rows.rows)
    task = Task(
        model=model,
        rows=rows,
        recipe=subject.recipe,
        batch_size=batch_size or max(200, BATCH_NUMBERS // model.data.size),
        seed=seed,
        progress=progress,
    )
    metrics, protocol = measure(task, names)
    result: dict[str, Any] = {
        "name": subject.name,
        "version": subject.version,
        "dataset": f"{dataset.name}:{dataset.version}",
        "split": split,
        "count": rows.rows,
        "protocol": protocol,
        "metrics": metrics,
        "paper": subject.paper,
        "software": software_versions(),
        "hardware": f"{os.cpu_count()} CPU cores",
        "wall_seconds": round(time.monotonic() - started, 1),
    }
    for name, value in metrics.items():
        if not math.isfinite(value["value"]):
            raise CheckpointError(
                f"{name} of {subject.name} on {dataset.name} is {value['value']}: under these "
                "weights some rows have no finite score."
            )
    if certify and certificate.applies(model):
        count = rows.rows if model.slow_direction == "none" else SLOW_ROWS
        certified = rows.take(min(count, rows.rows))
        labels = certified.context if model.context is not None else None
        result["certificate"] = certificate.certificate(model, certified.x, labels)
        result["slow_direction"] = model.slow_direction
        result["other_data"] = certificate.other_data(model, seed=seed)
    if subject.recorded:
        result["train_hours"] = subject.train_hours
    return result


def measure(task: Task, names: Iterable[str]) -> Measured:
    """The named metrics, in their order; each computing function runs once, for all of its own."""
    names = tuple(names)
    found: dict[str, Any] = {}
    protocols = []
    for where in dict.fromkeys(metric.metric(name).where for name in names):
        module, _, function = where.partition(":")
        compute = getattr(importlib.import_module(module), function)
        own = [name for name in names if metric.metric(name).where == where]
        values, protocol = compute(task, own)
        found |= values
        protocols.append(protocol)
    metrics = {name: rounded(found[name], metric.metric(name).digits) for name in names}
    return Measured(metrics, "; ".join(protocols))


def paper_of(entry: registry.Entry) -> dict[str, Any] | None:
    """The paper's figure as `metrics.json` holds it; None for none."""
    if entry.paper_value is None:
        return None
    return {"metric": entry.paper_metric, "value": entry.paper_value, "source": entry.paper_source}
