"""p(a | b = …) on a grid: against quadrature and sums of the whole density, and refusals."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from typer.testing import CliRunner

import zoo
from zoo import cli
from zoo.core.columns import Column
from zoo.errors import InvalidInputError
from zoo.tasks.conditionals import conditional, marginal

COLUMNS = (
    Column(name="region", kind="category", categories=("north", "south", "west")),
    Column(name="size", kind="positive", location=0.5, scale=0.4),
    Column(name="visits", kind="count", location=2.0, scale=1.5, minimum=0.0),
    Column(name="hour", kind="circular", period=24.0, minimum=0.0),
    Column(name="height", kind="real", location=10.0, scale=2.0, heavy=True),
)


@pytest.fixture(scope="module")
def model():
    """Weights of no initialisation: every column hangs on those before it."""
    made = zoo.create(
        "table_made", event_shape=(5,), columns=COLUMNS, num_units=8, num_blocks=0, num_components=2
    )
    generator = np.random.default_rng(5)
    for variable in made.weights:
        variable.assign(variable + 0.3 * generator.normal(size=variable.shape))
    return made


def row(**values: object) -> pd.DataFrame:
    filled = {"region": "south", "size": 1.5, "visits": 2, "hour": 7.0, "height": 10.0, **values}
    arrays = {name: np.atleast_1d(value) for name, value in filled.items()}
    count = max(map(len, arrays.values()))
    return pd.DataFrame({name: np.resize(value, count) for name, value in arrays.items()})


def test_given_all_before_it_is_one_factor(model) -> None:
    sizes = np.linspace(0.5, 4.0, 7)
    found = conditional(model, "size", {"region": "west"}, grid=sizes)
    assert list(found.columns) == ["size", "density"]
    expected = np.exp(model.column_log_prob(row(region="west", size=sizes))[:, 1])
    np.testing.assert_allclose(found["density"], expected, rtol=1e-6)


def test_a_first_column_is_its_own_marginal_and_what_is_unknown_is_summed_over(model) -> None:
    first = marginal(model, "region")
    assert list(first["region"]) == ["north", "south", "west"]
    assert first["probability"].sum() == pytest.approx(1.0, abs=1e-6)
    sizes = np.array([0.7, 1.0, 2.0])
    mixed = np.zeros(3)
    for name, share in zip(first["region"], first["probability"], strict=True):
        mixed += share * conditional(model, "size", {"region": name}, grid=sizes)["density"]
    np.testing.assert_allclose(marginal(model, "size", grid=sizes)["density"], mixed, rtol=1e-5)


def test_what_comes_later_says_something_of_what_comes_before(model) -> None:
    """By Bayes' rule over the three regions; visits hang on a size that nobody gave."""
    found = conditional(model, "region", {"size": 1.3, "visits": 4})
    regions = ["north", "south", "west"]
    joint = np.exp(model.column_log_prob(row(region=regions, size=1.3, visits=4))[:, :3]).prod(1)
    np.testing.assert_allclose(found["probability"], joint / joint.sum(), rtol=1e-5)
    integrated = conditional(model, "region", {"visits": 4})["probability"]
    sizes = np.exp(np.linspace(-4.0, 5.0, 4001))
    shares = []
    for name in regions:
        nats = model.column_log_prob(row(region=name, size=sizes, visits=4))[:, :3].numpy()
        shares.append(np.trapezoid(np.exp(nats.astype(np.float64).sum(1)), sizes))
    np.testing.assert_allclose(integrated, np.array(shares) / np.sum(shares), rtol=1e-3)


def without(given: dict, name: str) -> dict:
    return {key: value for key, value in given.items() if key != name}


def test_answers_are_densities_of_every_kind(model) -> None:
    given = {"region": "north", "visits": 1, "size": 1.2, "hour": 3.0, "height": 9.0}
    hours = conditional(model, "hour", without(given, "hour"))
    assert hours["density"].mean() * 24.0 == pytest.approx(1.0, abs=1e-3)
    sizes = conditional(model, "size", without(given, "size"))
    total = np.trapezoid(sizes["density"], sizes["size"])
    assert total == pytest.approx(1.0, abs=0.02)  # the grid ends at 99.8 % of the marginal
    counts = conditional(model, "visits", {"region": "north", "size": 1.0})
    assert counts["visits"].dtype == np.int64
    assert counts["probability"].sum() == pytest.approx(1.0, abs=1e-4)


def test_of_a_flow_all_others_are_integrated_over() -> None:
    """A whitened flow that is fresh is the Gaussian of its rows, whose conditionals are known."""
    whitened = {"whitening": "zca"}
    flow = zoo.create(
        "maf", event_shape=(3,), hidden_units=(4,), num_layers=1, preprocessing=whitened
    )
    factor = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.3, 0.5, 0.4]])
    rows = np.random.default_rng(0).normal(size=(500, 3)) @ factor.T + [1.0, 2.0, 3.0]
    flow.adapt(rows.astype(np.float32))
    mean, covariance = rows.mean(0), np.cov(rows.T)
    grid = np.linspace(-1.0, 3.0, 9)
    for places, values in (([1], [2.4]), ([1, 2], [2.4, 3.1])):
        weights = np.linalg.solve(covariance[np.ix_(places, places)], covariance[places, 0])
        centre = mean[0] + weights @ (np.array(values) - mean[places])
        deviation = np.sqrt(covariance[0, 0] - weights @ covariance[places, 0])
        given = {f"x{place}": value for place, value in zip(places, values, strict=True)}
        found = conditional(flow, "x0", given, grid=grid)["density"]
        expected = scipy.stats.norm(centre, deviation).pdf(grid)
        np.testing.assert_allclose(found, expected, rtol=0.03, atol=1e-3)


@pytest.mark.parametrize(
    ("column", "given", "options", "message"),
    [
        ("odd", {}, {}, r"No column 'odd'; the model has region, size"),
        ("size", {"odd": 1.0}, {}, "No column 'odd'"),
        ("size", {"size": 1.0}, {}, "is asked for, and given"),
        ("size", {"region": "east"}, {}, "one of north, south, west"),
        ("size", {}, {"grid": [[1.0]]}, r"\[points\]; got \[1, 1\]"),
        ("region", {"size": -1.0}, {}, "no density under the model"),
        ("height", {}, {}, r"integral over region, size, visits, hour, too many columns"),
    ],
)
def test_what_has_no_answer_is_refused(model, column, given, options, message) -> None:
    with pytest.raises(InvalidInputError, match=message):
        conditional(model, column, given, **options)


def test_the_command_answers_as_csv(model, tmp_path) -> None:
    folder = zoo.save(model, tmp_path / "mine")
    args = ["ask", str(folder), "size", "--given", "region=west", "--at", "0.5,1"]
    result = CliRunner().invoke(cli.app, args)
    assert result.exit_code == 0, result.output
    found = pd.read_csv(io.StringIO(result.stdout))
    expected = conditional(model, "size", {"region": "west"}, grid=[0.5, 1.0])
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5)
    assert CliRunner().invoke(cli.app, [*args[:3], "--given", "west"]).exit_code == 2


def test_pictures_have_no_columns() -> None:
    nice = zoo.create("nice", event_shape=(4, 4, 1), num_couplings=2, hidden_units=(4,))
    with pytest.raises(InvalidInputError, match=r"of tables, by models.*\[4, 4, 1\]"):
        conditional(nice, "x0")
