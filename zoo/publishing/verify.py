"""`zoo verify`: whether published checkpoints still are, and still answer, what they did.

files      every file has its pinned SHA-256
load       the model builds and takes all its weights
golden     the answers of `golden.npz` come again (`zoo.evaluation.golden`)
metrics    `zoo.evaluate` on the whole split gives the figures of metrics.json again
export     the exported SavedModel scores the golden rows as the model does
"""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zoo import loading, registry
from zoo.core import metric as metrics
from zoo.errors import DataError, ZooError
from zoo.evaluation import golden
from zoo.store import pins
from zoo.store.files import read_object

__all__ = ["CHECKS", "QUICK", "Check", "Verification", "verify"]

CHECKS = ("files", "load", "golden", "metrics", "export")
QUICK = CHECKS[:3]

EXPORT_TOLERANCE = 1e-5  # relative to the largest log_prob


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check's result; `detail` says what was compared, or what is wrong."""

    name: str
    status: Literal["ok", "failed", "skipped"]
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was found for one model."""

    name: str
    files: int
    bytes: int
    folder: str
    checks: tuple[Check, ...] = field(default_factory=tuple)

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.status != "failed" for check in self.checks)


def verify(name: str, checks: tuple[str, ...] = CHECKS) -> Verification:
    """Runs the checks, in their order, on a published model; the first that fails is the last.

    Raises UnknownModelError; everything else that is wrong is a failed check.
    """
    registry.get(name)
    files = pins.pins().get(name, {}).get("files", {})
    subject = _Subject(name)
    results = []
    for check in CHECKS:
        if check not in checks:
            continue
        try:
            results.append(Check(name=check, **_RUNNERS[check](subject)))
        except DataError as error:
            results.append(Check(name=check, status="skipped", detail=str(error)))
        except ZooError as error:
            results.append(Check(name=check, status="failed", detail=str(error)))
        if results[-1].status == "failed":
            break
    return Verification(
        name=name,
        files=len(files),
        bytes=sum(pin["size"] for pin in files.values()),
        folder=str(vars(subject).get("path", "")),
        checks=tuple(results),
    )


class _Subject:
    """A model under verification: its files are hashed once, and it is loaded once, when asked."""

    def __init__(self, name: str) -> None:
        self.name = name

    @functools.cached_property
    def path(self) -> Path:
        """The folder, whose files are those that are pinned."""
        return loading.resolve(self.name)

    @functools.cached_property
    def model(self) -> Any:
        """The model of that folder."""
        return loading.loaded(self.path)


Result = dict[str, Any]


def _files(subject: _Subject) -> Result:
    return {"status": "ok", "detail": str(subject.path)}


def _load(subject: _Subject) -> Result:
    return {"status": "ok", "detail": f"{subject.model.count_params():,} parameters"}


def _golden(subject: _Subject) -> Result:
    expected = golden.read(subject.path)
    if not expected:
        return {"status": "skipped", "detail": f"the checkpoint has no {golden.GOLDEN_FILE}"}
    return _judged(golden.differences(subject.model, expected), "largest error")


def _judged(errors: dict[str, float], what: str) -> Result:
    """Failed where an error, in units of its tolerance, is above 1 or NaN."""
    worst = max(errors, key=lambda key: math.inf if math.isnan(errors[key]) else errors[key])
    text = f"{what} {errors[worst]:.2g} of the tolerance, in {worst}"
    return {"status": "ok" if errors[worst] <= 1.0 else "failed", "detail": text}


def _metrics(subject: _Subject) -> Result:
    from zoo import evaluation

    stored = read_object(subject.path / "metrics.json")
    found = evaluation.evaluate(subject.name, stored["split"], model=subject.model)
    errors = {}
    for metric, value in stored["metrics"].items():
        part = metrics.metric(metric).tolerance
        tolerance = part * value.get("two_standard_errors", 0.0) or 1e-6
        errors[metric] = abs(found["metrics"][metric]["value"] - value["value"]) / tolerance
    return _judged(errors, "largest change")


def _export(subject: _Subject) -> Result:
    import tensorflow as tf

    from zoo import exporting

    expected = golden.read(subject.path)
    model = subject.model
    labels: dict[str, np.ndarray] = {}
    if model.context is not None:
        example = golden.example_context(model, 2)
        labels["context"] = np.asarray(expected.get("context", example), model.context.dtype)
    if "log_prob" in model.serving_signatures():
        # Without golden rows two are drawn.
        drawn = {} if "x" in expected else {"x": model.sample(2, seed=0, **labels)}
        name, output, tolerance = "log_prob", "log_prob", EXPORT_TOLERANCE
        inputs = {"x": np.asarray({**expected, **drawn}["x"])}
        values = model.log_prob(inputs["x"], labels.get("context"))
    else:  # what only speaks: audio of 16 bits, rounded
        rows = len(labels.get("context", np.zeros(2)))
        noise = np.random.default_rng(0).normal(size=(rows, model.config.event_size))
        name, output, tolerance = "decode", "x", 1e-3
        inputs = {"z": noise.astype(np.float32)}
        values = model.decode(inputs["z"], labels.get("context"))
    with tempfile.TemporaryDirectory() as folder:
        served = tf.saved_model.load(exporting.export(model, folder))
        inputs |= labels
        answers = served.signatures[name](**{k: tf.constant(v) for k, v in inputs.items()})
    expected_values = np.asarray(values, np.float64)
    difference = np.max(np.abs(answers[output].numpy().astype(np.float64) - expected_values))
    error = difference / max(1.0, np.abs(expected_values).max())
    return {
        "status": "ok" if error <= tolerance else "failed",
        "detail": f"{name} of the SavedModel differs by {error:.1g} relative",
    }


_RUNNERS: dict[str, Callable[[_Subject], Result]] = {
    "files": _files,
    "load": _load,
    "golden": _golden,
    "metrics": _metrics,
    "export": _export,
}
