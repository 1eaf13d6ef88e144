"""Draws the energies of the plane and the planar flows fitted to them: docs/energies.png.

    python tools/energies.py [--runs DIR]

One row an energy, U1 to U4; from left to right the density exp(-U) / Z and the flows of K = 2, 8
and 32 layers: the layout of figure 3 of arXiv:1505.05770. The flows of 32 layers are the published
planar_u1 to planar_u4; the others are trained into DIR, by the same recipes with fewer layers and a
fifth of the steps, where DIR does not hold them already. Prints each flow's divergence on its
validation rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from drawn_from import weights_text

from zoo import loading, registry, training
from zoo.core.recipe import ReverseKL, variant
from zoo.data.targets.plane import ENERGIES, log_normaliser
from zoo.media import pictures as figures

ROOT = Path(__file__).resolve().parent.parent
LAYERS = (2, 8)
EPOCHS = 20
HALF_WIDTH = 4.5
PIXELS = 180
# White over blue to black: equal steps look equal.
COLOURS = np.array([[255, 255, 255], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 30, 80]])


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs", "energies"))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "energies.png")
    options = parser.parse_args()
    pictures = []
    for energy in ENERGIES:
        points = grid_points()
        target = -ENERGIES[energy](tf.constant(points)).numpy() - log_normaliser(energy)
        fitted = [small_flow(energy, layers, options.runs) for layers in LAYERS]
        fitted.append(loading.load(f"planar_{energy}"))
        densities = [np.exp(target), *(density(model, points) for model in fitted)]
        peak = densities[0].max()
        pictures += [picture(values, peak) for values in densities]
    drawn = weights_text(f"planar_{energy}" for energy in ENERGIES)
    picture_of_all = figures.grid(np.stack(pictures), columns=2 + len(LAYERS))
    figures.save_png(options.out, picture_of_all, text=drawn)
    print(options.out)


def grid_points() -> np.ndarray:
    """The middles of the picture's pixels, from its upper left corner: [PIXELS**2, 2]."""
    axis = (np.arange(PIXELS) + 0.5) * (2.0 * HALF_WIDTH / PIXELS) - HALF_WIDTH
    across, up = np.meshgrid(axis, axis[::-1])
    return np.stack([across.ravel(), up.ravel()], -1)


def small_flow(energy: str, layers: int, runs: Path) -> Any:
    """The flow of so many layers: its run's best weights, trained first where there is no run."""
    recipe = registry.get(f"planar_{energy}").recipe
    recipe = variant(
        recipe,
        config={**recipe.config, "num_layers": layers},
        objective=ReverseKL(
            annealing_steps=recipe.objective.annealing_steps * EPOCHS // recipe.training.max_epochs
        ),
        max_epochs=EPOCHS,
    )
    folder = runs / f"{energy}_{layers}"
    if not (folder / "run.json").exists():
        result = training.train(recipe, folder, resume=(folder / "state.npz").exists())
        print(f"{energy}, K = {layers}: {result.best_validation_nats:.3f} nats")
    return loading.load(folder)


def density(model: Any, points: np.ndarray) -> np.ndarray:
    """exp(log_prob) at the points."""
    parts = np.array_split(points.astype(np.float32), 8)
    return np.exp(np.concatenate([model.log_prob(part).numpy() for part in parts]))


def picture(density: np.ndarray, peak: float) -> np.ndarray:
    """uint8 [PIXELS, PIXELS, 3]; the target's peak and all above it are darkest."""
    level = np.clip(density.reshape(PIXELS, PIXELS) / peak, 0.0, 1.0) * (len(COLOURS) - 1)
    channels = [np.interp(level, np.arange(len(COLOURS)), COLOURS[:, c]) for c in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


if __name__ == "__main__":
    main()
