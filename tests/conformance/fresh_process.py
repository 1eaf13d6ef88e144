"""What a new process makes of saved models: it knows their files, and nothing of the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

import zoo  # noqa: F401  (registers the classes)


def load_and_score(folder: Path, names: Sequence[str]) -> None:
    """Scores the rows of `<name>.npz` and draws, with the model of `<name>.keras`."""
    for name in names:
        model = keras.saving.load_model(folder / f"{name}.keras")
        model._run = lambda unused_name, function, **arrays: function(**arrays)  # without a graph
        with np.load(folder / f"{name}.npz") as data:
            labels = data.get("labels")
            score = model.log_prob(data["x"], labels)
        same = None if labels is None else labels[:1].repeat(3, 0)
        np.savez(
            folder / f"{name}_loaded.npz",
            score=score,
            sample=model.sample(3, seed=5, context=same),
            config=repr(model.get_config()["config"]),
        )
