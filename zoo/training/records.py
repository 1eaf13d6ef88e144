"""What a run says of itself beside its weights: history.csv and run.json."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.store.files import read_object, write_json_atomic, write_text_atomic
from zoo.store.folder import RUN_FILE, software_versions

__all__ = [
    "ENDED",
    "HISTORY_FIELDS",
    "STAGE_FIELDS",
    "TrainingResult",
    "ended_by",
    "result_of",
    "write_history",
    "write_record",
]

HISTORY_FILE = "history.csv"
ENDED = ("finished", "early stopping")
"""How a run ends that its recipe has nothing more to say to."""

HISTORY_FIELDS = (
    "step",
    "epoch",
    "seconds",
    "learning_rate",
    "train_nats",
    "validation_nats",
    "validation_bits_per_dim",
    "rows_per_second",
)

STAGE_FIELDS = (
    "stage",
    "seconds",
    "train_nats",
    "validation_nats",
    "validation_bits_per_dim",
    "gain",
)
"""Of runs that fit in stages."""


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """How a run ended: `reason` is one of ENDED, "time limit", or "signal SIGTERM" and the like.

    unit: what its steps are, where they are stages.
    """

    folder: Path
    step: int
    epoch: int
    best_step: int
    best_validation_nats: float
    seconds: float
    reason: str
    unit: str = "step"


def write_history(
    folder: Path,
    history: Sequence[Mapping[str, Any]],
    fields: Sequence[str] = HISTORY_FIELDS,
) -> None:
    """Writes history.csv, a row a validation."""
    text = io.StringIO()
    table = csv.DictWriter(text, fields, lineterminator="\n")
    table.writeheader()
    table.writerows(history)
    write_text_atomic(folder / HISTORY_FILE, text.getvalue())


def result_of(
    folder: Path,
    *,
    reason: str,
    counters: Mapping[str, Any],
    steps_per_epoch: int,
    unit: str = "step",
) -> TrainingResult:
    """How a run with these counters ended."""
    return TrainingResult(
        folder=folder,
        step=counters["step"],
        epoch=counters["step"] // steps_per_epoch,
        best_step=counters["best_step"],
        best_validation_nats=counters["best_validation_nats"],
        seconds=counters["seconds"],
        reason=reason,
        unit=unit,
    )


def write_record(
    folder: Path,
    *,
    name: str,
    reason: str,
    counters: Mapping[str, Any],
    steps_per_epoch: int,
    software: Mapping[str, str] | None = None,
    unit: str = "step",
) -> TrainingResult:
    """Writes run.json: how the run began and ended, its hardware and (this process') software."""
    result = result_of(
        folder, reason=reason, counters=counters, steps_per_epoch=steps_per_epoch, unit=unit
    )
    best = result.best_validation_nats
    record = {
        "name": name,
        "reason": reason,
        "step": result.step,
        "epoch": result.epoch,
        "best_step": result.best_step,
        "best_validation_nats": best if math.isfinite(best) else None,
        "train_hours": round(result.seconds / 3600.0, 5),
        "hardware": " and ".join(counters["hardware"]),
        "started_from": counters.get("started_from"),
        "lineage": counters.get("lineage", []),
        "software": {**software_versions(), **(software or {})},
    }
    write_json_atomic(folder / RUN_FILE, record)
    return result


def ended_by(folder: Path) -> str:
    """The reason in a run's record; "" where there is none."""
    path = folder / RUN_FILE
    return str(read_object(path)["reason"]) if path.is_file() else ""
