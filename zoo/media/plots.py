"""Pictures of numbers, by Matplotlib: histories, pairs of columns, calibration, traversals.

Each function writes a PNG, and returns its path; the folder is made if it is not there.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo import extras
from zoo.errors import FormatError, InvalidInputError, MissingCheckpointError

__all__ = ["calibration", "history", "pairs", "read_history", "traversal"]

BLUE, ORANGE = "#1f5aaa", "#dc7814"
MOST_COLUMNS = 8  # of pairs: 64 panels
NEEDED = (
    "step",
    "learning_rate",
    "train_nats",
    "validation_nats",
    "validation_bits_per_dim",
    "rows_per_second",
)

NEEDED_OF_STAGES = (
    "stage",
    "seconds",
    "train_nats",
    "validation_nats",
    "validation_bits_per_dim",
    "gain",
)
# The last two panels, by the column that counts the rows: title, column.
PANELS = {
    "step": (("learning rate", "learning_rate"), ("rows per second", "rows_per_second")),
    "stage": (("gain of the stage, nats per row", "gain"), ("seconds", "seconds")),
}


def read_history(folder: str | Path) -> dict[str, list[float]]:
    """The columns of a run's history.csv, those of stages where it has been fitted in stages.

    Raises MissingCheckpointError where there is none, FormatError where it is not one, or has no
    row yet.
    """
    path = Path(folder) / "history.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError as error:
        raise MissingCheckpointError(
            f"{path} does not exist: give the folder of a run, of which a validation is over."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{path} is not the history of a run ({error}).") from error
    needed = NEEDED_OF_STAGES if rows and "stage" in rows[0] else NEEDED
    try:
        columns = {key: [float(row[key]) for row in rows] for key in needed}
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{path} is not the history of a run: expected numbers in the columns "
            f"{', '.join(needed)} ({type(error).__name__}: {error})."
        ) from error
    if not rows:
        raise FormatError(f"{path} has no row yet: a run writes one at every validation.")
    return columns


def history(folder: str | Path, out: str | Path = "") -> Path:
    """A run's losses, bits/dim, learning rate and speed over its steps; the best is marked.

    Of a run that fits in stages over those: losses, bits/dim, gains and seconds.
    out: `folder`/history.png without.   Raises as `read_history`.
    """
    columns = read_history(folder)
    counted = "stage" if "stage" in columns else "step"
    steps, nats = columns[counted], columns["validation_nats"]
    best = min(range(len(nats)), key=lambda i: nats[i] if math.isfinite(nats[i]) else math.inf)
    panels: list[tuple[str, Sequence[tuple[str, str, str]]]] = [
        (
            "nats per row",
            (("train_nats", "train", BLUE), ("validation_nats", "validation", ORANGE)),
        ),
        ("validation, bits/dim", (("validation_bits_per_dim", "", ORANGE),)),
        *((title, ((key, "", BLUE),)) for title, key in PANELS[counted]),
    ]
    figure, axes = _panels(2, 2, width=5.6, height=3.4)
    for axis, (title, lines) in zip(axes.flat, panels, strict=True):
        for key, label, colour in lines:
            finite = [value if math.isfinite(value) else math.nan for value in columns[key]]
            axis.plot(steps, finite, color=colour, label=label, marker="o", markersize=2)
        last = columns[lines[-1][0]][best]
        if lines[-1][2] == ORANGE and math.isfinite(last):
            axis.plot([steps[best]], [last], "o", markersize=9, fillstyle="none", color="black")
            axis.annotate(
                f"best {last:.4g}", (steps[best], last), (0, 8), textcoords="offset points"
            )
        axis.set(title=title, xlabel=counted)
        axis.grid(alpha=0.3)
        if len(lines) > 1:
            axis.legend()
    return _saved(figure, Path(out) if out else Path(folder) / "history.png")


def pairs(
    path: str | Path,
    data: np.ndarray,
    samples: np.ndarray,
    names: Sequence[str],
    *,
    categories: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Columns of data and of samples: histograms on the diagonal, every pair below it.

    data, samples: [rows, columns], numbers; an axis shows 99 % of both. Of more than MOST_COLUMNS
    columns the first are drawn.   categories: of columns whose numbers stand for texts.
    Raises InvalidInputError where the columns are not as many as the names.
    """
    if data.ndim != 2 or data.shape[1:] != samples.shape[1:] or data.shape[1] != len(names):
        raise InvalidInputError(
            f"Expected rows of {len(names)} columns; got {list(data.shape)} of data and "
            f"{list(samples.shape)} of samples."
        )
    shown = min(len(names), MOST_COLUMNS)
    figure, axes = _panels(shown, shown, width=1.9, height=1.7)
    limits = [_limits(data[:, i], samples[:, i]) for i in range(shown)]
    for row in range(shown):
        for column in range(shown):
            axis = axes[row, column]
            if column > row:
                axis.set_axis_off()
                continue
            axis.set_xlim(limits[column])
            if column == row:
                _histograms(axis, data[:, row], samples[:, row], limits[row])
            else:
                for rows, colour in ((data, BLUE), (samples, ORANGE)):
                    axis.scatter(
                        rows[:, column], rows[:, row], s=4, alpha=0.3, color=colour, linewidths=0
                    )
                axis.set_ylim(limits[row])
            _label(axis, row, column, shown, names, categories or {})
    axes[0, 0].legend(fontsize=7)
    return _saved(figure, Path(path))


def calibration(path: str | Path, levels: Mapping[str, np.ndarray], title: str = "") -> Path:
    """How often values lie below each quantile of the model's, less how often they should.

    levels: {name: probability integral transforms in [0, 1]}, uniform where the model is right. A
    curve inside of the grey band is no finding: 95 % of curves of a right model stay there all
    along (Dvoretzky, Kiefer and Wolfowitz 1956; Massart 1990).
    """
    across = math.ceil(math.sqrt(len(levels)))
    figure, axes = _panels(math.ceil(len(levels) / across), across, width=2.6, height=2.2)
    for axis in axes.flat[len(levels) :]:
        axis.set_axis_off()
    for axis, (name, values) in zip(axes.flat, levels.items(), strict=False):
        ordered = np.sort(values)
        count = len(ordered)
        band = math.sqrt(math.log(2.0 / 0.05) / (2.0 * count))
        axis.axhspan(-band, band, color="0.88")
        axis.step(ordered, np.arange(1, count + 1) / count - ordered, where="post", color=BLUE)
        axis.set(title=name, xlim=(0.0, 1.0))
        axis.grid(alpha=0.3)
    figure.suptitle(title or "share of rows below the model's quantile, less its level", fontsize=9)
    return _saved(figure, Path(path))


def traversal(
    path: str | Path,
    places: np.ndarray,
    rows: Mapping[str, np.ndarray],
    names: Sequence[str],
) -> Path:
    """What becomes of a row as one latent moves: a panel a latent, a curve a column.

    places: of the latent, [points].   rows: {latent: [points, columns]}, standardised.
    """
    across = math.ceil(math.sqrt(len(rows)))
    figure, axes = _panels(math.ceil(len(rows) / across), across, width=3.2, height=2.4)
    for axis in axes.flat[len(rows) :]:
        axis.set_axis_off()
    for axis, (latent, values) in zip(axes.flat, rows.items(), strict=False):
        for name, column in zip(names, values.T, strict=True):
            axis.plot(places, column, label=name)
        axis.set(title=latent)
        axis.grid(alpha=0.3)
    if len(names) <= 12:
        axes.flat[0].legend(fontsize=6)
    return _saved(figure, Path(path))


def _panels(rows: int, columns: int, *, width: float, height: float) -> tuple[Any, Any]:
    """A figure that no window belongs to, and its axes [rows, columns]."""
    figure = extras.matplotlib("figure").Figure(
        figsize=(columns * width, rows * height), layout="constrained"
    )
    return figure, figure.subplots(rows, columns, squeeze=False)


def _saved(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=100)
    return path


def _limits(*values: np.ndarray) -> tuple[float, float]:
    """The middle 99 % of both, never empty."""
    finite = np.concatenate([array[np.isfinite(array)] for array in values])
    if not len(finite):
        return 0.0, 1.0
    low, high = np.quantile(finite, [0.005, 0.995])
    margin = 0.05 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def _histograms(
    axis: Any, data: np.ndarray, samples: np.ndarray, limits: tuple[float, float]
) -> None:
    values = np.unique(data[np.isfinite(data)])
    few = len(values) <= 20 and (values == np.round(values)).all()
    bins: Any = np.arange(values[0] - 0.5, values[-1] + 1.0) if few and len(values) else 40
    for rows, colour, label in ((data, BLUE, "data"), (samples, ORANGE, "samples")):
        axis.hist(
            rows[np.isfinite(rows)],
            bins,
            range=None if few else limits,
            density=True,
            histtype="step",
            color=colour,
            label=label,
        )
    axis.set_yticks([])


def _label(
    axis: Any,
    row: int,
    column: int,
    shown: int,
    names: Sequence[str],
    categories: Mapping[str, Sequence[str]],
) -> None:
    """Names and ticks, at the left and below alone."""
    axis.tick_params(labelsize=6)
    for place, here, other in (("x", column, row == shown - 1), ("y", row, column == 0)):
        texts = categories.get(names[here], ())
        if 0 < len(texts) <= 12 and not (place == "y" and row == column):
            getattr(axis, f"set_{place}ticks")(range(len(texts)), [str(t)[:12] for t in texts])
        if other:
            getattr(axis, f"set_{place}label")(names[here], fontsize=8)
        else:
            getattr(axis, f"set_{place}ticks")([])
