"""Every checkpoint that the registry pins: present, unchanged, and a model that answers."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo import checkpointing, loading, registry
from zoo.data import sample_labels, samples
from zoo.data.samples import sample_names


def test_every_pinned_name_has_an_entry_and_a_sound_pin() -> None:
    assert set(registry.pins()) <= set(registry.ENTRIES)
    for pin in registry.pins().values():
        assert pin["version"] >= 1
        assert {"config.json", "recipe.json", "model.weights.h5"} <= set(pin["files"])
        for file in pin["files"].values():
            assert len(file["sha256"]) == 64
            assert file["size"] > 0


@pytest.mark.parametrize("name", zoo.list_models(pretrained=True))
def test_published_models_load_and_score_rows(name: str, require_checkpoint) -> None:
    folder = require_checkpoint(name)
    assert loading.resolve(name) == folder
    assert checkpointing.verify_sha256sums(folder)
    model = zoo.load(name)
    info = zoo.info(name)
    assert info.num_parameters == model.count_params()
    assert info.event_shape == model.config.event_shape
    dataset = info.dataset.partition(":")[0]
    labels = sample_labels(dataset)[:8] if model.config.context_size else None
    if model.data_dtype == "int16" and model.slow_direction == "density":
        clips = model.sample(8, seed=0, context=labels)  # its densities take a pass a sample
        assert clips.dtype == np.int16
        assert (np.std(clips, -1) > 10.0).all()
        return
    # Real ones where the package may hold them, else the model's own.
    in_package = dataset in sample_names()
    rows = samples(dataset)[:8] if in_package else model.sample(8, seed=0, context=labels)
    scores = np.asarray(model.log_prob(rows, labels))
    assert scores.shape == (8,)
    assert np.isfinite(scores).all()
