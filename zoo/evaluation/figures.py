"""Pictures of a model beside rows of its data (`zoo.media.plots`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.capabilities import capabilities_of
from zoo.errors import InvalidInputError
from zoo.evaluation.calibration import column_levels, latent_levels, marginal_levels
from zoo.media import pictures, plots

__all__ = ["calibration", "pairs", "traversal"]

LATENTS, POINTS, REACH = 8, 9, 3.0


def pairs(model: Any, rows: np.ndarray, context: Any, path: Path) -> Path:
    """Pairs of columns: the rows, and as many samples under the same contexts."""
    drawn = np.asarray(model.sample(len(rows), seed=0, context=context))
    categories = {c.name: c.categories for c in model.data.columns if c.is_categorical}
    return plots.pairs(path, np.asarray(rows), drawn, _names(model), categories=categories)


def calibration(model: Any, rows: np.ndarray, context: Any, path: Path) -> Path:
    """Quantiles of the columns; of few columns, too, given those before, or of a flow's latents."""
    names = _names(model)
    found = dict(zip(names, marginal_levels(model, rows, context).T, strict=True))
    if "Factors" in capabilities_of(model) and len(names) <= plots.MOST_COLUMNS**2:
        given = column_levels(model, rows, context)
        found |= {
            f"{name} | before": column for name, column in zip(names[1:], given.T[1:], strict=True)
        }
    if "Bijective" in capabilities_of(model) and model.data.size <= plots.MOST_COLUMNS**2:
        levels = latent_levels(model, rows, context)
        found |= {f"latent {i}": column for i, column in enumerate(levels.T)}
    levels_of = {name: values[~np.isnan(values)] for name, values in found.items()}
    return plots.calibration(path, {name: v for name, v in levels_of.items() if len(v)})


def traversal(model: Any, path: Path, *, latents: Sequence[int] = (), context: Any = None) -> Path:
    """Rows as one latent after the other goes from -REACH to REACH, the others at 0.

    latents: without, the first LATENTS; of a model that infers them, those that differ most
    between rows.   context: one label for all.
    Raises InvalidInputError for a model without latents, and for latents that it has not.
    """
    if "Encodes" not in capabilities_of(model) or model.latent is None or model.latent.is_integer:
        raise InvalidInputError(f"{model.name} has no latents of real numbers to move.")
    size = model.latent.size
    chosen = list(latents) or _first_latents(model, size)
    if odd := [i for i in chosen if not 0 <= i < size]:
        raise InvalidInputError(f"Expected latents 0..{size - 1}; got {odd[0]}.")
    places = np.linspace(-REACH, REACH, POINTS, dtype=np.float32)
    z = np.zeros([len(chosen), POINTS, size], np.float32)
    for row, latent in enumerate(chosen):
        z[row, :, latent] = places
    z = z.reshape([-1, size])
    labels = None if context is None else np.full(len(z), context)
    decoded = np.asarray(model.decode(z, labels))
    if model.data.medium == "image" and model.data.levels:
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = pictures.as_grey(decoded, model.data.levels)
        pictures.save_png(path, pictures.grid(grey, columns=POINTS))
        return path
    flat = decoded.reshape([len(decoded), -1]).astype(np.float64)
    flat = (flat - flat.mean(0)) / np.maximum(flat.std(0), 1e-12)
    panels = flat.reshape([len(chosen), POINTS, -1])
    rows = {f"latent {latent}": panel for latent, panel in zip(chosen, panels, strict=True)}
    return plots.traversal(path, places, rows, _names(model))


def _first_latents(model: Any, size: int) -> list[int]:
    count = min(LATENTS, size)
    if "Infers" not in capabilities_of(model):
        return list(range(count))
    means = np.asarray(model.encode(model.sample(256, seed=0)))
    return [int(i) for i in np.argsort(-means.std(0), kind="stable")[:count]]


def _names(model: Any) -> list[str]:
    return list(model.column_names or (f"x{i}" for i in range(model.data.size)))
