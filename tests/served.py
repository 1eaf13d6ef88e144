"""Exports answered through TensorFlow's C API, in a process without its Python: for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import capi_client
import numpy as np
import pytest
import tensorflow as tf

from zoo.core.capabilities import Steps

Requests = Mapping[str, Mapping[str, np.ndarray]]


def answers(root: Path, jobs: Mapping[str, tuple[str, Requests]]) -> dict[str, dict[str, Any]]:
    """name -> request -> output -> array, for name -> (SavedModel's folder, requests).

    A request that fails is answered by `{"error": text}`.
    """
    library = Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2"
    if not library.is_file():
        pytest.skip(f"this TensorFlow has no {library.name}")
    folders = {name: root / f"capi-{name}" for name in jobs}
    for name, (saved_model, requests) in jobs.items():
        folders[name].mkdir()
        (folders[name] / "saved_model").symlink_to(Path(saved_model).resolve())
        flat = {f"{r}/{k}": np.asarray(v) for r, a in requests.items() for k, v in a.items()}
        np.savez(folders[name] / "requests.npz", **flat)
    done = subprocess.run(
        [sys.executable, capi_client.__file__, str(library), *map(str, folders.values())],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: _grouped(folder / "answers.npz") for name, folder in folders.items()}


def expected(model: Any, batch: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """signature -> output -> what the model's public methods give for a batch of every input."""
    context = batch.get("context")

    def drawn() -> np.ndarray:
        rows = []
        for row, (seed, temperature) in enumerate(
            zip(batch["seed"], batch["temperature"], strict=True)
        ):
            own = None if context is None else context[row : row + 1]
            rows.append(model.sample(1, seed=seed, temperature=float(temperature), context=own))
        return np.concatenate(rows)

    def imputed() -> np.ndarray:
        rows = [
            model.impute(
                batch["x"][row : row + 1],
                observed=batch["observed"][row : row + 1] == 1,
                seed=batch["seed"][row],
                temperature=float(batch["temperature"][row]),
            )
            for row in range(len(batch["x"]))
        ]
        return np.concatenate(rows)

    methods = {
        "log_prob": lambda: {
            "log_prob": model.log_prob(batch["x"], context),
            "bits_per_dim": model.bits_per_dim(batch["x"], context),
        },
        "elbo": lambda: {"elbo": model.elbo(batch["x"], context)},
        "reconstruct": lambda: {"x": model.reconstruct(batch["x"], context)},
        "encode": lambda: {"z": model.encode(batch["x"], context)},
        "decode": lambda: {"x": model.decode(batch["z"], context)},
        "sample": lambda: {"x": drawn()},
        "impute": lambda: {"x": imputed()},
    }
    if isinstance(model, Steps):  # the state is tested in tests/exporting
        methods["sample_step"] = lambda: {"x": drawn()[:, : model.step_size]}
    return {name: methods[name]() for name in model.serving_signatures()}


def _grouped(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with np.load(path) as file:
        for name in file.files:
            request, _, output = name.partition("/")
            value = file[name]
            found.setdefault(request, {})[output] = str(value) if output == "error" else value
    return found


def assert_close(actual: np.ndarray, expected: Any, tolerance: float = 1e-5) -> None:
    """Floats within the tolerance, relative to the largest; an integer may be the next one.

    Grey levels and 16-bit samples are rounded floats, which two compilations round differently.
    """
    expected = np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if np.issubdtype(actual.dtype, np.integer):
        difference = np.abs(actual.astype(int) - expected.astype(int))
        assert difference.max(initial=0) <= 1
        assert np.mean(difference > 0) <= 0.05
        return
    scale = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)
