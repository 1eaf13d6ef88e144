"""Studies as values and as tables: what is refused, what is counted, what is printed."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

import pytest

from zoo import registry
from zoo.core.recipe import stages
from zoo.core.study import Arm, Beats, Floor, Reaches, Study
from zoo.errors import ConfigError
from zoo.studies import runs, tables

A, B = Arm(name="a", entry="idf2_digits"), Arm(name="b", entry="idf4_digits")
STUDY = Study(
    name="a_or_b",
    title="A or B",
    claim="A is better.",
    protocol="By rule.",
    arms=(A, B),
    metrics=("log_prob", "bits_per_dim"),
    seeds=(0, 1, 2),
    floors=(Floor(name="floor", where="nowhere:floor"),),
    expectations=(
        Beats(arm="a", other="b", metric="log_prob", seeds=2),
        Beats(arm="a", other="floor", metric="bits_per_dim", seeds=3),
        Reaches(arm="b", metric="bits_per_dim", value=2.01),
    ),
)
VALUES = {"a": (-10.0, -11.0, -12.0), "b": (-12.0, -12.5, -11.5)}


def _run(arm: str, seed: int, nats: float) -> dict[str, Any]:
    metrics = {"log_prob": {"value": nats}, "bits_per_dim": {"value": -nats / 6.0}}
    return {"arm": arm, "seed": seed, "status": "done", "metrics": metrics}


def _results() -> dict[str, Any]:
    return {
        "seeds": [0, 1, 2],
        "runs": [_run(arm, s, x) for arm, xs in VALUES.items() for s, x in enumerate(xs)],
        "floors": [
            {"floor": "floor", "seed": seed, "metrics": {"bits_per_dim": {"value": 1.9}}}
            for seed in range(3)
        ],
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": (A, A)}, "each name once; twice: a"),
        ({"arms": ()}, "needs arms"),
        ({"seeds": (1, 1)}, "must differ"),
        ({"seeds": (-1,)}, "0 or more"),
        ({"metrics": ("log_prob", "nothing")}, "No metric named 'nothing'"),
        ({"expectations": (Beats(arm="c", other="a", metric="log_prob", seeds=1),)}, "arms out of"),
        ({"expectations": (Beats(arm="a", other="c", metric="log_prob", seeds=1),)}, "arms out of"),
        ({"expectations": (Beats(arm="a", other="b", metric="log_prob", seeds=4),)}, "3 seeds"),
        ({"expectations": (Reaches(arm="a", metric="mass_outside", value=1.0),)}, "metrics out of"),
        ({"expectations": (Reaches(arm="a", metric="log_prob", value=float("nan")),)}, "finite"),
        ({"published": True}, "one seed"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_no_study_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(STUDY, **changes)


def test_tables_hold_means_deviations_and_signs() -> None:
    text = tables.markdown(STUDY, _results())
    mean, deviation = statistics.mean(VALUES["a"]), statistics.stdev(VALUES["a"])
    assert f"| a | {mean:.1f} ± {deviation:.1f} |" in text
    assert "| floor |  | 1.9 | no model |" in text
    better = [a - b for a, b in zip(VALUES["a"], VALUES["b"], strict=True)]
    line = f"{statistics.mean(better):.1f} ± {statistics.stdev(better):.1f}"
    assert f"| a better than b by log_prob | {line} | 2 of 3 (wanted 2) | yes |" in text
    assert "by bits_per_dim | 0.07 ± 0.17 | 2 of 3 (wanted 3) | not reproduced here |" in text
    assert "| b: mean bits_per_dim of 2.01 or better | 0.010 ± 0.083 |  | yes |" in text


def test_no_run_is_left_out() -> None:
    results = _results()
    results["runs"][1] = {"arm": "a", "seed": 1, "status": "failed", "error": "no finite loss"}
    text = tables.markdown(STUDY, results)
    assert "| 2, 1 failed |" in text
    assert "1 of 6 runs failed" in text
    assert "| 1 of 3 (wanted 2) | not reproduced here |" in text  # a failed run is none in favour
    results["runs"][1] = {"arm": "a", "seed": 1, "status": "missing"}
    text = tables.markdown(STUDY, results)
    assert "| 2, 1 missing |" in text
    assert text.count("| not yet |") == len(STUDY.expectations)


def test_one_run_an_arm_is_judged_by_its_rows() -> None:
    beats = Beats(arm="a", other="b", metric="log_prob", seeds=1)
    study = dataclasses.replace(STUDY, seeds=(0,), published=True, floors=(), expectations=(beats,))
    results: dict[str, Any] = {"seeds": [0], "floors": [], "runs": []}
    for arm, error in (("a", 0.3), ("b", 0.4)):
        run = _run(arm, 0, VALUES[arm][0])
        run["metrics"]["log_prob"]["two_standard_errors"] = error
        results["runs"].append(run)
    assert "| 2.00 ± 0.50 | one run | yes |" in tables.markdown(study, results)
    results["runs"][0]["metrics"]["log_prob"]["value"] = -11.8
    assert "| 0.20 ± 0.50 | one run | within the error |" in tables.markdown(study, results)


@pytest.mark.parametrize("name", registry.STUDIES)
def test_registered_studies_can_be_run(name: str) -> None:
    study = registry.get_study(name)
    for arm in study.arms:
        for seed in study.seeds:
            for stage in stages(runs.recipe_of(arm, seed)):
                assert stage.training.seed == seed
    folders = {runs.slug(arm) for arm in study.arms}
    assert len(folders) == len(study.arms)


def test_seeds_stand_in_changes() -> None:
    arm = Arm(name="fold", entry="idf_digits", changes=("data.train=fold_{seed}", "max_epochs=2"))
    recipe = runs.recipe_of(arm, 3)
    assert (recipe.data.train, recipe.training.seed, recipe.training.max_epochs) == ("fold_3", 3, 2)
    assert runs.recipe_of(Arm(name="vae", entry="vae_mnist"), 5).after.training.seed == 5
