"""What the card of a model that was fitted to an energy says, and the picture of the energies."""

from __future__ import annotations

from pathlib import Path

import energies
import numpy as np
import pytest

from zoo import registry
from zoo.core import recipe_json
from zoo.publishing.card import card_body
from zoo.publishing.checkpoint import Checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    entry = registry.get("planar_u2")
    figures = {"value": 0.05, "two_standard_errors": 0.001, "log_normaliser": 2.6253183}
    return Checkpoint(
        folder=tmp_path,
        entry=entry,
        config={"family": "planar", "config": entry.recipe.config, "num_parameters": 164},
        recipe=recipe_json.to_dict(entry.recipe),
        metrics={
            "metrics": {"reverse_kl": figures},
            "count": 20_000,
            "split": "test",
            "dataset": "energy_u2:1.0.0",
            "protocol": "draws of the model",
        },
        run={},
    )


def test_the_card_says_what_the_target_is_and_what_its_normaliser(checkpoint) -> None:
    body = card_body(checkpoint)
    assert "## Target" in body
    assert "exp(-U) / Z of the energy U = `u2`" in body
    assert "## Data and preprocessing" not in body
    assert "| reverse_kl (nats, log Z = 2.6253) |" in body
    assert "| objective.kind | ReverseKL |" in body
    assert "- Data `energy_u2`: made from a formula" in body


def test_the_pictures_have_z1_to_the_right_and_z2_upwards() -> None:
    points = energies.grid_points()
    assert points[0, 0] < 0.0 < points[0, 1]
    assert points[-1, 0] > 0.0 > points[-1, 1]
    upper_right = np.exp(-np.sum((points - [2.0, 2.0]) ** 2, 1))
    drawn = energies.picture(upper_right, upper_right.max())
    assert drawn.shape == (energies.PIXELS, energies.PIXELS, 3)
    row, column = np.unravel_index(drawn.sum(-1).argmin(), drawn.shape[:2])
    assert row < energies.PIXELS / 2 < column
    np.testing.assert_array_equal(drawn[-1, 0], [255, 255, 255])
    # Densities above the target's peak are drawn as that peak.
    np.testing.assert_array_equal(energies.picture(upper_right, 0.5)[row, column], [8, 30, 80])
