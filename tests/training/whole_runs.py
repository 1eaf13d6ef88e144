"""What tests of runs share: a short run, and what a folder of one holds."""

from __future__ import annotations

import csv
import json
import math
import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tiny_runs

from zoo.core.recipe import Optimizer, variant

TIMES = ("seconds", "rows_per_second")  # all that may differ between two runs of one recipe

# Where the runs of `tiny_runs` are stopped: name, a step in this range, and by which signal.
STOPS = (
    ("nice", (20, 120), signal.SIGTERM),
    ("nice", (200, 320), signal.SIGKILL),
    ("realnvp", (20, 320), signal.SIGKILL),
    ("maf", (20, 320), signal.SIGKILL),
)


def state_of(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(meta without what a clock decides, arrays) of a run's state."""
    with np.load(folder / "state.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(bytes(arrays.pop("meta")))
    del meta["counters"]["seconds"]
    for row in meta["history"]:
        for key in TIMES:
            del row[key]
    return meta, arrays


def assert_same_run(actual: Path, expected: Path) -> None:
    """Every weight, moment, average, counter and figure is the same, bit for bit."""
    meta, arrays = state_of(actual)
    expected_meta, expected_arrays = state_of(expected)
    assert meta == expected_meta
    assert arrays.keys() == expected_arrays.keys()
    for key, array in arrays.items():
        assert array.dtype == expected_arrays[key].dtype
        assert array.tobytes() == expected_arrays[key].tobytes(), key
    best, expected_best = best_weights(actual), best_weights(expected)
    assert best.keys() == expected_best.keys()
    for key, array in best.items():
        assert array.tobytes() == expected_best[key].tobytes(), key
    rows = [read_history(folder) for folder in (actual, expected)]
    assert rows[0] == rows[1]


def best_weights(folder: Path) -> dict[str, np.ndarray]:
    arrays = {}

    def collect(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            arrays[name] = node[()]

    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(collect)
    assert arrays
    return arrays


def read_history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


SHORT = variant(
    tiny_runs.RECIPES["nice"],
    data=tiny_runs.RECIPES["nice"].dataset,
    max_epochs=10,
    validate_every=7,
)
SHORT_STEPS = 10 * tiny_runs.STEPS_PER_EPOCH


def scheduled_rate(optimizer: Optimizer, step: int, total_steps: int) -> float:
    """The learning rate's closed form, in float64."""
    rate = optimizer.learning_rate
    if optimizer.warmup_steps:
        rate *= min(1.0, (step + 1) / optimizer.warmup_steps)
    if optimizer.schedule == "cosine":
        low = optimizer.final_fraction
        rate *= low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * min(step / total_steps, 1.0)))
    return rate
