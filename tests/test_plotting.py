"""`zoo plot`: the pictures hold what they are of, and say what they cannot draw."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import zoo
from zoo import cli
from zoo.core.columns import Column
from zoo.errors import FormatError, InvalidInputError, MissingCheckpointError
from zoo.evaluation import figures
from zoo.evaluation.calibration import column_levels, latent_levels, marginal_levels
from zoo.media import plots

HEAD = (
    "step,epoch,seconds,learning_rate,train_nats,validation_nats,validation_bits_per_dim,"
    "rows_per_second\n"
)


def write(folder: Path, losses: list[float], head: str = HEAD) -> Path:
    rows = [
        f"{10 * (i + 1)},{i},1.5,{0.001 / (i + 1)},{loss - 1},{loss},{loss / 11},{500 + i}\n"
        for i, loss in enumerate(losses)
    ]
    (folder / "history.csv").write_text(head + "".join(rows))
    return folder


def count(path: Path, colour: str) -> int:
    """Pixels of about that colour."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    with Image.open(path) as picture:
        image = np.asarray(picture.convert("RGB")).astype(int)
    return int((np.abs(image - wanted).sum(-1) < 60).sum())


@pytest.fixture
def figures_drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    """Figures that were saved, with their axes."""
    found, saved = [], plots._saved

    def noted(figure, path: Path) -> Path:
        found.append(figure)
        return saved(figure, path)

    monkeypatch.setattr(plots, "_saved", noted)
    return found


def test_the_curves_are_those_of_the_file_and_the_lowest_point_is_marked(
    tmp_path: Path, figures_drawn: list
) -> None:
    losses = [50.0, 30.0, 20.0, 15.0, 12.0, 16.0]
    path = plots.history(write(tmp_path, losses))
    assert path == tmp_path / "history.png"
    assert count(path, plots.ORANGE) > 300 < count(path, plots.BLUE)
    nats, bits, rate, speed = figures_drawn[0].axes
    train, validation, best = nats.lines
    np.testing.assert_allclose(train.get_ydata(), np.array(losses) - 1.0)
    np.testing.assert_allclose(validation.get_xydata()[4], [50.0, 12.0])
    np.testing.assert_allclose(best.get_xydata(), [[50.0, 12.0]])
    np.testing.assert_allclose(bits.lines[1].get_xydata(), [[50.0, 12.0 / 11]])
    assert (len(rate.lines), len(speed.lines)) == (1, 1)


def test_short_constant_and_infinite_histories_are_drawn(tmp_path: Path) -> None:
    for losses in ([3.0], [3.0, 3.0], [3.0, math.inf, 2.0], [math.nan]):
        path = plots.history(write(tmp_path, losses), tmp_path / "new" / "picture.png")
        assert path.stat().st_size > 1000


def test_what_is_no_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingCheckpointError, match=r"history\.csv does not exist: give the"):
        plots.history(tmp_path)
    with pytest.raises(FormatError, match="has no row yet"):
        plots.history(write(tmp_path, []))
    with pytest.raises(FormatError, match="expected numbers in the columns step"):
        plots.history(write(tmp_path, [1.0], head="a,b,c,d,e,f,g,h\n"))
    (tmp_path / "history.csv").write_text(HEAD + "1,2,x,y,z,1,2,3\n")
    with pytest.raises(FormatError, match="could not convert string to float"):
        plots.history(tmp_path)
    (tmp_path / "history.csv").write_bytes(b"step,\xff\n")
    with pytest.raises(FormatError, match=r"not the history of a run .*utf-8"):
        plots.history(tmp_path)


@pytest.fixture(scope="module")
def table():
    columns = (
        Column(name="region", kind="category", categories=("north", "south")),
        Column(name="size", kind="real"),
        Column(name="visits", kind="count", minimum=0.0, location=2.0, scale=1.5),
    )
    sizes = {"num_units": 4, "num_blocks": 0, "num_components": 2}
    return zoo.create("table_made", event_shape=(3,), columns=columns, **sizes)


def test_pairs_of_columns_show_data_and_samples(table, tmp_path: Path, figures_drawn: list) -> None:
    rows = table.sample(300, seed=3).numpy()
    path = figures.pairs(table, rows, None, tmp_path / "pairs.png")
    assert count(path, plots.ORANGE) > 100 < count(path, plots.BLUE)
    axes = np.reshape(figures_drawn[0].axes, [3, 3])
    assert [axis.get_xlabel() for axis in axes[2]] == ["region", "size", "visits"]
    assert [text.get_text() for text in axes[2, 0].get_xticklabels()] == ["north", "south"]
    np.testing.assert_allclose(axes[2, 1].collections[0].get_offsets(), rows[:, 1:])
    with pytest.raises(InvalidInputError, match="Expected rows of 2 columns"):
        plots.pairs(path, rows, rows, ["a", "b"])


def test_levels_are_uniform_under_the_model_and_elsewhere_not(table, tmp_path: Path) -> None:
    """Kolmogorov's statistic of 1,500 rows, discrete columns too; of shifted rows it is large."""
    rows = table.sample(1500, seed=4).numpy()
    levels = marginal_levels(table, rows)
    grid = (np.arange(1500) + 0.5) / 1500
    assert np.abs(np.sort(levels, axis=0) - grid[:, None]).max() < 0.05
    shifted = marginal_levels(table, rows + np.array([0.0, 1.0, 0.0]))
    assert np.abs(np.sort(shifted[:, 1]) - grid).max() > 0.2
    rows[0, 1] = np.nan
    assert np.isnan(marginal_levels(table, rows)).sum() == 1
    path = plots.calibration(tmp_path / "c.png", {"size": shifted[:, 1]})
    assert count(path, plots.BLUE) > 200


def test_columns_given_those_before_have_uniform_levels() -> None:
    """Of every kind of column, under weights by which each hangs on those before it."""
    columns = (
        Column(name="region", kind="category", categories=("north", "south", "west")),
        Column(name="hour", kind="circular", period=24.0, minimum=0.0),
        Column(name="visits", kind="count", minimum=0.0, location=2.0, scale=1.5),
        Column(name="size", kind="positive"),
    )
    sizes = {"num_units": 4, "num_blocks": 0, "num_components": 2}
    model = zoo.create("table_made", event_shape=(4,), columns=columns, **sizes)
    generator = np.random.default_rng(6)
    for variable in model.weights:
        variable.assign(variable + 0.5 * generator.normal(size=variable.shape))
    rows = model.sample(1500, seed=5).numpy()
    grid = ((np.arange(1500) + 0.5) / 1500)[:, None]
    levels = column_levels(model, rows)
    assert np.abs(np.sort(levels, axis=0) - grid).max() < 0.05
    low, high = np.moveaxis(model.column_levels(rows).numpy(), -1, 0)
    masses = np.exp(model.column_log_prob(rows).numpy())
    np.testing.assert_allclose((high - low)[:, [0, 2]], masses[:, [0, 2]], atol=1e-5)
    assert (low[:, [1, 3]] == high[:, [1, 3]]).all()
    with pytest.raises(InvalidInputError, match="no conditionals of single columns"):
        column_levels(zoo.create("maf", event_shape=(2,), hidden_units=(4,), num_layers=1), rows)


def test_latents_of_a_flow_have_levels_and_are_moved(tmp_path: Path, figures_drawn: list) -> None:
    flow = zoo.create("maf", event_shape=(2,), hidden_units=(4,), num_layers=1)
    rows = flow.sample(1000, seed=1)
    levels = latent_levels(flow, rows)
    assert np.abs(np.sort(levels, axis=0) - ((np.arange(1000) + 0.5) / 1000)[:, None]).max() < 0.06
    figures.traversal(flow, tmp_path / "t.png", latents=[1])
    (axis,) = figures_drawn[0].axes
    assert axis.get_title() == "latent 1"
    places = axis.lines[0].get_xdata()
    z = np.stack([np.zeros_like(places), places], -1)
    moved = flow.decode(z).numpy().astype(float)
    expected = (moved - moved.mean(0)) / np.maximum(moved.std(0), 1e-12)
    np.testing.assert_allclose(axis.lines[1].get_ydata(), expected[:, 1], atol=1e-4)
    with pytest.raises(InvalidInputError, match=r"Expected latents 0\.\.1; got 2"):
        figures.traversal(flow, tmp_path / "t.png", latents=[2])


def test_pictures_are_moved_as_a_grid(tmp_path: Path) -> None:
    levels = {"num_levels": 256, "transform": "unit"}
    nice = zoo.create(
        "nice", event_shape=(4, 4, 1), preprocessing=levels, num_couplings=2, hidden_units=(4,)
    )
    path = figures.traversal(nice, tmp_path / "t.png")
    with Image.open(path) as picture:
        assert picture.size == (2 + 9 * 6, 2 + 8 * 6)


def test_the_command_draws_each(table, tmp_path: Path) -> None:
    folder = zoo.save(table, tmp_path / "mine")
    zoo.save(table, tmp_path / "mine", overwrite=True)
    write(folder, [3.0, 2.0])
    rows = tmp_path / "rows.csv"

    def run(*args: object, code: int = 0) -> str:
        result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
        assert result.exit_code == code, result.output
        return result.output

    assert run("plot", folder).split()[-1] == str(folder / "history.png")
    run("sample", folder, "-n", 50, "--seed", 1, "-o", rows)
    run("plot", folder, "pairs", "--data", rows, "-o", tmp_path / "p.png")
    run("plot", folder, "calibration", "--data", rows)
    assert (tmp_path / "p.png").is_file()
    assert (folder / "calibration.png").is_file()
    assert "give --data" in run("plot", folder, "pairs", code=2)
    assert "has no latents" in run("plot", folder, "traversal", code=2)
    assert "Expected --latents 0,3,7" in run("plot", folder, "traversal", "--latents", "x", code=2)
