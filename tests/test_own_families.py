"""`--family`: which families take which columns, and what a model of them says of the rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import tensorflow as tf
from typer.testing import CliRunner

import zoo
from zoo.bijectors import ColumnCoordinates
from zoo.cli import app
from zoo.core.columns import Column
from zoo.errors import ConfigError, InvalidInputError
from zoo.training.own_recipes import recipe_of_table
from zoo.training.own_runs import blank

REALS = (
    Column(name="size", kind="real", location=0.5, scale=2.0, heavy=True),
    Column(name="price", kind="positive", location=1.0, scale=0.5),
    Column(name="share", kind="bounded", minimum=-1.0, maximum=2.0),
    Column(name="day", kind="date", location=10.0, scale=3.0),
)
QUICK = ["max_epochs=2", "validate_every=5", "jit_compile=false"]


def test_coordinates_are_those_of_the_formulas() -> None:
    """A standard normal in each coordinate is a density that SciPy knows; outside it is 0."""
    chain = ColumnCoordinates(REALS[1:2])
    x = np.array([[0.3], [1.0], [4.0]])
    y, log_det = chain.inverse_and_log_det(tf.constant(x))
    nats = scipy.stats.norm.logpdf(y)[:, 0] + log_det
    expected = scipy.stats.lognorm(s=0.5, scale=np.exp(1.0)).logpdf(x[:, 0])
    np.testing.assert_allclose(nats, expected, rtol=1e-12)
    y = tf.constant(np.random.default_rng(0).normal(size=(50, 4)))
    every = ColumnCoordinates(REALS)
    rows, forward = every.forward_and_log_det(y)
    back, inverse = every.inverse_and_log_det(tf.identity(rows))
    np.testing.assert_allclose(back, y, atol=1e-9)
    np.testing.assert_allclose(inverse, -forward, atol=1e-9)
    with tf.GradientTape() as tape:
        tape.watch(y)
        rows = every.forward_and_log_det(y)[0]
    slopes = np.log(np.abs(tape.gradient(rows, y))).sum(1)
    np.testing.assert_allclose(forward, slopes, atol=1e-9)
    outside = tf.constant([[0.0, -1.0, 0.0, 0.0], [0.0, 1.0, 2.0, 0.0], [0.0, 1.0, 1.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(outside)
        log_det = every.inverse_and_log_det(outside)[1]
    np.testing.assert_array_equal(np.isinf(log_det), [True, True, False])
    assert np.isfinite(tape.gradient(log_det, outside)).all()


def test_a_family_takes_what_it_declares(tmp_path: Path) -> None:
    def recipe(family: str, *columns: Column, **options):
        table = blank("t")
        return recipe_of_table(table, columns, (), 400, family=family, **options)

    region = Column(name="region", kind="category", categories=("north", "south", "west"))
    visits = Column(name="visits", kind="count", minimum=0.0, location=2.0, scale=1.0)
    gaps = Column(name="size", kind="real", missing=True)
    for family in ("maf", "nsf", "realnvp", "planar"):
        assert recipe(family, *REALS).config["columns"][1]["name"] == "price"
        with pytest.raises(InvalidInputError, match=r"region \(category\), visits \(count\)\. .*"):
            recipe(family, REALS[0], region, visits)
    for family in ("oamade", "deformer"):
        assert recipe(family, REALS[0], region, visits).config["num_classes"] == 0
    config = recipe("idf", region, visits, largest={"visits": 9.0}).config
    assert config["num_classes"] == 10
    with pytest.raises(InvalidInputError, match=r"columns like size \(real\).*Families that can:"):
        recipe("idf", region, REALS[0])
    with pytest.raises(InvalidInputError, match=r"size \(real, cells missing\)"):
        recipe("maf", REALS[1], gaps)
    with pytest.raises(InvalidInputError, match=r"Families that can: .*\btable_made\b"):
        recipe("wavenet", REALS[1], gaps)
    with pytest.raises(zoo.ZooError, match="No family named"):
        recipe("mav", *REALS)
    with pytest.raises(ConfigError, match=r"takes no column like region \(category\)"):
        zoo.create("maf", event_shape=(1,), columns=[region], preprocessing={})


def test_a_flow_of_columns_is_what_every_command_takes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=200), "price": np.exp(rng.normal(0, 2, 200))})
    frame.to_csv(tmp_path / "t.csv", index=False)
    run = tmp_path / "mine"
    sets = ["config.num_layers=1", "config.hidden_units=[4]", *QUICK]
    args = ["fit", tmp_path / "t.csv", "-o", run, "--family", "maf"]
    result = CliRunner().invoke(app, [*map(str, args), *(f"--set={text}" for text in sets)])
    assert result.exit_code == 0, result.output
    for words in ("price   positive", "gaussian", "test rows, nats"):
        assert words in result.output
    model = zoo.load(run)
    assert model.family == "maf"
    rows = model.sample(200, seed=0)
    assert (rows.numpy()[:, 1] > 0.0).all()
    nats = model.log_prob(frame)
    np.testing.assert_allclose(nats, model.log_prob(frame.to_numpy("float32")), rtol=1e-6)
    assert model.log_prob(np.array([[0.0, -1.0]], "float32")).numpy() == [-np.inf]
    text = CliRunner().invoke(app, ["sample", str(run), "-n", "3", "--csv"]).output
    assert text.splitlines()[0] == "size,price"
    scores = CliRunner().invoke(app, ["score", str(run), str(tmp_path / "t.csv"), "--json"]).output
    np.testing.assert_allclose(json.loads(scores)["files"][0]["log_prob"], nats, rtol=1e-5)


def test_integers_of_columns_stay_in_their_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "region": rng.choice(["north", "south"], 200),
            "sold": rng.random(200) < 0.3,
            "visits": rng.poisson(4.0, 200),
        }
    )
    sets = ["config.num_flows=1", "config.hidden_units=[4]", *QUICK]
    model = zoo.fit(frame, tmp_path / "mine", family="idf", assignments=sets)
    assert model.measure == "mass"
    rows = model.sample(300, seed=0).numpy()
    np.testing.assert_array_equal(rows[:, :2] <= 1, True)
    np.testing.assert_allclose(model.log_prob(frame[:5]), model.log_prob(_numbers(frame[:5])))
    text = CliRunner().invoke(app, ["sample", str(tmp_path / "mine"), "-n", "3", "--csv"]).output
    assert {line.split(",")[0] for line in text.splitlines()[1:]} <= {"north", "south"}
    with pytest.raises(InvalidInputError):
        model.log_prob(pd.DataFrame({"region": ["north"], "sold": [True], "visits": [300]}))


def test_trees_grow_in_stages(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    region = rng.choice(["north", "south"], 200)
    frame = pd.DataFrame(
        {"region": region, "warm": region == "south", "visits": rng.poisson(4, 200)}
    )
    sets = ["config.min_samples_split=10", "config.max_depth=2"]
    model = zoo.fit(frame, tmp_path / "mine", family="dtf", assignments=sets, minutes=5.0)
    recipe = json.loads((tmp_path / "mine" / "recipe.json").read_text())
    assert (recipe["training"]["kind"], recipe["training"]["layers"]) == ("Greedy", 0)
    independent = 2.0 * np.log(2.0) + 3.0  # nats, at most: what no tree says of the three
    assert -independent < np.mean(model.log_prob(frame)) < 0.0


def _numbers(frame: pd.DataFrame) -> np.ndarray:
    south = (frame["region"] == "south").to_numpy()
    return np.stack([south, frame["sold"], frame["visits"]], axis=1).astype("uint8")
