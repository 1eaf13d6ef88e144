"""Rows of the laws: integers and masses (`zoo/models/discrete`)."""

from __future__ import annotations

from model_cases import ModelCase
from tiny import TINY

STRAIGHT_THROUGH = {
    "context": "the system has no conditional form",
    "slope": "rounding has the gradient of the identity",
}

DISCRETE: dict[str, ModelCase] = {
    "idf": ModelCase(family="idf", config={**TINY["idf"], "num_parts": 3}, cannot=STRAIGHT_THROUGH),
    "idf-image": ModelCase(
        family="idf",
        config={
            **TINY["idf"],
            "event_shape": (2, 3, 1),
            "coupling": "one_sided",
            "num_parts": 2,
            "activation": "tanh",
            "base": "mixture",
            "num_components": 3,
            "output_scale": 0.5,
        },
        cannot=STRAIGHT_THROUGH,
    ),
}
