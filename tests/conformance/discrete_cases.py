"""Rows of the laws: integers and masses (`zoo/models/discrete`)."""

from __future__ import annotations

from model_cases import ModelCase
from tiny import TINY

STRAIGHT_THROUGH = {
    "context": "the system has no conditional form",
    "slope": "rounding has the gradient of the identity",
}

NO_CONTEXT = {"context": "the system has no conditional form"}
COLOURS = tuple(
    {"name": name, "kind": "category", "categories": ["blue", "green", "red"]}
    for name in ("cap", "stalk", "gills")
)

DISCRETE: dict[str, ModelCase] = {
    "idf": ModelCase(family="idf", config={**TINY["idf"], "num_parts": 3}, cannot=STRAIGHT_THROUGH),
    "idf-image": ModelCase(
        family="idf",
        config={
            **TINY["idf"],
            "event_shape": (2, 4, 1),
            "squeeze": True,
            "input_scale": 0.5,
            "coupling": "one_sided",
            "num_parts": 2,
            "activation": "tanh",
            "base": "mixture",
            "num_components": 3,
            "output_scale": 0.5,
        },
        cannot=STRAIGHT_THROUGH,
    ),
    "dtf": ModelCase(family="dtf", config=TINY["dtf"], stages=2, cannot=NO_CONTEXT),
    "dtf-image": ModelCase(
        family="dtf",
        config={
            **TINY["dtf"],
            "event_shape": (2, 3, 1),
            "num_classes": 2,
            "split": "random",
            "num_sampled_rows": 20,
        },
        stages=3,
        cannot=NO_CONTEXT,
    ),
    "dtf-columns": ModelCase(
        family="dtf",
        config={**TINY["dtf"], "event_shape": (3,), "num_classes": (), "columns": COLOURS},
        stages=1,
        cannot=NO_CONTEXT,
    ),
    "ddf": ModelCase(family="ddf", config=TINY["ddf"], cannot=NO_CONTEXT),
    "ddf-columns": ModelCase(
        family="ddf",
        config={
            **TINY["ddf"],
            "event_shape": (3,),
            "num_classes": (),
            "columns": COLOURS,
            "num_couplings": 3,
            "sorts": 1,
            "seed": 2,
        },
        cannot=NO_CONTEXT,
    ),
    "discrete-flow": ModelCase(
        family="discrete_flow", config=TINY["discrete_flow"], cannot=STRAIGHT_THROUGH
    ),
    "discrete-flow-columns": ModelCase(
        family="discrete_flow",
        config={
            **TINY["discrete_flow"],
            "event_shape": (3,),
            "num_classes": (),
            "columns": COLOURS,
            "activation": "tanh",
            "output_scale": 0.5,
            "softness": 0.5,
            "seed": 1,
        },
        cannot=STRAIGHT_THROUGH,
    ),
}
