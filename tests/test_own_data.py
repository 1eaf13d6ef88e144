"""`zoo.fit` and `zoo fit`: from a table to a folder that every command takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import zoo
from zoo import evaluation
from zoo.cli import app
from zoo.core.data import Table
from zoo.core.recipe_json import from_dict, to_dict
from zoo.data import own_rows, sources, splitting
from zoo.data.arrays import Arrays
from zoo.errors import DataError, InvalidInputError, TrainingError

SMALL = ["config.num_units=8", "config.num_blocks=0", "config.num_components=2", "max_epochs=2"]
QUICK = [*SMALL, "validate_every=5", "jit_compile=false"]


def _frame(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    region = rng.choice(["north", "south"], rows)
    size = rng.normal(size=rows) + 3.0 * (region == "south")
    return pd.DataFrame(
        {
            "region": region,
            "size": size,
            "visits": rng.poisson(2.0, rows),
            "hour": rng.uniform(0, 24, rows),
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table fitted by the command."""
    folder = tmp_path_factory.mktemp("own")
    _frame().to_csv(folder / "table.csv", index=False)
    options = [f"--set={assignment}" for assignment in QUICK]
    args = [
        "fit",
        folder / "table.csv",
        "-o",
        folder / "mine",
        "--type",
        "hour=circular:24",
        *options,
    ]
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == 0, result.output
    (folder / "output.txt").write_text(result.output)
    return folder / "mine"


def _run(*args) -> str:
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_tells_the_columns_and_scores_the_test_rows(run: Path) -> None:
    text = (run.parent / "output.txt").read_text()
    for words in ("region  category", "hour    circular", "this model", "gaussian", "test rows"):
        assert words in text
    recipe = from_dict(json.loads((run / "recipe.json").read_text()))
    assert isinstance(recipe.data, Table)
    assert from_dict(to_dict(recipe)) == recipe
    counts = json.loads((run / "rows" / "rows.json").read_text())["rows"]
    assert sum(counts.values()) == 400
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["count"] == counts["test"]
    assert metrics["dataset"] == f"mine:{recipe.data.version}"
    model = zoo.load(run)
    assert model.measure == "mixed"
    test = own_rows.read(recipe.data, "test")
    value = float(model.log_prob(test.x).numpy().mean())
    assert metrics["metrics"]["log_prob"]["value"] == pytest.approx(value, abs=1e-4)
    assert evaluation.evaluate(run)["metrics"] == metrics["metrics"]


def test_a_gaussian_of_the_columns_is_what_its_formula_says(run: Path) -> None:
    """By hand, of the same test rows: moments, shares with one added, a logistic of the counts."""
    import scipy.stats

    recipe = from_dict(json.loads((run / "recipe.json").read_text()))
    train, test = (own_rows.read(recipe.data, part).x.astype(float) for part in ("train", "test"))
    radians = 2.0 * np.pi / 24.0
    known, asked = (np.stack([x[:, 1], radians * x[:, 3]], 1) for x in (train, test))
    normal = scipy.stats.multivariate_normal(known.mean(0), np.cov(known.T))
    nats = normal.logpdf(asked) + np.log(radians)
    shares = (np.bincount(train[:, 0].astype(int)) + 1.0) / (len(train) + 2.0)
    nats += np.log(shares[test[:, 0].astype(int)])
    place = scipy.stats.logistic(train[:, 2].mean(), train[:, 2].std() * np.sqrt(3.0) / np.pi)
    low = np.where(test[:, 2] == 0, -np.inf, test[:, 2] - 0.5)
    nats += np.log(place.cdf(test[:, 2] + 0.5) - place.cdf(low))
    found = json.loads((run / "baselines.json").read_text())["gaussian"]["log_prob"]["value"]
    assert found == pytest.approx(nats.mean(), rel=1e-5)


def test_every_command_takes_the_folder(run: Path, tmp_path: Path) -> None:
    table = run.parent / "table.csv"
    drawn = _run("sample", run, "-n", 7, "--seed", 1, "--csv").splitlines()
    assert drawn[0] == "region,size,visits,hour"
    assert len(drawn) == 8
    (tmp_path / "drawn.csv").write_text("\n".join(drawn))
    scores = json.loads(_run("score", run, tmp_path / "drawn.csv", table, "--json"))["files"]
    again = zoo.load(run).sample(7, seed=1)
    np.testing.assert_allclose(scores[0]["log_prob"], zoo.load(run).log_prob(again), rtol=1e-5)
    assert scores[1]["count"] == 400
    odd = _frame(60).assign(size=1e6)
    odd.to_csv(tmp_path / "odd.csv", index=False)
    found = json.loads(_run("anomalies", run, tmp_path / "odd.csv", "--level", 0.05, "--json"))
    assert len(found["anomalies"]) == 60


def test_gaps_are_filled_in_as_the_other_cells_make_likely(run: Path, tmp_path: Path) -> None:
    frame = _frame(30)
    frame.loc[3:5, "region"] = None
    frame.loc[5, "visits"] = None
    frame.to_csv(tmp_path / "gaps.csv", index=False)
    args = ("impute", run, tmp_path / "gaps.csv", "-o", tmp_path / "whole.csv", "--seed", 1)
    _run(*args)
    whole = pd.read_csv(tmp_path / "whole.csv")
    for name in ("region", "visits"):
        kept = frame[name].notna()
        assert (whole[name][kept] == frame[name][kept]).all()
    np.testing.assert_allclose(whole[["size", "hour"]], frame[["size", "hour"]], rtol=1e-6)
    assert set(whole["region"]) == {"north", "south"}
    assert whole.notna().all().all()


def test_python_does_what_the_command_does(run: Path, tmp_path: Path) -> None:
    """The same table, the same recipe, the same weights; a frame is a table."""
    model = zoo.fit(_frame(), tmp_path / "mine", kinds={"hour": "circular:24"}, assignments=QUICK)
    x = model.sample(3, seed=0)
    np.testing.assert_array_equal(x, zoo.load(run).sample(3, seed=0))


def test_context_is_columns_from_the_table_and_from_the_command(tmp_path: Path) -> None:
    model = zoo.fit(_frame(), tmp_path / "mine", context=["region"], assignments=QUICK)
    assert [column.name for column in model.context.columns] == ["region"]
    given = pd.DataFrame({"region": ["south"]})
    rows = model.sample(5, seed=1, context=given)
    assert rows.shape == (5, 3)
    text = _run(
        "sample", tmp_path / "mine", "-n", 5, "--seed", 1, "--context", "region=south", "--csv"
    )
    assert text.splitlines()[0] == "size,visits,hour"
    _frame(20).to_csv(tmp_path / "t.csv", index=False)
    scores = json.loads(_run("score", tmp_path / "mine", tmp_path / "t.csv", "--json"))["files"][0]
    expected = model.log_prob(_frame(20), _frame(20))
    np.testing.assert_allclose(scores["log_prob"], expected, rtol=1e-5)


def test_a_run_goes_on_by_its_own_rows(run: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a run has its own rows")
    again = ("fit", tmp_path / "t.csv", "-o", run, "--resume")
    step = json.loads((run / "run.json").read_text())["step"]
    assert f"finished after step {step}" in _run(*again)
    refused = CliRunner().invoke(app, [*map(str, again), "--drop", "size"])
    assert "give --out and --minutes" in refused.output
    none = CliRunner().invoke(app, [*map(str, again[:3]), str(tmp_path / "none"), "--resume"])
    assert "Nothing to resume" in none.output


def test_missing_cells_are_learnt_around(tmp_path: Path) -> None:
    frame = _frame()
    frame.loc[::3, "size"] = np.nan
    with pytest.raises(InvalidInputError, match=r"missing cells \(size: 134 of 400\)"):
        zoo.fit(frame, tmp_path / "refused")
    model = zoo.fit(frame, tmp_path / "mine", missing="marginalise", assignments=QUICK)
    assert [column.missing for column in model.config.columns] == [False, True, False, False]
    assert np.isfinite(model.log_prob(frame)).all()
    assert np.isfinite(model.sample(20, seed=0)).all()


def test_rows_are_split_by_content_by_time_and_by_a_column(tmp_path: Path) -> None:
    frame = _frame()
    whole = Arrays(frame[["size", "hour"]].to_numpy("float32"))
    parts = splitting.by_content(whole)
    sets = {name: {tuple(row) for row in whole.x[rows]} for name, rows in parts.items()}
    turned = Arrays(whole.x[::-1])
    for name, rows in splitting.by_content(turned).items():
        assert {tuple(row) for row in turned.x[rows]} == sets[name]
    assert 0.7 < len(parts["train"]) / 400 < 0.9
    times, _ = splitting.by_column(frame, "time:hour")
    assert [len(times[name]) for name in own_rows.SPLITS] == [320, 40, 40]
    hours = frame["hour"].to_numpy()
    assert hours[times["train"]].max() <= hours[times["validation"]].min()
    words = np.array(["train", "validation", "test", "train"] * 100)
    named, rest = splitting.by_column(frame.assign(part=words), "part")
    assert list(named["test"]) == list(range(2, 400, 4))
    assert list(rest.columns) == list(frame.columns)
    with pytest.raises(InvalidInputError, match="'other'"):
        splitting.by_column(frame.assign(part="other"), "part")
    with pytest.raises(InvalidInputError, match="No column 'odd'"):
        splitting.by_column(frame, "odd")


def test_rows_that_are_others_or_are_gone_are_refused(run: Path, tmp_path: Path) -> None:
    table = from_dict(json.loads((run / "recipe.json").read_text())).data
    assert sources.available(table)
    other = Table(name="mine", version="0" * 12, folder=table.folder)
    with pytest.raises(DataError, match="Expected the rows mine:000000000000"):
        sources.load_arrays(other, "test")
    gone = Table(name="mine", version=table.version, folder=str(tmp_path))
    assert not sources.available(gone)
    with pytest.raises(DataError, match=r"--set data\.folder"):
        sources.load_arrays(gone, "test")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop": ["odd"]}, "No column 'odd'"),
        ({"context": ["region", "size", "visits", "hour"]}, "Every column is context"),
        ({"kinds": {"odd": "real"}}, "No column 'odd'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=message):
        zoo.fit(_frame(), tmp_path / "mine", **options)


def test_ten_rows_and_a_folder_in_use_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="has 10 rows"):
        zoo.fit(_frame(10).drop(columns=["region"]), tmp_path / "mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("mine")
    with pytest.raises(TrainingError, match="something that is no run"):
        zoo.fit(_frame(), tmp_path / "other")


def test_a_run_is_published_with_a_card_of_its_columns(run: Path, tmp_path: Path) -> None:
    _run("publish", run, "--to", tmp_path / "released")
    card = (tmp_path / "released" / "card.md").read_text()
    assert "| region | category | north, south |" in card
    assert "| hour | circular | period 24 from 0 |" in card
    assert "Rows of the publisher's own, `mine:" in card
    assert "| gaussian |" in card
    for picture in ("pairs.png", "calibration.png"):
        assert f"]({picture})" in card
        assert (tmp_path / "released" / picture).stat().st_size > 5000
    drawn = pd.read_csv(tmp_path / "released" / "samples.csv")
    assert list(drawn.columns) == ["region", "size", "visits", "hour"]
    again = zoo.load(tmp_path / "released")
    assert np.isfinite(again.log_prob(drawn)).all()
    assert not (tmp_path / "released" / "rows").exists()  # the table stays where it was
