"""Chains of runs: stages in folders of their own, resumed where they stopped, and recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_runs
from whole_runs import best_weights

import zoo
from zoo import training
from zoo.core.recipe import Optimizer, Recipe, variant
from zoo.core.recipe_json import digest
from zoo.data import sources
from zoo.errors import MissingCheckpointError, TrainingError
from zoo.store.hashes import sha256_of
from zoo.training.train import run_before

FIRST = variant(tiny_runs.RECIPES["nice"], max_epochs=2, validate_every=0, jit_compile=False)
SECOND = variant(FIRST, after=FIRST, seed=5)
CHAIN = variant(SECOND, after=SECOND, max_epochs=1)


def record_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> training.TrainingResult:
    """`CHAIN`, trained to its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "load_arrays", tiny_runs.load_arrays)
        return training.train(CHAIN, tmp_path_factory.mktemp("whole") / "run", name="tiny")


def test_a_chain_is_trained_stage_by_stage(whole: training.TrainingResult) -> None:
    names: list[str] = []
    run = whole.folder
    assert (whole.reason, whole.step) == ("finished", 6)
    folders = [run / "stages" / number for number in "12"] + [run]
    lineage = []
    for folder, recipe in zip(folders, (FIRST, SECOND, CHAIN), strict=True):
        record = record_of(folder)
        assert record["lineage"] == lineage
        names.append(str(record["name"]))
        lineage.append(
            {
                "recipe": digest(recipe),
                "weights": sha256_of(folder / "model.weights.h5"),
                "hours": record["train_hours"],
                "note": "",
            }
        )
    assert names == ["tiny, stage 1 of 3", "tiny, stage 2 of 3", "tiny"]
    scored = zoo.load(str(folders[2])).log_prob(np.zeros((1, 4, 4, 1), "uint8"))
    assert np.isfinite(scored).all()


def test_a_stage_begins_with_the_weights_of_the_one_before(tmp_path: Path) -> None:
    still = variant(
        FIRST, after=FIRST, seed=5, optimizer=Optimizer(learning_rate=0.0), ema_decay=0.0
    )
    training.train(still, tmp_path, name="tiny")
    expected, found = best_weights(tmp_path / "stages" / "1"), best_weights(tmp_path)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_a_chain_that_was_stopped_goes_on_in_its_stage(
    whole: training.TrainingResult, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    stopped = training.train(CHAIN, parts, name="tiny", max_seconds=0.0)
    assert (stopped.reason, stopped.folder) == ("time limit", parts / "stages" / "1")
    with pytest.raises(TrainingError, match="holds a run already: use --resume"):
        training.train(CHAIN, parts, name="tiny")
    training.train(CHAIN, parts, name="tiny", resume=True)
    for stage in ("stages/1", "stages/2", "."):
        expected, found = (best_weights(folder / stage) for folder in (whole.folder, parts))
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=f"{stage} {name}")


def test_nothing_to_resume_is_said_of_a_chain_too(tmp_path: Path) -> None:
    with pytest.raises(MissingCheckpointError, match="Nothing to resume"):
        training.train(CHAIN, tmp_path, resume=True)


def test_given_weights_take_the_place_of_the_runs_before(tmp_path: Path) -> None:
    training.train(FIRST, tmp_path / "first")
    given = tmp_path / "first" / "model.weights.h5"
    training.train(CHAIN, tmp_path / "run", initial_weights=given)
    assert not (tmp_path / "run" / "stages").exists()
    (entry,) = record_of(tmp_path / "run")["lineage"]
    assert entry["weights"] == sha256_of(given)
    assert entry["recipe"] is None
    assert "does not name" in entry["note"]


def test_a_run_without_a_past_has_an_empty_lineage(tmp_path: Path) -> None:
    short: Recipe = variant(FIRST, max_epochs=1)
    training.train(short, tmp_path)
    assert record_of(tmp_path)["lineage"] == []


def test_a_chain_goes_out_once_its_stages_are_trained(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"is to be trained first: .*stages/2 holds no finished"
    ):
        run_before(CHAIN, tmp_path)
    assert run_before(FIRST, tmp_path) is None
