"""Rows of the laws: models of typed columns (`zoo/models/tables`)."""

from __future__ import annotations

from model_cases import DROPOUT, ModelCase
from tiny import TINY

BY_COLUMNS = {"context": "its condition is columns, not a label"}

TABLES: dict[str, ModelCase] = {
    "table-made": ModelCase(
        family="table_made",
        config={**TINY["table_made"], "activation": "elu"},
        cannot=BY_COLUMNS,
    ),
    "table-made-context": ModelCase(
        family="table_made",
        config={
            **TINY["table_made"],
            "event_shape": (2,),
            "columns": [
                {"name": "x", "kind": "real", "heavy": True},
                {"name": "y", "kind": "positive", "location": 0.5, "scale": 0.7},
            ],
            "dropout": 0.2,
            "context_columns": [
                {"name": "day", "kind": "integer", "scale": 3.0},
                {"name": "side", "kind": "boolean", "categories": ["false", "true"]},
            ],
        },
        weight_scale=0.5,
        cannot={**BY_COLUMNS, "replicas": DROPOUT},
    ),
}
