"""A tiny config of every family: what laws, training runs, replicas and portable steps build.

A new family needs a line here. Rows of the laws (`conformance/*_cases.py`) change one or the other
field of it.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

_VAE: dict[str, Any] = {
    "event_shape": (4, 4, 1),
    "preprocessing": {"num_levels": 2, "transform": "unit"},
    "latent_size": 3,
    "hidden_units": (8,),
    "features": 8,
}
_CLIPS: dict[str, Any] = {
    "event_shape": (32,),
    "residual_channels": 4,
    "skip_channels": 4,
    "context_size": 6,
    "context_factors": (3, 2),
    "context_channels": 4,
    "frame_size": 8,
    "position_frames": 4,
}

TINY: dict[str, dict[str, Any]] = {
    "nice": {
        "event_shape": (4, 4, 1),
        "preprocessing": {"num_levels": 256, "transform": "unit"},
        "num_couplings": 2,
        "hidden_units": (16,),
        "dropout": 0.2,
    },
    "realnvp": {
        "event_shape": (4, 4, 1),
        "preprocessing": {"num_levels": 256, "transform": "logit", "alpha": 0.05},
        "num_scales": 1,
        "num_final": 2,
        "filters": 4,
        "num_blocks": 1,
        "conditioner_batch_norm": True,
    },
    "maf": {
        "event_shape": (3,),
        "preprocessing": {"whitening": "standardise"},
        "context_size": 2,
        "num_layers": 2,
        "hidden_units": (8,),
        "normalization": "batch_norm",
    },
    "made": {"event_shape": (3,), "context_size": 2, "hidden_units": (8,)},
    "iaf": {"event_shape": (3,), "context_size": 3, "num_layers": 2, "hidden_units": (8,)},
    "planar": {"event_shape": (2,), "num_layers": 3},
    "radial": {"event_shape": (2,), "num_layers": 3},
    "sylvester": {"event_shape": (2,), "num_layers": 2},
    "nsf": {
        "event_shape": (3,),
        "context_size": 2,
        "num_layers": 2,
        "num_units": 8,
        "num_blocks": 1,
        "num_bins": 4,
    },
    "nsf_coupling": {
        "event_shape": (5,),
        "context_size": 3,
        "num_layers": 3,
        "num_units": 7,
        "num_blocks": 1,
        "num_bins": 3,
    },
    "nsf_patches": {
        "event_shape": (3,),
        "num_layers": 2,
        "num_units": 6,
        "num_blocks": 1,
        "slope_softness": 1.0,
    },
    "idf": {"event_shape": (5,), "num_classes": 7, "num_flows": 2, "hidden_units": (8,)},
    "ddf": {"event_shape": (4,), "num_classes": 3, "num_couplings": 2, "hidden_units": (8,)},
    "discrete_flow": {
        "event_shape": (5,),
        "num_classes": 4,
        "num_couplings": 2,
        "hidden_units": (8,),
    },
    "dtf": {
        "event_shape": (4,),
        "num_classes": 3,
        "num_trees": 3,
        "max_depth": 2,
        "min_samples_split": 4,
    },
    "table_made": {
        "event_shape": (5,),
        "columns": [
            {"name": "size", "kind": "real", "location": 0.5, "scale": 2.0, "heavy": True},
            {"name": "colour", "kind": "category", "categories": ["blue", "green", "red"]},
            {"name": "visits", "kind": "count", "location": 2.0, "scale": 2.0},
            {"name": "hour", "kind": "circular", "period": 24.0},
            {"name": "share", "kind": "bounded", "minimum": -1.0, "maximum": 2.0},
        ],
        "num_units": 10,
        "num_blocks": 1,
        "num_components": 2,
    },
    "deformer": {
        "event_shape": (2, 2, 1),
        "num_classes": 2,
        "size": 8,
        "token_units": (6, 6),
        "num_layers": 2,
        "num_heads": 2,
        "hidden_size": 8,
    },
    "oamade": {"event_shape": (3,), "num_classes": 3, "hidden_units": (8, 6)},
    "vae": _VAE,
    "planar_vae": {**_VAE, "num_flows": 3},
    "radial_vae": {**_VAE, "num_flows": 3},
    "sylvester_vae": {**_VAE, "num_flows": 2, "num_vectors": 2},
    "iaf_vae": {**_VAE, "num_flows": 2, "made_units": (8,), "context_features": 4},
    "coupling_vae": {**_VAE, "num_flows": 2, "coupling_units": (8,), "context_features": 4},
    "wavenet": {**_CLIPS, "num_stacks": 1, "layers_per_stack": 2, "num_mixtures": 2},
    "parallel_wavenet": {**_CLIPS, "layers_per_flow": (2, 2), "base": "normal"},
}


def drawn_columns(columns: Any, num_rows: int, rng: Any) -> Any:
    """Rows of a table that lie in the columns' supports: float32 [num_rows, columns]."""
    rows = []
    for column in columns:
        low, high = column.minimum or 0.0, column.maximum or 1.0
        if column.is_categorical:
            values = rng.integers(0, len(column.categories), num_rows)
        elif column.is_whole:
            values = rng.integers(0, 7, num_rows)
        elif column.kind == "circular":
            values = low + column.period * rng.uniform(0.0, 0.999, num_rows)
        elif column.kind == "bounded":
            values = low + (high - low) * rng.uniform(0.01, 0.99, num_rows)
        else:
            values = rng.normal(size=num_rows)
            values = np.exp(values) if column.kind == "positive" else values
        rows.append(values)
    return np.stack(rows, axis=1).astype("float32")


def plain(family: str, **changes: Any) -> dict[str, Any]:
    """The family's config with other fields, in JSON's own types: what a recipe holds."""
    values: dict[str, Any] = json.loads(json.dumps({**TINY[family], **changes}))
    return values
