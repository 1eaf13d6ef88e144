"""Every registered recipe, at its own size, can be exported for accelerators."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from zoo import registry
from zoo.core.recipe import Distillation, variant
from zoo.data import sources
from zoo.training import portable
from zoo.training.portable import exporting

# A student's step holds its teacher's weights: it is exported once those are published.
NAMES = [
    name
    for name, entry in registry.ENTRIES.items()
    if entry.recipe.training.shares_batches  # there is a step
    and not isinstance(entry.recipe.objective, Distillation)
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_registered_recipe_can_be_exported(
    name: str, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = registry.get(name).recipe
    config = recipe.config
    shape = (recipe.training.batch_size, *config["event_shape"])
    x = rng.normal(size=shape).astype("float32")
    if config.get("preprocessing", {}).get("num_levels"):
        x = rng.integers(0, 256, shape).astype("uint8")
    if "num_classes" in config:
        x = rng.integers(0, np.min(config["num_classes"]), shape).astype("uint8")
    if recipe.family == "wavenet":
        x = rng.integers(-9000, 9000, shape).astype("int16")
    classes = config.get("context_size", 0)
    context = rng.integers(0, classes, len(x)).astype("int32") if classes else None
    if bands := config.get("mel_bins", 0):
        frames = config["event_shape"][0] // config["frame_size"]
        context = rng.random((len(x), frames, bands)).astype("float32")
    monkeypatch.setattr(sources, "load_arrays", lambda *_, **__: sources.Arrays(x, context))

    folder = portable.export_step(
        variant(recipe, initialization_rows=min(recipe.training.initialization_rows, 16)),
        tmp_path / "step",
        name=name,
        run_folder=tmp_path / "run",
        platforms=["cuda", "tpu", "cpu"],
    )

    manifest = json.loads((folder / exporting.MANIFEST_FILE).read_text())
    with jax.enable_x64(True):
        for entry in manifest["functions"].values():
            exported = jax.export.deserialize(bytearray((folder / entry["file"]).read_bytes()))
            assert exported.platforms == ("cuda", "tpu", "cpu")
            assert not exported.disabled_safety_checks
    parts = [*manifest["state"]["parts"], *manifest["data"]["train"]["parts"]]
    assert max(part["size"] for part in parts) <= exporting.PART_BYTES
