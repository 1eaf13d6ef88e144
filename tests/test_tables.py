"""What users do with a density: tables in and out, anomalies, missing values; and the commands."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_probability as tfp
import tiny_checkpoints
from typer.testing import CliRunner

import zoo
from zoo import cli
from zoo.anomalies import p_values
from zoo.errors import InvalidInputError
from zoo.imputation import impute
from zoo.models.config import Preprocessing
from zoo.tables import read_csv, write_csv

tfd = tfp.distributions


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    root = tmp_path_factory.mktemp("master")
    return root, tiny_checkpoints.publish(root)


@pytest.fixture
def published(master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, pins = master
    tiny_checkpoints.register(pins, monkeypatch, install=tmp_path / "install")
    monkeypatch.setenv("ZOO_CHECKPOINTS", str(root))
    monkeypatch.chdir(tmp_path)


def run(*args: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.output


# CSV files.


def test_tables_round_trip_with_their_header(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = rng.normal(size=(5, 3)).astype(np.float32)
    write_csv(tmp_path / "t.csv", rows, ["a", "b", "c"])
    found, header = read_csv(tmp_path / "t.csv", 3)
    assert header == ["a", "b", "c"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, rows)


def test_missing_cells_are_nan_where_they_may_be(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("1,,3\nNA,?,nan\n\n4,5,6\n")
    rows, header = read_csv(path, 3, allow_missing=True)
    assert header == ["x0", "x1", "x2"]
    np.testing.assert_array_equal(
        rows, np.array([[1, math.nan, 3], [math.nan] * 3, [4, 5, 6]], np.float32)
    )
    with pytest.raises(InvalidInputError, match=r"a number in row 0, column x1 .*got ''"):
        read_csv(path, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"rows of 2 numbers.*0 rows"),
        ("a,b\n", r"rows of 2 numbers.*0 rows of 2"),
        ("a,b,c\n1,2,3\n", r"rows of 2 numbers.*1 rows of 3"),
        ("1,2\n3\n", "2 numbers in row 1.*it has 1"),
        ("1,2\n3,x\n", "number in row 1, column x1.*'x'"),
        ("1,2\n3,inf\n", "'inf'"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        read_csv(tmp_path / "t.csv", 2)
    with pytest.raises(InvalidInputError, match="No file"):
        read_csv(tmp_path / "other.csv", 2)


# Anomalies.


def test_p_values_count_the_reference_rows_below() -> None:
    reference = np.array([-1.0, -3.0, -2.0, -2.0])
    found = p_values(np.array([-9.0, -3.0, -2.0, 0.0]), reference)
    np.testing.assert_allclose(found, [1 / 5, 2 / 5, 4 / 5, 1.0])
    with pytest.raises(InvalidInputError, match="at least one reference row"):
        p_values(found, np.array([]))


def test_false_alarms_are_as_many_as_the_level_says(rng: np.random.Generator) -> None:
    found = p_values(rng.normal(size=20_000), rng.normal(size=999))
    for level in (0.01, 0.1, 0.5):
        assert abs((found <= level).mean() - level) < 0.03


def test_anomalies_are_the_rows_far_from_the_data(published: None) -> None:
    model = zoo.load("tiny_features")
    normal, other = (model.sample(count, seed=count).numpy() for count in (300, 20))
    other[[3, 7]] += 1e3
    np.save("normal.npy", normal)
    write_csv(Path("x.csv"), other)
    printed = run("anomalies", "tiny_features", "x.csv", "--reference", "normal.npy")
    assert "of 20 rows have p <= 0.01, by 300 reference rows" in printed
    shown = {line.split()[0] for line in printed.splitlines()[2:]}
    assert {"3", "7"} <= shown
    result = json.loads(
        run("anomalies", "tiny_features", "x.csv", "--reference", "normal.npy", "--json")
    )
    assert result["reference_count"] == 300
    assert result["p"][3] == pytest.approx(1 / 301)
    nats, reference = (model.log_prob(x).numpy() for x in (other, normal))
    expected = [(1 + (reference <= value).sum()) / 301 for value in nats]
    np.testing.assert_allclose(result["p"], expected)
    assert {3, 7} <= set(result["anomalies"])


def test_without_reference_rows_anomalies_asks_for_them(published: None) -> None:
    """tiny_features stands for `magic`, whose shipped rows have ten columns, not five."""
    np.save("x.npy", np.zeros((2, 5), np.float32))
    assert "give --reference" in run("anomalies", "tiny_features", "x.npy", code=2)


# Missing values.


def _gaussian(mean: np.ndarray, covariance: np.ndarray, calls: list | None = None):
    """A model whose conditional densities are known: a correlated Gaussian."""
    distribution = tfd.MultivariateNormalTriL(
        mean.astype("float32"), np.linalg.cholesky(covariance).astype("float32")
    )

    def sample(count, seed=None, context=None):
        return distribution.sample(count, seed=seed)

    return SimpleNamespace(
        name="gaussian",
        config=SimpleNamespace(event_shape=(len(mean),), preprocessing=Preprocessing()),
        log_prob=lambda x, context=None: distribution.log_prob(x),
        sample=sample,
    )


def test_draws_have_the_conditional_mean_and_covariance() -> None:
    """x_1, x_2 given x_0 = 12, of a Gaussian far from 0 and of unequal scales."""
    mean = np.array([10.0, -200.0, 0.03])
    root = np.array([[1.0, 0, 0], [16.0, 12.0, 0], [0.006, -0.003, 0.007]])
    covariance = root @ root.T
    x = np.tile([[12.0, np.nan, np.nan]], [1500, 1])
    drawn = impute(_gaussian(mean, covariance), x, seed=3)
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn[:, 0], 12.0)
    gain = covariance[1:, 0] / covariance[0, 0]
    conditional = covariance[1:, 1:] - np.outer(gain, covariance[0, 1:])
    deviation = np.sqrt(np.diag(conditional))
    standard = (drawn[:, 1:] - (mean[1:] + 2.0 * gain)) / deviation
    np.testing.assert_allclose(standard.mean(0), 0.0, atol=4 / np.sqrt(1500))
    expected = conditional / np.outer(deviation, deviation)
    np.testing.assert_allclose(np.cov(standard.T), expected, atol=0.15)


def test_rows_may_miss_different_values_and_seeds_repeat() -> None:
    model = _gaussian(np.zeros(3), np.eye(3) + 0.5)
    x = np.array([[1.0, np.nan, 2.0], [1.0, 2.0, 3.0], [np.nan] * 3], np.float32)
    first, again, other = (impute(model, x, seed=seed, num_steps=20) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first[~np.isnan(x)], x[~np.isnan(x)])
    assert (first != other)[np.isnan(x)].all()
    np.testing.assert_array_equal(impute(model, x[1:2]), x[1:2])


@pytest.mark.parametrize(
    ("x", "steps", "message"),
    [
        (np.zeros((2, 4)), 20, r"shape \[batch, 3\]; got \[2, 4\]"),
        (np.zeros((0, 3)), 20, r"got \[0, 3\]"),
        (np.full((1, 3), np.inf), 20, "infinity; mark missing values as NaN"),
        (np.zeros((1, 3)), 9, "num_steps must be an integer of at least 10; got 9"),
    ],
)
def test_bad_rows_are_refused(x: np.ndarray, steps: int, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        impute(_gaussian(np.zeros(3), np.eye(3)), x, num_steps=steps)


def test_images_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="rows of real features"):
        impute(zoo.create("nice", event_shape=(2, 2, 1), hidden_units=(4,)), np.zeros((1, 4)))


def test_impute_fills_the_empty_cells_alone(published: None) -> None:
    x = zoo.load("tiny_labels").sample(3, seed=1, context=2).numpy()
    cells = [[f"{value:.4f}" for value in row] for row in x]
    cells[0][1] = cells[2][0] = ""
    Path("in.csv").write_text("\n".join(["a,b,c", *map(",".join, cells)]) + "\n")
    args = ("in.csv", "-o", "out/filled.csv", "--context", 2, "--seed", 4, "--steps", 20)
    assert run("impute", "tiny_labels", *args).strip() == "out/filled.csv"
    with Path("out/filled.csv").open(newline="") as stream:
        header, *filled = csv.reader(stream)
    assert header == ["a", "b", "c"]
    for row, (before, after) in enumerate(zip(cells, filled, strict=True)):
        for column, (old, new) in enumerate(zip(before, after, strict=True)):
            assert math.isfinite(float(new))
            if old:
                assert float(new) == pytest.approx(float(old), abs=1e-6), (row, column)


def test_impute_takes_tables_alone(published: None) -> None:
    assert "Expected a .csv file" in run("impute", "tiny_features", "x.npy", "-o", "y.csv", code=2)
    Path("x.csv").write_text("1,2,3,4,\n")
    assert "Expected a .csv file" in run("impute", "tiny_features", "x.csv", "-o", "y.npy", code=2)


# Synthetic tables.


def test_samples_are_printed_as_a_table(published: None) -> None:
    printed = run("sample", "tiny_features", "-n", 3, "--seed", 1, "--csv")
    header, *lines = csv.reader(printed.splitlines())
    assert header == [f"x{i}" for i in range(5)]
    expected = zoo.load("tiny_features").sample(3, seed=1)
    np.testing.assert_allclose(np.array(lines, np.float32), expected, rtol=1e-6)
    assert "either --out FILE or --csv" in run("sample", "tiny_features", code=2)
    assert "either --out FILE or --csv" in run(
        "sample", "tiny_features", "--csv", "-o", "x.csv", code=2
    )


def test_scores_of_a_table_are_those_of_its_rows(published: None) -> None:
    x = zoo.load("tiny_features").sample(4, seed=2).numpy()
    write_csv(Path("x.csv"), x)
    result = json.loads(run("score", "tiny_features", "x.csv", "--json"))["files"][0]
    expected = zoo.load("tiny_features").log_prob(x)
    np.testing.assert_allclose(result["log_prob"], expected, rtol=1e-5)
