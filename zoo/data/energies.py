"""Draws from the densities exp(-U) / Z of `zoo.data.targets.plane`, as datasets: made, not stored.

Rejection from the uniform density on a box outside which less than 1e-10 of the mass lies: the
rows are independent exact draws. They are a pure function of the name and the split.
"""

from __future__ import annotations

import numpy as np

from zoo.core.data import Rows
from zoo.errors import DataError

__all__ = ["PREFIX", "VERSION", "is_energy", "read_split"]

PREFIX = "energy_"
VERSION = "1.0.0"
ROWS = {"train": 100_000, "validation": 10_000, "test": 20_000}
HALF_WIDTH = 11.0
PEAK = 2.0  # exp(-U) <= 2: each is one bump, or the sum of two
_BATCH = 1_000_000


def is_energy(dataset: Rows) -> bool:
    """Whether the dataset is drawn here."""
    return dataset.name.startswith(PREFIX)


def read_split(dataset: Rows, split: str) -> np.ndarray:
    """float32 [rows, 2]. Raises DataError for no energy, another version or split."""
    import tensorflow as tf

    from zoo.data.targets.plane import ENERGIES

    name = dataset.name.removeprefix(PREFIX)
    if name not in ENERGIES or dataset.version != VERSION or split not in ROWS:
        raise DataError(
            f"Expected one of {', '.join(PREFIX + known for known in ENERGIES)}, version "
            f"{VERSION}, and a split out of {', '.join(ROWS)}; got {dataset.name} "
            f"{dataset.version} [{split}]."
        )
    key = [list(ENERGIES).index(name), list(ROWS).index(split)]
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
    found: list[np.ndarray] = []
    while sum(map(len, found)) < ROWS[split]:
        points = generator.uniform(-HALF_WIDTH, HALF_WIDTH, (_BATCH, 2))
        accept = generator.uniform(0.0, PEAK, _BATCH)
        energy = ENERGIES[name](tf.constant(points)).numpy()
        found.append(points[accept < np.exp(-energy)].astype(np.float32))
    return np.concatenate(found)[: ROWS[split]]
