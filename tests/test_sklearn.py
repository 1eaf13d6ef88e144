"""`zoo.sklearn`: scikit-learn's own checks, its pipelines and searches, frames in and out.

TensorFlow runs eagerly here: a program of these tiny trainings costs more than they take.
"""

from __future__ import annotations

import functools
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import tensorflow as tf
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import estimator_checks

from zoo.errors import InvalidInputError
from zoo.sklearn import FlowDensity, FlowOutlierDetector

TINY: dict[str, Any] = {
    "num_units": 4, "num_blocks": 0, "num_components": 2, "max_steps": 2, "random_state": 0,
}  # fmt: skip
SKIPPED = {"check_array_api_input": "arrays of other libraries are checked where SciPy is told to"}
QUICK = (
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_dict_unchanged,
    estimator_checks.check_estimators_nan_inf,
    estimator_checks.check_estimators_pickle,
    estimator_checks.check_estimator_sparse_array,
    estimator_checks.check_fit2d_1sample,
    estimator_checks.check_fit_idempotent,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_methods_subset_invariance,
    estimator_checks.check_n_features_in_after_fitting,
    estimator_checks.check_parameters_default_constructible,
)


@pytest.fixture(autouse=True, scope="module")
def eager() -> Iterator[None]:
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "region": pd.Categorical(
                rng.choice(["north", "south"], 80), ["south", "north", "east"]
            ),
            "size": rng.normal(size=80).astype(np.float32),
            "visits": rng.poisson(2.0, 80).astype(np.int32),
            "open": rng.choice([False, True], 80),
        }
    )


@pytest.mark.parametrize("check", QUICK, ids=lambda check: check.__name__)
def test_the_checks_that_say_most(check) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check("FlowOutlierDetector", FlowOutlierDetector(**TINY))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FlowDensity, FlowOutlierDetector])
def test_every_check_passes(kind) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = estimator_checks.check_estimator(kind(**TINY), on_fail=None)
    odd = {r["check_name"]: r["status"] for r in results if r["status"] != "passed"}
    assert odd == dict.fromkeys(SKIPPED, "skipped")


def test_a_density_is_learnt_from_an_array() -> None:
    """A Gaussian of a thousand rows, in units of its own: within 0.2 nats of the truth."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(1000, 2)) @ np.array([[30.0, 0.0], [2.0, 0.1]]) + [500.0, -3.0]
    tf.config.run_functions_eagerly(False)
    density = FlowDensity(
        num_units=16, num_blocks=0, num_components=4, max_steps=300, random_state=0
    ).fit(rows[:800])
    truth = scipy.stats.multivariate_normal(
        [500.0, -3.0], np.array([[900.0 + 4.0, 0.2], [0.2, 0.01]])
    )
    test = rows[800:]
    assert density.score(test) == pytest.approx(density.score_samples(test).mean())
    assert density.score(test) > truth.logpdf(test).mean() - 0.2
    assert density.n_steps_ <= 300 + 20
    assert density.validation_score_ == pytest.approx(truth.logpdf(test).mean(), abs=0.5)
    drawn = density.sample(2000, random_state=3)
    assert (np.abs(drawn.mean(0) - rows.mean(0)) < [4.0, 0.03]).all()
    np.testing.assert_array_equal(drawn, density.sample(2000, random_state=3))
    whole = density.score_samples(test)
    np.testing.assert_array_equal(density.score_samples(test[7:9]), whole[7:9])
    tf.config.run_functions_eagerly(True)


def test_frames_come_back_as_they_went_in(frame: pd.DataFrame) -> None:
    density = FlowDensity(**TINY).fit(frame)
    assert list(density.feature_names_in_) == ["region", "size", "visits", "open"]
    kinds = [column.kind for column in density.model_.data.columns]
    assert kinds == ["category", "real", "count", "boolean"]
    drawn = density.sample(5, random_state=1)
    assert list(drawn.columns) == list(frame.columns)
    assert list(drawn.dtypes[1:]) == list(frame.dtypes[1:])
    assert set(drawn["region"]) <= {"north", "south"}
    assert np.isfinite(density.score_samples(drawn)).all()
    again = pickle.loads(pickle.dumps(density))
    np.testing.assert_array_equal(again.score_samples(frame), density.score_samples(frame))
    with pytest.raises(ValueError, match="must be in the same order"):
        density.score_samples(frame[["size", "region", "visits", "open"]])
    with (
        pytest.warns(UserWarning, match="does not have valid feature names"),
        pytest.raises(InvalidInputError, match="holds texts: give X as a data frame"),
    ):
        density.score_samples(np.zeros([2, 4]))
    with pytest.raises(InvalidInputError, match="one of north, south"):
        density.score_samples(frame.assign(region="west"))
    told = FlowDensity(**TINY, kinds={"visits": "real", "size": "bounded:-9:9"}).fit(frame)
    assert [c.kind for c in told.model_.data.columns] == ["category", "bounded", "real", "boolean"]


def test_training_leaves_the_callers_random_numbers_alone(frame: pd.DataFrame) -> None:
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.uniform()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    FlowDensity(**TINY).fit(frame[["size"]].to_numpy())
    assert np.random.uniform() == expected  # noqa: NPY002


def test_outliers_are_those_below_the_threshold() -> None:
    rows = np.random.default_rng(2).normal(size=(100, 2))
    found = FlowOutlierDetector(**TINY, contamination=0.1).fit(rows)
    assert (found.predict(rows) == -1).sum() == 10
    far = np.full([1, 2], 50.0)
    assert found.predict(far) == [-1]
    np.testing.assert_allclose(
        found.decision_function(rows), found.score_samples(rows) - found.offset_
    )
    assert clone(found).get_params() == found.get_params()


def test_pipelines_transformers_and_searches_run(frame: pd.DataFrame) -> None:
    rows = frame[["size", "visits"]].to_numpy(np.float64)
    pipeline = make_pipeline(StandardScaler(), FlowDensity(**TINY))
    search = GridSearchCV(pipeline, {"flowdensity__num_components": [1, 2]}, cv=2).fit(rows)
    assert search.best_params_["flowdensity__num_components"] in (1, 2)
    assert np.isfinite(search.score(rows))
    columns = ColumnTransformer(
        [("scaled", StandardScaler(), ["size"]), ("kept", FunctionTransformer(), ["visits"])],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    whole = make_pipeline(columns, FlowDensity(**TINY)).fit(frame)
    assert list(whole[-1].feature_names_in_) == ["size", "visits"]
    assert whole[-1].model_.data.columns[1].kind == "count"


@pytest.mark.slow
def test_joblib_fits_in_processes_of_its_own() -> None:
    rows = np.random.default_rng(3).normal(size=(60, 2))
    scores = cross_val_score(FlowDensity(**TINY), rows, cv=2, n_jobs=2)
    np.testing.assert_allclose(scores, cross_val_score(FlowDensity(**TINY), rows, cv=2), rtol=1e-4)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"num_units": 0}, "num_units must be an integer >= 1; got 0"),
        ({"max_steps": 2.5}, "max_steps must be an integer >= 1"),
        ({"validation_fraction": 1.0}, r"validation_fraction must be in \(0, 1\)"),
        ({"kinds": {"odd": "real"}}, "No column 'odd'; the table has x0, x1"),
        ({"kinds": {"x0": "odd"}}, "expected one of real"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters: dict, message: str) -> None:
    rows = np.random.default_rng(0).normal(size=(10, 2))
    with pytest.raises(InvalidInputError, match=message):
        FlowDensity(**{**TINY, **parameters}).fit(rows)


def test_a_threshold_needs_a_share() -> None:
    with pytest.raises(InvalidInputError, match=r"contamination must be in \(0, 0\.5\]"):
        FlowOutlierDetector(contamination=0.7).fit(np.eye(3))


def test_the_benchmark_compares_densities_of_the_rows_as_they_are(monkeypatch) -> None:
    """One Gaussian, by scikit-learn behind a standardisation and by SciPy without."""
    tool = pytest.importorskip("sklearn_benchmark", reason="tools/ is not part of an installation")
    tiny = {name: value for name, value in TINY.items() if name != "random_state"}
    monkeypatch.setattr("zoo.sklearn.FlowDensity", functools.partial(FlowDensity, **tiny))
    for name, values in (("COMPONENTS", (1,)), ("RIDGES", (1e-9,)), ("WIDTHS", (0.3,))):
        monkeypatch.setattr(tool, name, values)
    rows = np.random.default_rng(4).normal(size=(90, 2)) * [5.0, 0.1] + [3.0, 0.0]
    found = tool.compared(rows[:60], rows[60:])
    normal = scipy.stats.multivariate_normal(rows[:60].mean(0), np.cov(rows[:60].T, bias=True))
    expected = normal.logpdf(rows[60:]).mean()
    assert found["gaussian_mixture"]["value"] == pytest.approx(expected, abs=1e-3)
    assert (found["columns"], found["train"], found["test"]) == (2, 60, 30)
    assert np.isfinite(found["flow_density"]["value"])
