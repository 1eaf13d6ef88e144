"""A run's history.csv as a picture: losses, bits/dim, learning rate and speed. Pillow, no more.

Four panels over the steps; the best validation is marked. Of a run that fits in stages they are
over the stages: losses, bits/dim, gains and seconds. Drawn at twice the size and reduced, for
smooth lines.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from zoo.errors import FormatError, MissingCheckpointError

__all__ = ["plot", "read_history", "ticks"]

WIDTH, HEIGHT = 560, 340  # of a panel, in pixels of the picture
LEFT, RIGHT, TOP, BOTTOM = 78, 18, 34, 40  # of its frame
OVERSAMPLING = 2
INK, GREY, LIGHT = (30, 30, 30), (120, 120, 120), (225, 225, 225)
BLUE, ORANGE = (31, 90, 170), (220, 120, 20)
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
    "step": (("learning rate", "learning_rate"), ("rows a second", "rows_per_second")),
    "stage": (("gain of the stage, nats a row", "gain"), ("seconds", "seconds")),
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A named curve."""

    label: str
    values: Sequence[float]
    colour: tuple[int, int, int]


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


def plot(folder: str | Path, out: str | Path = "") -> Path:
    """Draws the history of the run in `folder` as a PNG; returns its path.

    out: `folder`/history.png without.   Raises as `read_history`.
    """
    folder = Path(folder)
    history = read_history(folder)
    counted = "stage" if "stage" in history else "step"
    steps, nats = history[counted], history["validation_nats"]
    best = min(range(len(nats)), key=lambda i: nats[i] if math.isfinite(nats[i]) else math.inf)
    panels = [
        (
            "nats a row",
            [
                Line(label="train", values=history["train_nats"], colour=BLUE),
                Line(label="validation", values=nats, colour=ORANGE),
            ],
        ),
        (
            "validation, bits/dim",
            [Line(label="", values=history["validation_bits_per_dim"], colour=ORANGE)],
        ),
        *(
            (title, [Line(label="", values=history[column], colour=BLUE)])
            for title, column in PANELS[counted]
        ),
    ]
    scale = OVERSAMPLING
    picture = Image.new("RGB", (2 * WIDTH * scale, 2 * HEIGHT * scale), "white")
    draw = ImageDraw.Draw(picture)
    for index, (title, lines) in enumerate(panels):
        corner = (index % 2 * WIDTH, index // 2 * HEIGHT)
        marked = best if "nats" in title or "bits" in title else None
        _panel(draw, corner, title, steps, lines, marked, counted)
    target = Path(out) if out else folder / "history.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.reduce(scale).save(target, format="PNG", optimize=True)
    return target


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers within [low, high], 1, 2 or 5 times a power of ten apart: about `count`."""
    raw = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1.0, 2.0, 5.0, 10.0) if f * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The finite values' range, never empty."""
    finite = [v for v in values if math.isfinite(v)] or [0.0]
    low, high = min(finite), max(finite)
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-300):
        margin = 0.5 * abs(low) or 1.0
        return low - margin, high + margin
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _panel(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    title: str,
    steps: Sequence[float],
    lines: Sequence[Line],
    marked: int | None,
    counted: str,
) -> None:
    scale = OVERSAMPLING
    font, small = (ImageFont.load_default(size * scale) for size in (14, 11))
    left, top = corner[0] + LEFT, corner[1] + TOP
    right, bottom = corner[0] + WIDTH - RIGHT, corner[1] + HEIGHT - BOTTOM
    low, high = _range([v for line in lines for v in line.values])
    first, last = _range(steps)

    def place(step: float, value: float) -> tuple[float, float]:
        x = left + (step - first) / (last - first) * (right - left)
        y = bottom - (value - low) / (high - low) * (bottom - top)
        return x * scale, y * scale

    for value in ticks(low, high):
        _, y = place(first, value)
        draw.line([(left * scale, y), (right * scale, y)], fill=LIGHT, width=scale)
        draw.text(((left - 6) * scale, y), _text(value), fill=GREY, font=small, anchor="rm")
    for step in ticks(first, last):
        if step < 0:
            continue
        x, _ = place(step, low)
        draw.line([(x, bottom * scale), (x, (bottom + 4) * scale)], fill=GREY, width=scale)
        draw.text((x, (bottom + 8) * scale), _text(step), fill=GREY, font=small, anchor="ma")
    frame = [(left * scale, top * scale), (right * scale, bottom * scale)]
    draw.rectangle(frame, outline=GREY, width=scale)
    draw.text((left * scale, (top - 8) * scale), title, fill=INK, font=font, anchor="ls")
    draw.text(((right + left) / 2 * scale, (bottom + 24) * scale), counted, fill=GREY, font=small)
    at = right
    for line in lines:
        _curve(draw, [place(s, v) for s, v in zip(steps, line.values, strict=True)], line.colour)
        if line.label:
            draw.text(
                (at * scale, (top - 8) * scale),
                line.label,
                fill=line.colour,
                font=font,
                anchor="rs",
            )
            at -= 70
    if marked is not None and math.isfinite(lines[-1].values[marked]):
        value = lines[-1].values[marked]
        x, y = place(steps[marked], value)
        radius = 4 * scale
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=INK, width=scale)
        draw.text((x, y - 8 * scale), f"best {value:.4g}", fill=INK, font=small, anchor="rs")


def _curve(
    draw: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], colour: tuple[int, int, int]
) -> None:
    """The points joined, with gaps where a value is not finite; a lone point is a dot."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if all(map(math.isfinite, point)):
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    for piece in pieces:
        if len(piece) > 1:
            draw.line(piece, fill=colour, width=2 * OVERSAMPLING, joint="curve")
        elif piece:
            (x, y), radius = piece[0], 2 * OVERSAMPLING
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
