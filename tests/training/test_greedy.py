"""Fitting in stages: one loop for `fit` and `zoo train`, its files, resumption and refusals."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tiny import TINY, plain

import zoo
from zoo import models, training
from zoo.core.recipe import Descent, Greedy, Recipe, Rows, override, variant
from zoo.core.recipe_json import from_dict, to_dict
from zoo.data import sources
from zoo.errors import ConfigError, InvalidInputError, TrainingError
from zoo.media import plots
from zoo.training import portable
from zoo.training.records import STAGE_FIELDS

ROWS = Rows(name="rows", version="1.0.0", train="train", validation="validation", test="test")
DTF = Recipe(family="dtf", config=plain("dtf"), data=ROWS, training=Greedy(layers=3))
DDF = Recipe(
    family="ddf",
    config=plain("ddf"),
    data=ROWS,
    training=Greedy(layers=2, descent=Descent(learning_rate=1e-2, batch_size=32, epochs=3)),
)
TIMES = ("seconds",)


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Rows of four categories that hang together: uint8 [count, 4]."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 3, count)
    x = np.stack([first, (first + 1) % 3, rng.integers(0, 3, count), first // 2], axis=1)
    noise = rng.random(x.shape) < 0.1
    return np.where(noise, rng.integers(0, 3, x.shape), x).astype("uint8")


def load_arrays(_: Rows, split: str, **__: object) -> sources.Arrays:
    """In place of a dataset."""
    return sources.Arrays(rows({"train": 200, "validation": 60}[split], len(split)))


@pytest.fixture(autouse=True)
def made_up_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"train": 200, "validation": 60}
    monkeypatch.setattr(
        sources,
        "load_arrays",
        lambda _, split, **__: sources.Arrays(rows(counts[split], len(split))),
    )


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "load_arrays", load_arrays)
        folder = tmp_path_factory.mktemp("greedy") / "ddf"
        result = training.train(DDF, folder)
    assert (result.reason, result.step) == ("finished", 2)
    return folder


def test_a_run_leaves_what_others_read(undisturbed: Path, tmp_path: Path) -> None:
    found = history(undisturbed)
    assert [row["stage"] for row in found] == ["0", "1", "2"]
    assert set(found[0]) == set(STAGE_FIELDS) - set(TIMES)
    nats = [float(row["validation_nats"]) for row in found]
    model = zoo.load(undisturbed)
    assert model.stages_done == int(np.argmin(nats))
    scored = -np.mean(model.log_prob(sources.load_arrays(ROWS, "validation").x))
    assert scored == pytest.approx(min(nats), rel=1e-6)
    picture = plots.history(undisturbed, tmp_path / "stages.png")
    assert picture.stat().st_size > 2000
    assert set(plots.read_history(undisturbed)) == set(STAGE_FIELDS)


@pytest.mark.parametrize("moment", [(0, 2), (1, 3)])
def test_a_run_that_is_stopped_in_a_stage_ends_with_the_same_weights(
    undisturbed: Path, tmp_path: Path, moment: tuple[int, int]
) -> None:
    """Killed after so many reports of a stage: the state on the disk is that before the stage."""

    class Killed(BaseException):
        pass

    reports: dict[int, int] = {}

    def progress(step: int, _: int, values: dict[str, float]) -> None:
        reports[step] = reports.get(step, 0) + 1
        if (step, reports[step]) == moment:
            raise Killed

    folder = tmp_path / "run"
    with pytest.raises(Killed):
        training.train(DDF, folder, progress=progress)
    with pytest.raises(TrainingError, match="use --resume"):
        training.train(DDF, folder)
    assert training.train(DDF, folder, resume=True).reason == "finished"
    assert history(folder) == history(undisturbed)
    ours, theirs = zoo.load(folder), zoo.load(undisturbed)
    for one, two in zip(ours.weights, theirs.weights, strict=True):
        assert_array_equal(one.numpy(), two.numpy())


def test_fit_is_the_run(undisturbed: Path) -> None:
    keras.utils.set_random_seed(0)  # the run's
    model = models.create("ddf", **TINY["ddf"])
    parts = [sources.load_arrays(ROWS, split).x for split in ("train", "validation")]
    assert isinstance(DDF.training, Greedy)
    told = model.fit(
        parts[0], validation_data=parts[1], descent=DDF.training.descent, verbose=0
    ).history
    found = history(undisturbed)
    assert told["val_loss"] == [float(row["validation_nats"]) for row in found]
    assert told["loss"] == [float(row["train_nats"]) for row in found]
    assert told["gain"] == [float(row["gain"]) for row in found]
    assert_array_equal(model.log_prob(parts[1]), zoo.load(undisturbed).log_prob(parts[1]))


def test_a_time_limit_ends_a_stage_and_a_run_goes_on_to_more_layers(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert training.train(DTF, folder, max_seconds=0.0).reason == "time limit"
    short = variant(DTF, layers=1)
    assert training.train(short, folder, resume=True).step == 1
    assert training.train(DTF, folder, resume=True).step == 3
    whole = tmp_path / "whole"
    assert training.train(DTF, whole).step == 3
    assert history(folder) == history(whole)


def test_patience_ends_a_run_and_the_best_stages_stay(tmp_path: Path) -> None:
    recipe = variant(
        DTF,
        config={**DTF.config, "num_trees": 12, "min_samples_split": 2, "max_depth": 4},
        layers=12,
        patience=2,
    )
    result = training.train(recipe, tmp_path / "run")
    nats = [float(row["validation_nats"]) for row in history(tmp_path / "run")]
    assert result.reason == "early stopping"
    assert result.best_step == int(np.argmin(nats)) == len(nats) - 3
    assert zoo.load(tmp_path / "run").stages_done == result.best_step


def test_there_is_no_step_to_share_to_export_or_to_call(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fitted in stages \(Greedy\).*no training step"):
        portable.export_step(DTF, tmp_path / "step", name="dtf", run_folder=tmp_path / "run")
    with pytest.raises(ConfigError, match="fitted in stages"):
        training.train(DTF, tmp_path / "run", strategy=_Strategy())
    with pytest.raises(TrainingError, match="leave out --from"):
        training.train(DTF, tmp_path / "other", initial_weights="some.weights.h5")
    model = models.create("dtf", **TINY["dtf"])
    with pytest.raises(InvalidInputError, match=r"call fit\(x\)"):
        model.train_on_batch(rows(8))
    for unused in ({"epochs": 3}, {"batch_size": 8}, {"sample_weight": np.ones(8)}):
        with pytest.raises(InvalidInputError, match=f"got {next(iter(unused))}"):
            model.fit(rows(8), **unused)
    with pytest.raises(InvalidInputError, match="got y"):
        model.fit(rows(8), np.zeros(8))


class _Strategy:
    """As much of one as is looked at."""

    extended = type("Extended", (), {"should_checkpoint": True})


def test_recipes_in_stages_survive_json_and_say_what_does_not_fit() -> None:
    for recipe in (DTF, DDF):
        assert from_dict(to_dict(recipe)) == recipe
    changed = override(DDF, ["layers=1", "descent.epochs=5", "seed=7"])
    assert changed.training == Greedy(
        layers=1, seed=7, descent=Descent(learning_rate=1e-2, batch_size=32, epochs=5)
    )
    with pytest.raises(ConfigError, match=r"seed must be below"):
        Greedy(layers=0, seed=2**31)
    with pytest.raises(ConfigError, match="leave out after"):
        dataclasses.replace(DTF, start="nice_mnist")


def test_models_without_stages_and_rooms_that_are_full_are_refused(tmp_path: Path) -> None:
    recipe = dataclasses.replace(DTF, family="idf", config=plain("idf"))
    with pytest.raises(ConfigError, match="needs a model that Grows; a idf is trained by SGD"):
        training.train(recipe, tmp_path / "idf")
    with pytest.raises(ConfigError, match="asks for 9 stages; the config has room for 3"):
        training.train(variant(DTF, layers=9), tmp_path / "dtf")
    model: Any = models.create("dtf", **{**TINY["dtf"], "num_trees": 1})
    model.fit(rows(50), verbose=0)
    for call in (lambda: model.fit(rows(50)), lambda: model.grow(rows(50))):
        with pytest.raises(InvalidInputError, match="has all of its 1 stages"):
            call()
