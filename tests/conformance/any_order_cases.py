"""Rows of the laws for models in any order; a part of `cases.MODELS`."""

from __future__ import annotations

from model_cases import ModelCase
from tiny import TINY

__all__ = ["ANY_ORDER"]

NO_CONTEXT = {"context": "the system has no conditional form"}
DROPOUT = "dropout draws other masks for a smaller batch"

ANY_ORDER: dict[str, ModelCase] = {
    "deformer": ModelCase(family="deformer", config=TINY["deformer"], cannot=NO_CONTEXT),
    "deformer-columns": ModelCase(
        family="deformer",
        config={
            **TINY["deformer"],
            "event_shape": (5,),
            "num_classes": 0,
            "columns": TINY["table_made"]["columns"],
            "num_components": 2,
            "mixture": "logistic",
            "tokens": "shifted",
            "identity_size": 4,
            "dropout": 0.1,
        },
        weight_scale=0.5,
        cannot={**NO_CONTEXT, "replicas": DROPOUT},
    ),
    "oamade": ModelCase(
        family="oamade", config={**TINY["oamade"], "activation": "tanh"}, cannot=NO_CONTEXT
    ),
}
