"""Columns told from their values, and tables that have none to tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zoo.data.frames import as_frame, read_frame
from zoo.data.inference import hill_index, infer_columns
from zoo.errors import InvalidInputError

N = 500


def _told(values, kind: str = "", **options):
    frame = pd.DataFrame({"a": values})
    return infer_columns(frame, {"a": kind} if kind else None, **options)[0]


def _values() -> dict[str, object]:
    rng = np.random.default_rng(0)
    days = np.datetime64("2024-01-01") + rng.integers(0, 300, N).astype("timedelta64[D]")
    return {
        "real": rng.normal(size=N),
        "positive": np.exp(1.5 * rng.normal(size=N)),
        "count": rng.poisson(3.0, N),
        "integer": rng.poisson(3.0, N) - 4,
        "boolean": rng.integers(0, 2, N),
        "category": rng.choice(["x", "y"], N),
        "date": days,
    }


@pytest.mark.parametrize("kind", _values())
def test_a_kind_is_told_from_the_values(kind: str) -> None:
    assert _told(_values()[kind]).kind == kind


def test_dates_are_told_from_their_texts_and_truths_from_their_words() -> None:
    values = _values()
    texts = values["date"].astype(str)
    assert _told(texts) == _told(values["date"])
    assert _told(texts).whole
    moments = [f"{day}T06:30" for day in texts]
    assert not _told(moments).whole
    assert _told(values["boolean"].astype(bool)).categories == ("false", "true")
    assert _told(np.where(values["boolean"], "yes", "no"), "boolean").kind == "boolean"


def test_location_and_scale_are_those_of_the_coordinate() -> None:
    values = _values()
    real, positive = _told(values["real"]), _told(values["positive"])
    assert (real.location, real.scale) == (values["real"].mean(), values["real"].std())
    assert positive.location == np.log(values["positive"]).mean()
    assert not real.heavy


def test_heavy_tails_are_told_by_hills_estimate() -> None:
    rng = np.random.default_rng(1)
    heavy = rng.standard_t(2.0, 20_000)
    assert hill_index(heavy) == pytest.approx(2.0, abs=0.5)
    assert hill_index(rng.normal(size=20_000)) > 4.0
    column = _told(heavy)
    assert column.heavy
    assert column.location == pytest.approx(0.0, abs=0.05)
    assert column.scale < 2.0  # of the middle, not of the tails
    assert _told(np.r_[rng.normal(size=100), 1e4]).heavy  # too few for Hill


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ("bounded:-9:9", {"minimum": -9.0, "maximum": 9.0}),
        ("circular:24:-12", {"period": 24.0, "minimum": -12.0}),
        ("circular:24", {"period": 24.0, "minimum": 0.0}),
    ],
)
def test_a_kind_that_is_given_has_its_numbers(given: str, fields: dict) -> None:
    values = np.abs(_values()["real"])
    column = _told(values, given)
    assert {name: getattr(column, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (np.full(N, 3.0), "", r"is 3 in every row.*--drop a"),
        (["x"] * N, "", r"'x' in every row.*--drop a"),
        ([*range(N)], "", r"numbers the rows \(0, 1, …\).*--drop a"),
        ([f"name {i}" for i in range(N)], "", "500 different texts in 500 rows"),
        ([*map(float, range(N - 1)), "?!"], "", r"1 texts among 500 cells; row 499.*'\?!'"),
        ([*["x", "y"] * 200, *range(100)], "", "100 numbers among 500 cells; row 400"),
        (["1_000", *map(str, range(N - 1))], "", r"row 0.*'1_000'"),
        (np.r_[np.ones(N), np.nan], "", r"missing cells \(a: 1 of 501\).*--missing marginalise"),
        (np.r_[np.zeros(N), np.inf], "", "infinity in 1 cells"),
        (np.arange(-3.0, 40.0) / 7, "positive", "above 0; row 0.*4 of 43 do not fit"),
        (np.arange(43.0) / 7, "count", "whole number"),
        (np.arange(43.0) / 7, "bounded:0:1", "between 0 and 1"),
        (np.arange(43.0) / 7, "bounded:1", "expected bounded:0:1; got bounded:1"),
        (np.arange(43.0) / 7, "circular", "expected circular:24"),
        (np.arange(43.0) / 7, "odd", "expected one of real"),
        (["2024-13-40"] * 3, "date", r"row 0.*'2024-13-40'"),
        (["perhaps", "true"], "boolean", "'perhaps'"),
        ([None] * 5, "", "missing cells"),
    ],
)
def test_a_column_without_a_distribution_is_refused_by_name(
    values, kind: str, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        _told(values, kind)


def test_missing_cells_are_marked_where_they_may_be() -> None:
    column = _told([1.5, None, *np.random.default_rng(0).normal(size=40)], missing=True)
    assert column.missing
    assert column.kind == "real"
    assert not _told(_values()["real"], missing=True).missing


def test_files_of_every_suffix_hold_the_same_table(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.25, -3.0], "b": ["x", "y", "x"]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "t.parquet")
    for suffix in ("csv", "tsv", "parquet"):
        pd.testing.assert_frame_equal(read_frame(tmp_path / f"t.{suffix}"), frame)
    rows = np.arange(6.0).reshape(3, 2)
    np.save(tmp_path / "t.npy", rows)
    np.savez(tmp_path / "t.npz", x=rows)
    for suffix in ("npy", "npz"):
        assert list(read_frame(tmp_path / f"t.{suffix}").columns) == ["x0", "x1"]
    assert list(as_frame({"a": [1], "b": [2]}).columns) == ["a", "b"]
    assert list(as_frame(pd.DataFrame(rows)).columns) == ["x0", "x1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,a\n1,2\n", "2 columns named 'a'"),
        ("1.5,2\n3,4\n", "begins with '1.5'"),
        ("a;b\n1;2\n", "semicolons"),
        ("a,\n1,2\n", "a name for every column"),
        ("", "a name for every column"),
        ("a,b\n1,2\n1,2,3,4\n", "cannot be read"),
    ],
)
def test_a_csv_that_is_no_table_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        read_frame(path)


def test_other_files_and_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"Expected a table, \.csv"):
        read_frame(tmp_path / "t.xlsx")
    with pytest.raises(InvalidInputError, match="No file"):
        read_frame(tmp_path / "t.csv")
    with pytest.raises(InvalidInputError, match=r"shape \[3\]"):
        as_frame(np.zeros(3))
