"""A tiny NICE of six dimensions, and what tests of loading ask of it."""

from __future__ import annotations

import collections
import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest

NAME = "nice_tiny"
CONFIG = {"event_shape": [6], "num_couplings": 2, "hidden_units": [64, 65]}
METRICS = {
    "name": NAME,
    "metrics": {"bits_per_dim": {"value": 4.3625, "two_standard_errors": 0.0123}},
}
X = np.linspace(-2.0, 2.0, 18, dtype=np.float32).reshape(3, 6)


def assert_same(model: keras.Model, expected: keras.Model) -> None:
    np.testing.assert_array_equal(model.log_prob(X), expected.log_prob(X))


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def count_hashed(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[str]:
    """How often each file is hashed from now on, by its name."""
    counts: collections.Counter[str] = collections.Counter()
    digest = hashlib.file_digest

    def counting(stream, name):
        counts[Path(stream.name).name] += 1
        return digest(stream, name)

    monkeypatch.setattr(hashlib, "file_digest", counting)
    return counts
