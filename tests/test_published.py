"""Every checkpoint that the registry pins: present, unchanged, and a model that answers."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo import loading, registry
from zoo.core import recipe_json
from zoo.data import sample_labels
from zoo.evaluation import golden
from zoo.store.files import read_json
from zoo.store.hashes import verify_sha256sums


def test_every_pinned_name_has_an_entry_and_a_sound_pin() -> None:
    assert set(registry.pins()) <= set(registry.ENTRIES)
    for pin in registry.pins().values():
        assert pin["version"] >= 1
        assert {"config.json", "recipe.json", "model.weights.h5"} <= set(pin["files"])
        for file in pin["files"].values():
            assert len(file["sha256"]) == 64
            assert file["size"] > 0


@pytest.mark.parametrize("name", list(registry.ENTRIES))
def test_an_entry_says_that_it_has_no_weights_where_it_has_none(name: str) -> None:
    entry = registry.ENTRIES[name]
    says = "No published weights" in f"{entry.description} {entry.limitations}"
    assert says == (name not in registry.pins())


@pytest.mark.parametrize("name", zoo.list_models(pretrained=True))
def test_published_models_load_and_score_rows(name: str, require_checkpoint) -> None:
    folder = require_checkpoint(name)
    assert loading.resolve(name) == folder
    assert verify_sha256sums(folder)
    recipe = recipe_json.from_dict(read_json(folder / "recipe.json"))
    assert recipe == registry.get(name).recipe  # `zoo train` of the name gives these weights
    model = zoo.load(name)
    info = zoo.info(name)
    assert info.num_parameters == model.count_params()
    assert info.event_shape == model.config.event_shape
    stored = golden.read(folder)
    if "log_prob" not in stored:  # a density that takes a pass a sample
        clips = model.sample(8, seed=0, context=sample_labels("spoken_digit")[:8])
        assert clips.dtype == np.int16
        assert (np.std(clips, -1) > 10.0).all()
        return
    expected = stored["log_prob"]
    scores = np.asarray(model.log_prob(stored["x"], stored.get("context")))
    assert scores.shape == expected.shape == (golden.ROWS,)
    limit = golden.TOLERANCES["log_prob"] * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(scores, expected, rtol=0, atol=limit)
