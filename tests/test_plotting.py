"""`zoo plot`: the picture holds the curves, and says what it cannot draw."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.errors import FormatError, MissingCheckpointError
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


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def pixels(path: Path, colour: tuple[int, int, int]) -> np.ndarray:
    """[points, 2]: where the picture has about that colour, (y, x)."""
    with Image.open(path) as picture:
        image = np.asarray(picture.convert("RGB")).astype(int)
    return np.argwhere(np.abs(image - colour).sum(-1) < 60)


def test_the_curve_falls_and_its_lowest_point_is_marked(tmp_path: Path) -> None:
    losses = [50.0, 30.0, 20.0, 15.0, 12.0, 16.0]
    path = plots.plot(write(tmp_path, losses))
    assert path == tmp_path / "history.png"
    assert size(path) == (2 * plots.WIDTH, 2 * plots.HEIGHT)
    curve = pixels(path, plots.ORANGE)
    curve = curve[(curve[:, 1] > plots.WIDTH) & (curve[:, 0] < plots.HEIGHT)]  # bits/dim
    inside = curve[curve[:, 0] > plots.TOP + 4]
    heights = [
        inside[inside[:, 1] == x][:, 0].mean() for x in np.unique(inside[:, 1]) if x % 20 == 0
    ]
    lowest = int(np.argmax(heights))  # rows of a picture count downwards
    assert heights[:lowest] == sorted(heights[:lowest])
    assert 0.6 < lowest / len(heights) < 0.95
    assert len(pixels(path, plots.BLUE)) > 500


@pytest.mark.parametrize("losses", [[3.0], [3.0, 3.0], [3.0, math.inf, 2.0], [math.nan]])
def test_short_constant_and_infinite_histories_are_drawn(
    losses: list[float], tmp_path: Path
) -> None:
    path = plots.plot(write(tmp_path, losses), tmp_path / "new" / "picture.png")
    assert size(path)[0] == 2 * plots.WIDTH


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 10.0, [0.0, 5.0, 10.0]),
        (-3.0, 4.0, [-2.0, 0.0, 2.0, 4.0]),
        (0.0011, 0.0019, [0.0012, 0.0014, 0.0016, 0.0018]),
        (1000.0, 5000.0, [1000.0, 2000.0, 3000.0, 4000.0, 5000.0]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert plots.ticks(low, high) == pytest.approx(expected)


def test_what_is_no_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingCheckpointError, match=r"history\.csv does not exist: give the"):
        plots.plot(tmp_path)
    with pytest.raises(FormatError, match="has no row yet"):
        plots.plot(write(tmp_path, []))
    with pytest.raises(FormatError, match="expected numbers in the columns step"):
        plots.plot(write(tmp_path, [1.0], head="a,b,c,d,e,f,g,h\n"))
    (tmp_path / "history.csv").write_text(HEAD + "1,2,x,y,z,1,2,3\n")
    with pytest.raises(FormatError, match="could not convert string to float"):
        plots.plot(tmp_path)
    (tmp_path / "history.csv").write_bytes(b"step,\xff\n")
    with pytest.raises(FormatError, match=r"not the history of a run .*utf-8"):
        plots.plot(tmp_path)
