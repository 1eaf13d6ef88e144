"""`make demo`: three published flows score real test rows, draw samples, and interpolate.

    python tools/demo.py [--out DIR] [NAME …]

Needs nothing but the checkpoints: the rows ship with the package. Prints what each model gives on
them beside the figure of its card (the whole test set), and writes samples_<name>.png, samples.png
and interpolations.png. Exits with 1 if a model could not be loaded.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from drawn_from import weights_text

from zoo import loading, registry
from zoo.data import samples
from zoo.errors import ZooError
from zoo.media import pictures as figures
from zoo.media.console import columns, figure, import_tensorflow

NAMES = ("realnvp_cifar", "nice_mnist", "maf_mnist")
# An autoregressive flow inverts one dimension after another: few of its images, and few pairs.
SAMPLES = {"maf": 8, "made": 8}
PAIRS = {"maf": 1, "made": 1}
STEPS = 8
SCALE = 2  # pixels of the picture for one of the image


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a model did: text cells of the table, and its pictures."""

    cells: tuple[str, ...]
    samples: np.ndarray
    interpolations: np.ndarray


def show(name: str) -> Shown:
    """Loads a model, scores its dataset's packaged rows, draws and interpolates."""
    started = time.monotonic()
    entry = registry.get(name)
    model = loading.load(name)
    rows = samples(entry.recipe.dataset.name)
    metric = entry.metrics[0]
    here = _scores(model, rows, metric)
    drawn = np.asarray(model.sample(SAMPLES.get(entry.family, 32), seed=1))
    pairs = PAIRS.get(entry.family, 3)
    between = figures.interpolate(model, rows[:pairs], rows[pairs : 2 * pairs], steps=STEPS)
    metrics = loading.info(name).metrics
    cells = (
        name,
        metric,
        f"{here.mean():.4g} on {len(rows)} rows",
        _card_figure(metrics, metric),
        _paper_figure(metrics, metric),
        f"{time.monotonic() - started:.0f} s",
    )
    return Shown(
        cells=cells,
        samples=figures.grid(drawn, columns=8),
        interpolations=figures.grid(between, columns=STEPS),
    )


def _scores(model: Any, rows: np.ndarray, metric: str) -> np.ndarray:
    """The rows' own values of a card's metric."""
    if metric == "bits_per_dim":
        return np.asarray(model.bits_per_dim(rows))
    log_prob = np.asarray(model.log_prob(rows))
    if metric == "log_prob_paper":
        return log_prob - np.asarray(model.paper_space_log_det(rows))
    return log_prob


def _card_figure(metrics: Mapping[str, Any], metric: str) -> str:
    if metric not in metrics.get("metrics", {}):
        return "not evaluated"
    return f"{figure(metrics['metrics'][metric])} on {metrics['count']:,} rows"


def _paper_figure(metrics: Mapping[str, Any], metric: str) -> str:
    paper = metrics.get("paper") or {}
    return f"{paper['value']:g}" if paper.get("metric") == metric else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Shows every model that is there; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"instead of {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of the pictures")
    options = parser.parse_args(arguments)
    import_tensorflow()
    shown: dict[str, Shown] = {}
    failed = 0
    for name in options.names or NAMES:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            shown[name] = show(name)
        except ZooError as error:
            failed = 1
            print(f"{name}: {error}", file=sys.stderr)
    if not shown:
        return 1
    head = ("model", "metric", "here, first test rows", "card, whole test set", "paper", "time")
    print(columns([head, *(one.cells for one in shown.values())], right={4, 5}))
    out = options.out
    written = [
        figures.save_png(
            out / f"samples_{name}.png", one.samples, scale=SCALE, text=weights_text([name])
        )
        for name, one in shown.items()
    ]
    strips = figures.stack([one.interpolations for one in shown.values()])
    file = out / "interpolations.png"
    written.append(figures.save_png(file, strips, scale=SCALE, text=weights_text(shown)))
    print("\n".join(str(path.resolve()) for path in written))
    return failed


if __name__ == "__main__":
    sys.exit(main())
