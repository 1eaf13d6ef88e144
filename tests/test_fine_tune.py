"""Fine-tuning: freezing, the tool and what it leaves, a recipe that starts from other weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import fine_tune
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_checkpoints
import tiny_runs
import yaml

import zoo
from zoo import training
from zoo.core import recipe as recipes
from zoo.core.recipe import variant
from zoo.data import sources
from zoo.errors import InvalidInputError
from zoo.store.hashes import sha256_of, verify_sha256sums


@pytest.fixture
def _published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny published models, and rows of two labels: label 1 is all bright."""
    pins = tiny_checkpoints.publish(tmp_path / "published")
    tiny_checkpoints.register(pins, monkeypatch, install=tmp_path / "install")
    monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path / "published"))

    def rows(dataset: Any, split: str, **_: Any) -> sources.Arrays:
        rng = np.random.default_rng(len(split))
        label = np.arange(64, dtype="int32") % 2
        label = label[np.isin(label, dataset.labels or (0, 1))]
        x = rng.integers(0, 40, (len(label), 4, 4, 1)) + 200 * label[:, None, None, None]
        return sources.Arrays(x.astype("uint8"), label if dataset.context else None)

    monkeypatch.setattr(sources, "load_arrays", rows)
    monkeypatch.chdir(tmp_path)


def run(*arguments: object) -> int:
    return fine_tune.main([str(a) for a in arguments])


@pytest.mark.usefixtures("_published")
def test_the_tool_tunes_saves_exports_and_describes(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--labels", 1, "--freeze", "^coupling_0/", "--learning-rate", 0.01)
    assert run("tiny_images", *options, "--epochs", 4, "--batch-size", 8, "--out", "tuned") == 0
    assert "after: " in capsys.readouterr().out

    facts = json.loads(Path("tuned/fine_tuning.json").read_text())
    assert (facts["train_rows"], facts["validation_rows"]) == (32, 32)  # one label of two
    assert facts["after"] < facts["before"] - 0.1

    tuned, base = zoo.load("./tuned"), zoo.load("tiny_images")
    for ours, theirs in zip(tuned.trainable_variables, base.trainable_variables, strict=True):
        same = np.array_equal(ours.numpy(), theirs.numpy())
        assert same == ours.path.startswith("coupling_0/"), ours.path
    bright = np.full((3, 4, 4, 1), 220, "uint8")
    expected = tuned.log_prob(bright).numpy()
    whole = keras.saving.load_model("tuned/model.keras")
    np.testing.assert_allclose(whole.log_prob(bright), expected, rtol=1e-6)
    assert int(whole.optimizer.iterations) > 0
    assert not any(v.path.startswith("coupling_0/") for v in whole.trainable_variables)
    (saved,) = Path("tuned/export").glob("*/1/saved_model.pb")
    served = tf.saved_model.load(str(saved.parent)).signatures["log_prob"]
    np.testing.assert_allclose(served(x=tf.constant(bright))["log_prob"], expected, rtol=1e-4)

    card = Path("tuned/card.md").read_text()
    _, matter, body = card.split("---\n", 2)
    matter = yaml.safe_load(matter)
    assert (matter["base_model"], matter["base_model_relation"]) == ("tiny_images", "finetune")
    pins = sha256_of("published/tiny_images/model.weights.h5")
    assert pins in body
    assert f"| this model | {facts['after']:.4f} |" in body
    assert verify_sha256sums("tuned")


@pytest.mark.usefixtures("_published")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tiny_images", "--dataset", "other"), "NAME:VERSION, as mnist:3.0.1; got 'other'"),
        (("tiny_recipe",), "no published weights"),
        (("tiny_images", "--freeze", "nowhere"), "found in none of the trainable weights'"),
    ],
)
def test_the_tool_refuses(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "--out", "tuned") == 1
    assert message in capsys.readouterr().err
    assert not Path("tuned").exists()


@pytest.mark.usefixtures("_published")
def test_the_tool_overwrites_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("published/tiny_images", "there")
    assert run("tiny_images", "--out", "there") == 1
    assert "there is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "Expected a regular expression"),
        ("nowhere", r"found in none of the trainable weights' paths, such as coupling_0/"),
        ("", "found in all of the trainable weights'"),
    ],
)
def test_freeze_refuses(pattern: str, message: str) -> None:
    model = zoo.create("nice", event_shape=(3,), hidden_units=(4,), num_couplings=2)
    before = len(model.trainable_variables)
    with pytest.raises(InvalidInputError, match=message):
        model.freeze(pattern)
    assert len(model.trainable_variables) == before


def test_frozen_weights_of_a_recipe_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "load_arrays", tiny_runs.load_arrays)
    base = variant(tiny_runs.RECIPES["nice"], max_epochs=2)
    training.train(base, tmp_path / "base")
    recipe = recipes.override(base, ["frozen=^coupling_0/", "max_epochs=4"])
    weights = tmp_path / "base" / "model.weights.h5"
    training.train(recipe, tmp_path / "tuned", initial_weights=weights)
    models = [zoo.load(str(tmp_path / name)) for name in ("base", "tuned")]
    for first, second in zip(*(m.trainable_variables for m in models), strict=True):
        same = np.array_equal(first.numpy(), second.numpy())
        assert same == first.path.startswith("coupling_0/"), first.path
