"""Runs the folder that `zoo export NAME --format stablehlo` writes, where this file lies.

    from jax_reader import load

    model = load(".")
    model.log_prob(x)                   # [rows] nats of rows as stored
    model.sample(16, seed=0)            # rows in the data's units
    model.call("encode", x=x)["z"]      # any signature of signatures.json

It needs JAX, with the flatbuffers that `jax.export` reads by, and NumPy, and neither TensorFlow nor
the zoo. The artefacts take batches of one size: rows are cut into such, and the last is filled up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["WEIGHTS_FILE", "Model", "artefact", "in_batches", "load"]

WEIGHTS_FILE = "weights.npz"
MANIFEST_FILE = "signatures.json"

Call = Callable[..., Mapping[str, Any]]


def load(folder: Any) -> Model:
    """The model of a folder."""
    return Model(Path(folder))


class Model:
    """Signatures over weights; an artefact is read, and compiled by XLA, at its first call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        with np.load(folder / WEIGHTS_FILE) as file:
            self.weights = dict(file)
        self._calls: dict[str, Call] = {}

    def log_prob(self, x: Any, context: Any = None) -> np.ndarray:
        """log p(x) in nats: [rows]."""
        given = {"x": x} if context is None else {"x": x, "context": context}
        return self.call("log_prob", **given)["log_prob"]

    def sample(
        self, num_samples: int, seed: int = 0, temperature: float = 1.0, context: Any = None
    ) -> np.ndarray:
        """Rows, each by a seed of its own.   context: labels [num_samples], or one for all."""
        given: dict[str, Any] = {
            "seed": np.stack([np.full(num_samples, seed), np.arange(num_samples)], -1),
            "temperature": np.full(num_samples, temperature),
        }
        if context is not None:
            given["context"] = np.broadcast_to(context, (num_samples,))
        return self.call("sample", **given)["x"]

    def call(self, name: str, **inputs: Any) -> dict[str, np.ndarray]:
        """Any signature. Raises ValueError for inputs that are not those of the manifest."""
        fields = self.manifest["signatures"][name]["inputs"]
        if set(inputs) != set(fields):
            raise ValueError(f"{name} takes {', '.join(fields)}; got {', '.join(inputs)}.")
        arrays = [np.asarray(inputs[key], field["dtype"]) for key, field in fields.items()]
        if name not in self._calls:
            self._calls[name] = artefact(self.folder / f"{name}.jax")
        size = self.manifest["batch_size"]
        return in_batches(self._calls[name], self.weights, arrays, size)


def artefact(path: Path) -> Call:
    """The compiled function of a file: (weights, *inputs) -> outputs by name."""
    import jax
    import jax.export

    return jax.jit(jax.export.deserialize(bytearray(path.read_bytes())).call)


def in_batches(
    call: Call, weights: Mapping[str, Any], arrays: Sequence[np.ndarray], size: int
) -> dict[str, np.ndarray]:
    """The outputs of all rows, by calls of `size` rows each; the last one repeats its last row."""
    rows, parts = len(arrays[0]), []
    for start in range(0, rows, size):
        index = np.minimum(np.arange(start, start + size), rows - 1)
        parts.append(call(dict(weights), *(array[index] for array in arrays)))
    return {
        name: np.concatenate([np.asarray(part[name]) for part in parts])[:rows] for name in parts[0]
    }
