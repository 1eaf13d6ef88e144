"""What a study found, as one JSON value: every run, those that failed too, and the floors."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

from zoo.core.recipe_json import to_dict
from zoo.core.study import Floor, Study
from zoo.store.files import read_optional, write_json_atomic
from zoo.studies import runs

__all__ = ["RESULTS", "collect", "is_complete", "pending", "read_all"]

RESULTS = Path("benchmarks", "studies")
"""Where a checkout keeps the results, a file a study."""


def pending(study: Study, out: Path) -> list[tuple[str, int]]:
    """(arm, seed) of the runs without a record, the seeds in turn."""
    return [
        (arm.name, seed)
        for seed in study.seeds
        for arm in study.arms
        if not runs.recorded(out, arm, seed)
    ]


def collect(study: Study, out: Path, *, floors: bool = True) -> dict[str, Any]:
    """The results so far.   floors: whether those are computed that are not known yet."""
    found = []
    for arm in study.arms:
        for seed in study.seeds:
            record = (
                runs.published(study, arm) if study.published else runs.recorded(out, arm, seed)
            )
            found.append(record or {"arm": arm.name, "seed": seed, "status": "missing"})
    return {
        "study": study.name,
        "published": study.published,
        "metrics": list(study.metrics),
        "seeds": list(study.seeds),
        "arms": {
            arm.name: {"entry": arm.entry, "changes": list(arm.changes)} for arm in study.arms
        },
        "runs": found,
        "floors": [
            {"floor": floor.name, "seed": seed, "metrics": figures}
            for floor in study.floors
            for seed in study.seeds
            if (figures := _floor(study, floor, seed, out, compute=floors))
        ],
    }


def _floor(study: Study, floor: Floor, seed: int, out: Path, *, compute: bool) -> dict[str, Any]:
    """A floor's figures, kept by its dataset; {} where they are not known."""
    dataset = runs.recipe_of(study.arms[0], seed).dataset
    values = json.dumps([floor.where, to_dict(dataset)], sort_keys=True)  # type: ignore[arg-type]
    path = out / "records" / f"floor-{hashlib.sha256(values.encode()).hexdigest()[:16]}.json"
    figures = read_optional(path)
    if not figures and compute:
        module, _, function = floor.where.partition(":")
        found = getattr(importlib.import_module(module), function)(dataset)
        figures = {name: found[name] for name in study.metrics if name in found}
        write_json_atomic(path, figures)
    return figures


def is_complete(results: dict[str, Any]) -> bool:
    """Whether every run has ended, well or not."""
    return all(run["status"] in ("done", "failed") for run in results["runs"])


def read_all(root: Path) -> dict[str, dict[str, Any]]:
    """{study: results} of a checkout's files."""
    folder = root / RESULTS
    return {path.stem: read_optional(path) for path in sorted(folder.glob("*.json"))}
