"""Data frames at every entry: columns by name, samples and imputations as frames."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import zoo
from zoo.core.columns import Column
from zoo.errors import InvalidInputError
from zoo.tasks import frames
from zoo.tasks.imputation import impute

COLUMNS = (
    Column(name="region", kind="category", categories=("north", "south")),
    Column(name="size", kind="real"),
    Column(name="visits", kind="count", minimum=0.0, location=2.0, scale=1.5),
    Column(name="day", kind="date", whole=True, location=19000.0, scale=300.0),
    Column(name="open", kind="boolean", categories=("false", "true")),
)


@pytest.fixture(scope="module")
def table():
    return zoo.create(
        "table_made", event_shape=(5,), columns=COLUMNS, num_units=4, num_blocks=0, num_components=2
    )


@pytest.fixture
def flow():
    made = zoo.create("maf", event_shape=(3,), hidden_units=(4,), num_layers=1)
    made.column_names = ("a", "b", "c")
    return made


def test_samples_are_frames_with_dtypes(table) -> None:
    drawn = frames.sample(table, 6, seed=1)
    kinds = {name: str(dtype) for name, dtype in drawn.dtypes.items()}
    assert kinds == {
        "region": "category", "size": "float64", "visits": "int64", "day": "datetime64[s]",
        "open": "bool",
    }  # fmt: skip
    assert list(drawn["region"].cat.categories) == ["north", "south"]
    expected = table.sample(6, seed=1)
    np.testing.assert_allclose(table.log_prob(drawn), table.log_prob(expected), rtol=1e-5)
    turned = drawn[["open", "size", "region", "day", "visits"]].assign(other=1.0)
    np.testing.assert_array_equal(table.log_prob(turned), table.log_prob(drawn))


def test_a_frame_is_imputed_as_a_frame(table) -> None:
    whole = frames.sample(table, 8, seed=2).assign(note="kept").set_index(np.arange(10, 18))
    gaps = whole.copy()
    gaps.loc[11, "size"] = np.nan
    gaps.loc[[12, 13], "region"] = None
    filled = impute(table, gaps, seed=3)
    assert filled.notna().all().all()
    assert list(filled.index) == list(range(10, 18))
    kept = gaps.notna()
    for name in whole:
        pd.testing.assert_series_equal(filled[name][kept[name]], whole[name][kept[name]])
    assert filled["region"].dtype == whole["region"].dtype


def test_columns_of_a_flow_are_taken_by_name(flow) -> None:
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    turned = frame[["c", "a", "b"]].assign(other=0.0)
    expected = flow.log_prob(rows)
    for given in (frame, turned, pd.DataFrame(rows)):
        np.testing.assert_array_equal(flow.log_prob(given), expected)
    np.testing.assert_array_equal(flow.encode(turned), flow.encode(rows))
    np.testing.assert_allclose(flow.predict(turned, verbose=0), expected, rtol=1e-5)
    with pytest.raises(InvalidInputError, match="x lacks the column 'b', which the model knows"):
        flow.log_prob(frame.rename(columns={"b": "B"}))
    assert list(frames.sample(flow, 2, seed=0).columns) == ["a", "b", "c"]
    gaps = turned.copy()
    gaps.loc[2, "b"] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filled = impute(flow, gaps, num_steps=10, seed=0)
    assert list(filled.columns) == ["c", "a", "b", "other"]
    assert np.isfinite(filled["b"]).all()


def test_fit_remembers_the_names_of_its_frame() -> None:
    flow = zoo.create("maf", event_shape=(2,), hidden_units=(4,), num_layers=1)
    rows = np.random.default_rng(1).normal(size=(64, 2)).astype(np.float32)
    flow.compile(jit_compile=False, run_eagerly=True)
    flow.fit(pd.DataFrame(rows, columns=["a", "b"]), batch_size=32, verbose=0)
    assert flow.column_names == ("a", "b")
    turned = pd.DataFrame(rows[:, ::-1], columns=["b", "a"])
    np.testing.assert_array_equal(flow.log_prob(turned), flow.log_prob(rows))


def test_published_models_know_the_columns_of_their_dataset() -> None:
    model = zoo.load("maf_magic", weights=False)
    assert model.column_names == zoo.info("maf_magic").columns
    assert zoo.load("nice_mnist", weights=False).column_names == ()
