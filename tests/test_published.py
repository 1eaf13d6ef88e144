"""Every checkpoint that the registry pins: present, unchanged, and a model that answers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import zoo
from zoo import loading, models, registry
from zoo.core import recipe_json
from zoo.data import sample_labels
from zoo.evaluation import golden
from zoo.store import pins
from zoo.store.files import read_json
from zoo.store.hashes import verify_sha256sums


def test_every_pinned_name_has_an_entry_and_a_sound_pin() -> None:
    assert set(pins.pins()) <= set(registry.ENTRIES)
    for pin in pins.pins().values():
        assert pin["version"] >= 1
        assert {"config.json", "recipe.json", "model.weights.h5"} <= set(pin["files"])
        for file in pin["files"].values():
            assert len(file["sha256"]) == 64
            assert file["size"] > 0


@pytest.mark.parametrize("name", list(registry.ENTRIES))
def test_an_entry_says_that_it_has_no_weights_where_it_has_none(name: str) -> None:
    entry = registry.ENTRIES[name]
    says = "No published weights" in f"{entry.description} {entry.limitations}"
    assert says == (name not in pins.pins())


@pytest.mark.parametrize("name", zoo.list_models(pretrained=True))
def test_published_models_load_and_score_rows(name: str, require_checkpoint) -> None:
    folder = require_checkpoint(name)
    assert loading.resolve(name) == folder
    assert verify_sha256sums(folder)
    recipe = recipe_json.from_dict(read_json(folder / "recipe.json"))
    # `zoo train` of the name gives these weights.
    assert recipe_json.digest(recipe) == recipe_json.digest(registry.get(name).recipe)
    model = zoo.load(name)
    entry = registry.get(name)
    assert model.family == entry.family
    config_class = models.model_class(entry.family).config_class
    assert model.config == config_class.from_dict(entry.recipe.config)
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


def test_no_published_file_is_hashed_twice(require_checkpoint, hashed) -> None:
    require_checkpoint("nice_mnist")
    zoo.load("nice_mnist")
    assert hashed == dict.fromkeys(pins.pins()["nice_mnist"]["files"], 1)


@pytest.mark.slow
def test_a_large_model_loads_in_a_moment(require_checkpoint) -> None:
    """CPU seconds of a new process over the import of TensorFlow; the best of three."""
    require_checkpoint("nice_mnist")
    code = (
        "import sys, time, tensorflow; start = time.process_time(); import zoo; "
        "zoo.load('nice_mnist'); seconds = time.process_time() - start; "
        "assert 'tensorflow_probability' not in sys.modules; print(seconds)"
    )
    run = [sys.executable, "-c", code]
    seconds = [float(subprocess.run(run, capture_output=True, check=True).stdout) for _ in "123"]
    assert min(seconds) < 1.2
