"""What users do with a density: tables in and out, anomalies, missing values; and the commands."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tiny_checkpoints
from typer.testing import CliRunner

import zoo
from zoo import cli, registry
from zoo.core.config import Preprocessing
from zoo.core.recipe import variant
from zoo.core.space import Space
from zoo.errors import InvalidInputError
from zoo.media.tables import read_csv, write_csv
from zoo.tasks.anomalies import p_values
from zoo.tasks.imputation import impute

tfd = tfp.distributions


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
    path.write_text("1,,3\nNA,?,nan\n\n, ,\n4,5,6\n")  # a blank line, a row of empty cells
    rows, header = read_csv(path, 3, allow_missing=True)
    assert header == ["x0", "x1", "x2"]
    missing = [math.nan] * 3
    np.testing.assert_array_equal(
        rows, np.array([[1, math.nan, 3], missing, missing, [4, 5, 6]], np.float32)
    )
    with pytest.raises(InvalidInputError, match=r"a number in row 0, column x1 .*got ''"):
        read_csv(path, 3)


def test_a_first_line_without_a_number_is_the_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for text, names in ((",b,inf_c\n1,2,3\n", ["", "b", "inf_c"]), ("na,,?\n1,2,3\n", None)):
        path.write_text(text)
        rows, header = read_csv(path, 3, allow_missing=True)
        assert header == (names or ["x0", "x1", "x2"])
        assert len(rows) == (1 if names else 2)


def test_numbers_are_written_with_no_more_digits_than_they_need(tmp_path: Path) -> None:
    rows = np.array([[0.1, 3e-9, 1 / 3]], np.float32)
    write_csv(tmp_path / "t.csv", rows)
    assert (tmp_path / "t.csv").read_text() == "x0,x1,x2\n0.1,3e-09,0.33333334\n"
    np.testing.assert_array_equal(read_csv(tmp_path / "t.csv", 3)[0], rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"rows of 2 numbers.*0 rows"),
        ("a,b\n", r"rows of 2 numbers.*0 rows of 2"),
        ("a,b,c\n1,2,3\n", r"rows of 2 numbers.*1 rows of 3"),
        ("1,2\n3\n", "2 numbers in row 1.*it has 1"),
        ("1,2\n3,x\n", "number in row 1, column x1.*'x'"),
        ("1,2\n3,inf\n", "'inf'"),
        ("1,2\n3,1e39\n", "'1e39'"),  # float32 ends before
        ("1.5,inf\n3,4\n", "row 0, column x1.*'inf'"),  # no header
        ("12.5kg,2\n3,4\n", "row 0, column x0.*'12.5kg'"),
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


def test_a_density_that_is_not_a_number_is_the_least_normal() -> None:
    found = p_values(np.array([math.nan, -math.inf, -2.0]), np.array([-1.0, -3.0, math.nan]))
    np.testing.assert_allclose(found, [2 / 4, 2 / 4, 3 / 4])
    assert p_values(np.array([math.nan]), np.array([-1.0, -3.0, -2.0])) == 1 / 4


def test_false_alarms_are_as_many_as_the_level_says(rng: np.random.Generator) -> None:
    found = p_values(rng.normal(size=20_000), rng.normal(size=999))
    for level in (0.01, 0.1, 0.5):
        deviation = math.sqrt(level * (1.0 - level) * (1 / 999 + 1 / 20_000))
        assert abs((found <= level).mean() - level) < 4.0 * deviation


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


def test_a_folder_is_compared_with_the_rows_of_its_own_dataset(
    published: None, master: tuple[Path, dict]
) -> None:
    np.save("x.npy", np.zeros((2, 5), np.float32))
    printed = run("anomalies", master[0] / "tiny_features", "x.npy", code=2)
    assert "The package's rows of magic have shape [10]" in printed
    shutil.copytree(master[0] / "tiny_features", "tuned")
    Path("tuned/recipe.json").unlink()  # a model of no recipe, as `save_checkpoint` writes it
    Path("tuned/SHA256SUMS").unlink()
    assert "give --reference" in run("anomalies", "./tuned", "x.npy", code=2)


def test_the_reference_has_the_labels_that_were_learnt(
    published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run on some labels, rows of the others are not normal."""
    from zoo.cli.tables import reference_rows

    model = zoo.load("tiny_features")
    rows = np.arange(20, dtype=np.float32).reshape(4, 5)
    monkeypatch.setattr("zoo.data.samples", lambda _: rows)
    monkeypatch.setattr("zoo.data.sample_labels", lambda _: np.array([0, 1, 0, 2]))
    entry = registry.get("tiny_features")

    def learnt(*labels: int) -> Any:
        dataset = dataclasses.replace(entry.recipe.dataset, labels=labels)
        recipe = variant(entry.recipe, data=dataset)
        changed = dataclasses.replace(entry, recipe=recipe)
        monkeypatch.setitem(registry.ENTRIES, "tiny_features", changed)
        return reference_rows("tiny_features", None, model, None)[0]

    np.testing.assert_array_equal(learnt(), rows)
    np.testing.assert_array_equal(learnt(0, 2), rows[[0, 2, 3]])
    with pytest.raises(InvalidInputError, match="no rows of magic with such labels"):
        learnt(7)


def test_too_few_reference_rows_are_complained_of(published: None) -> None:
    np.save("x.npy", np.full((2, 5), 3e38, np.float32))  # its density is no number
    np.save("normal.npy", zoo.load("tiny_features").sample(9, seed=0).numpy())
    args = ("anomalies", "tiny_features", "x.npy", "--reference", "normal.npy", "--json")
    result = CliRunner().invoke(cli.app, list(args))
    assert "9 reference rows give no p below 0.1, and --level is 0.01" in result.stderr
    found = json.loads(result.stdout, parse_constant=pytest.fail)  # NaN is not JSON
    assert (found["p"], found["log_prob"]) == ([0.1, 0.1], [None, None])
    assert found["anomalies"] == []
    result = CliRunner().invoke(cli.app, [*args, "--level", "0.1"])
    assert result.stderr == ""
    assert json.loads(result.stdout)["anomalies"] == [0, 1]


def test_labels_are_one_a_row(published: None) -> None:
    x = zoo.load("tiny_labels").sample(3, seed=0, context=1).numpy()
    np.savez("x.npz", x=x, context=np.zeros(4, np.int32))
    assert "x.npz: expected one label a row: 3; got shape [4]" in run(
        "score", "tiny_labels", "x.npz", code=2
    )
    assert "x.npz: patches have no labels" in run(
        "score", "tiny_labels", "x.npz", "--symmetrised", code=2
    )


# Missing values.


def _config(size: int, context_size: int = 0) -> SimpleNamespace:
    return SimpleNamespace(
        event_shape=(size,), preprocessing=Preprocessing(), context_size=context_size
    )


def _features(size: int) -> Space:
    return Space(shape=(size,), dtype="float32", meaning="features")


def _gaussian(mean: np.ndarray, covariance: np.ndarray, calls: list | None = None):
    """A model whose conditional densities are known: a correlated Gaussian."""
    distribution = tfd.MultivariateNormalTriL(
        mean.astype("float32"), np.linalg.cholesky(covariance).astype("float32")
    )

    def sample(count, seed=None, context=None):
        return distribution.sample(count, seed=seed)

    return SimpleNamespace(
        name="gaussian",
        config=_config(len(mean)),
        data=_features(len(mean)),
        context=None,
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
    whole = x[1:2].copy()
    same = impute(model, whole)
    np.testing.assert_array_equal(same, x[1:2])
    assert not np.shares_memory(same, whole)


def test_a_column_that_another_determines_is_drawn_as_narrowly() -> None:
    """x_1 given x_0 has a thousandth of the deviation of x_1."""
    covariance = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-6]])
    x = np.tile([[0.5, np.nan]], [400, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        standard = (impute(_gaussian(np.zeros(2), covariance), x, seed=5)[:, 1] - 0.5) / 1e-3
    assert abs(standard.mean()) < 4 / np.sqrt(400)
    assert standard.std() == pytest.approx(1.0, abs=0.15)


def test_repeated_rows_are_drawn_from_every_mode() -> None:
    """x_1 is 10 or -10 with a deviation of 1, whatever x_0 is: no chain crosses over."""
    density = tfd.MixtureSameFamily(
        tfd.Categorical(probs=[0.5, 0.5]),
        tfd.MultivariateNormalDiag([[0.0, -10.0], [0.0, 10.0]], [1.0, 1.0]),
    )
    model = SimpleNamespace(
        name="modes",
        config=_config(2),
        data=_features(2),
        context=None,
        log_prob=lambda x, context=None: density.log_prob(x),
        sample=lambda count, seed=None, context=None: density.sample(count, seed=seed),
    )
    drawn = impute(model, np.tile([[0.3, np.nan]], [60, 1]), seed=1, num_steps=50)[:, 1]
    assert 10 < (drawn > 0.0).sum() < 50
    np.testing.assert_allclose(np.abs(drawn), 10.0, atol=4.5)
    drawn = impute(model, np.full((60, 2), np.nan), seed=1, num_steps=50)
    assert 10 < (drawn[:, 1] > 0.0).sum() < 50
    assert drawn[:, 0].std() == pytest.approx(1.0, abs=0.4)


def test_a_trajectory_that_diverges_is_refused() -> None:
    """exp(-1e4 x**4) has forces that overflow beyond its samples; only finite rows are scored."""

    def log_prob(x, context=None):
        with tf.control_dependencies([tf.debugging.assert_all_finite(x, "a row")]):
            return -1e4 * tf.reduce_sum(tf.pow(x, 4), -1)

    model = SimpleNamespace(
        name="quartic",
        config=_config(2),
        data=_features(2),
        context=None,
        log_prob=log_prob,
        sample=lambda count, seed=None, context=None: tf.random.stateless_normal([count, 2], seed),
    )
    drawn = impute(model, np.full((50, 2), np.nan), seed=0)
    assert np.isfinite(drawn).all()
    # The variance is Gamma(3/4) / Gamma(1/4) / sqrt(1e4).
    assert drawn.var() == pytest.approx(0.338 / 100.0, rel=0.4)


def test_chains_that_stand_still_are_told() -> None:
    model = _gaussian(np.zeros(2), np.array([[1.0, 1.0], [1.0, 1.0 + 1e-8]]))
    x = np.array([[0.5, 0.5], [0.5, np.nan], [0.1, np.nan]])
    with pytest.warns(UserWarning, match=r"of 2 of 2 rows.*stand still \(row 1 the first\).* 10 "):
        impute(model, x, seed=5, num_steps=10)


def test_labels_of_rows_with_missing_values_are_one_a_row(published: None) -> None:
    model = zoo.load("tiny_labels")
    x = np.full((2, 3), np.nan)
    for context, message in (
        (None, "This model is conditional"),
        ([1], "Expected one label a row: 2; got 1"),
        ([1, 9], "Labels must be in 0..3"),
        ([0.5, 1.5], "Expected context as integer labels"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            impute(model, x, context=context)


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
    with pytest.raises(InvalidInputError, match="rows of real features"):
        impute(zoo.create("wavenet", event_shape=(16,), residual_channels=4), np.zeros((1, 16)))


def test_impute_fills_the_empty_cells_alone(published: None) -> None:
    x = zoo.load("tiny_labels").sample(3, seed=1, context=2).numpy()
    cells = [[f"{value:.4f}" for value in row] for row in x]
    cells[0][1] = cells[2][0] = ""
    cells[1] = ["0.1", "5", " 2.50"]  # written as they were read
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
                assert new == old, (row, column)


def test_impute_says_which_chains_stand_still(
    published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warned(model, rows, **options):
        warnings.warn("The chains of 1 rows stand still.", stacklevel=2)
        return np.ones_like(rows)

    monkeypatch.setattr("zoo.tasks.imputation.impute", warned)
    Path("in.csv").write_text("1,,3,4,5\n")
    result = CliRunner().invoke(cli.app, ["impute", "tiny_features", "in.csv", "-o", "out.csv"])
    assert result.stderr == "zoo: The chains of 1 rows stand still.\n"
    assert Path("out.csv").read_text() == "x0,x1,x2,x3,x4\n1,1.0,3,4,5\n"


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
