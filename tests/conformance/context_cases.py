"""Rows of the laws whose context is no label: numbers, columns, an image; and custom networks."""

from __future__ import annotations

import keras
from model_cases import ModelCase

from zoo.networks.custom import layer_values
from zoo.networks.made import MADE

__all__ = ["CONTEXTUAL"]

COLUMNS = [
    {"name": "year", "kind": "real", "location": 0.5, "scale": 2.0},
    {"name": "place", "kind": "category", "categories": ["here", "there"]},
]


DENSE = layer_values(keras.Sequential([keras.layers.Dense(4, activation="tanh")]))

CONTEXTUAL: dict[str, ModelCase] = {
    "nice-numbers": ModelCase(
        family="nice",
        config={
            "event_shape": (3,),
            "num_couplings": 2,
            "hidden_units": (6,),
            "network": DENSE,
            "context": {"shape": (2,), "network": DENSE},
        },
    ),
    "realnvp-picture": ModelCase(
        family="realnvp",
        config={
            "event_shape": (2, 2, 1),
            "num_scales": 1,
            "num_final": 2,
            "filters": 3,
            "num_blocks": 0,
            "activation": "elu",
            "context": {"shape": (4, 4, 1), "num_levels": 256, "units": (3,)},
        },
    ),
    "maf-columns": ModelCase(
        family="maf",
        config={
            "event_shape": (2,),
            "num_layers": 1,
            "normalization": "none",
            "network": layer_values(MADE(2, (6,), 4, context_size=4, activation="tanh")),
            "context": {"columns": COLUMNS, "units": (4,)},
        },
    ),
    "planar-numbers": ModelCase(
        family="planar",
        weight_scale=0.5,
        config={
            "event_shape": (2,),
            "num_layers": 1,
            "hidden_units": (4,),
            "context": {"shape": (3,), "whitening": "none"},
        },
    ),
    "vae-numbers": ModelCase(
        family="vae",
        config={
            "event_shape": (3,),
            "latent_size": 2,
            "hidden_units": (6,),
            "features": 5,
            "context": {"shape": (2,)},
        },
    ),
}
