"""Golden outputs: what published weights answered when they were published, in `golden.npz`.

    x          a few rows, as the dataset stores them (shipped test rows, else the model's samples)
    context    their labels, for conditional models
    log_prob   [n] nats
    z          [n, latents], where the model has latents
    sample     one row drawn with seed 0; of a clip its beginning

A later version of the code, or another machine, has to give the same within `TOLERANCES`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.capabilities import Encodes
from zoo.data.samples import sample_labels, sample_names, samples
from zoo.errors import FormatError
from zoo.store.files import replacing

__all__ = [
    "GOLDEN_FILE",
    "TOLERANCES",
    "differences",
    "example_context",
    "golden",
    "read",
    "write",
]

GOLDEN_FILE = "golden.npz"
ROWS = 4
AUDIO_SAMPLES = 64  # of a drawn clip: later ones depend on every rounding before them

# |actual - golden| <= tolerance * max(1, max |golden|): densities and latents differ by rounding
# between machines; a sample is cut to grey levels, one of which may tip over.
TOLERANCES = {"log_prob": 1e-4, "z": 1e-3, "sample": 1e-2}


def golden(model: Any, dataset: str) -> dict[str, np.ndarray]:
    """The model's answers on the first shipped rows of `dataset`, or on draws of its own."""
    shape = tuple(model.config.event_shape)
    shipped = dataset in sample_names() and samples(dataset).shape[1:] == shape
    context = example_context(model, ROWS)
    if shipped and model.config.context_size:
        context = sample_labels(dataset)[:ROWS]
    x = samples(dataset)[:ROWS] if shipped else model.sample(ROWS, seed=1, context=context)
    x = np.asarray(x)
    answers = {"x": x, **_answers(model, x, context)}
    return answers if context is None else {**answers, "context": context}


def example_context(model: Any, number: int) -> np.ndarray | None:
    """A context for so many rows: the labels in turn, or the mean of what was learnt; or None."""
    space = model.context
    if space is None:
        return None
    encoder = getattr(model, "context_encoder", None)
    if encoder is not None and encoder.standardisation is not None:
        mean = np.asarray(encoder.standardisation.shift, space.dtype)
        return np.broadcast_to(mean, [number, *space.shape]).copy()
    if space.num_labels:
        return np.arange(number, dtype=np.int32) % space.num_labels
    return np.full([number, *space.shape], space.example, space.dtype)


def _answers(model: Any, x: np.ndarray, context: np.ndarray | None) -> dict[str, np.ndarray]:
    answers = {}
    audio = model.data.medium == "audio"
    if not audio or model.slow_direction != "density":  # a student's takes a pass a sample
        answers["log_prob"] = np.asarray(model.log_prob(x, context))
        if isinstance(model, Encodes):
            answers["z"] = np.asarray(model.encode(x, context))
    first = None if context is None else context[:1]
    sample = np.asarray(model.sample(1, seed=0, context=first))
    answers["sample"] = sample[:, :AUDIO_SAMPLES] if audio else sample
    return answers


def write(folder: str | os.PathLike[str], answers: dict[str, np.ndarray]) -> Path:
    """Writes `golden.npz` into a checkpoint folder, atomically."""
    path = Path(folder) / GOLDEN_FILE
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **answers)
    return path


def read(folder: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The content of a folder's `golden.npz`; {} where there is none. Raises FormatError."""
    path = Path(folder) / GOLDEN_FILE
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except Exception as error:  # zipfile, zlib and NumPy each have their own
        raise FormatError(f"{path} cannot be read ({error}): restore it.") from error


def differences(model: Any, expected: dict[str, np.ndarray]) -> dict[str, float]:
    """For each answer, its largest error in units of its tolerance: above 1 is another answer."""
    actual = _answers(model, expected["x"], expected.get("context"))
    result = {}
    for name, tolerance in TOLERANCES.items():
        if name not in expected:
            continue
        wanted = expected[name].astype(np.float64)
        found = actual[name].astype(np.float64)
        scale = tolerance * max(1.0, float(np.max(np.abs(wanted))))
        # A sample is compared on average: one tipped grey level is no other picture.
        reduce = np.mean if name == "sample" else np.max
        result[name] = float(reduce(np.abs(found - wanted))) / scale
    return result
