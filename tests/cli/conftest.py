"""Tiny published models, and rows for them, for every command."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoints


@pytest.fixture(autouse=True)
def published(master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny checkpoints under `$ZOO_CHECKPOINTS`; the working folder is empty."""
    root, pins = master
    tiny_checkpoints.register(pins, monkeypatch, install=tmp_path / "install")
    monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path / "published"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return Path(shutil.copytree(root, tmp_path / "published"))


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, [7, 4, 4, 1], dtype=np.uint8)


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=[7, 5]).astype(np.float32)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows in place of the datasets: 32 for training, 16 for each of the other splits."""
    from zoo.data import sources

    splits = {
        split: rng.integers(0, 256, [count, 4, 4, 1], dtype=np.uint8)
        for split, count in (("train", 32), ("validation", 16), ("test", 16))
    }
    monkeypatch.setattr(
        sources, "load_arrays", lambda dataset, split, **unused: sources.Arrays(splits[split])
    )
    return splits
