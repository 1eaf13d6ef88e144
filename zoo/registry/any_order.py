"""Models of rows in any order: the DEformer on digits, mushrooms and MAGIC, and its baseline.

The paper's sizes are 6 layers of 512 numbers, Adam at 1e-5 and one image a step; its figures on
MNIST and POWER are of days on GPUs. What is here is trained on two CPU cores.
"""

from __future__ import annotations

import functools

from zoo.core.recipe import SGD, Optimizer, Recipe, Rows, variant
from zoo.registry.entry import MAGIC, Entry

__all__ = ["BINARY_DIGITS", "ENTRIES"]

BINARY_DIGITS = Rows(
    name="optdigits",
    version="1.0.0",
    train="train[:3440]",
    validation="train[3440:]",
    test="test",
    feature="binary",
)

DEFORMER_DIGITS = Recipe(
    family="deformer",
    config={
        "event_shape": [8, 8, 1],
        "num_classes": 2,
        "tokens": "shifted",
        "size": 128,
        "num_layers": 4,
        "num_heads": 4,
    },
    data=BINARY_DIGITS,
    training=SGD(
        optimizer=Optimizer(learning_rate=3e-4, clip_norm=10.0, warmup_steps=100),
        batch_size=64,
        max_epochs=60,
    ),
    paper="arXiv:2106.06989",
    notes="Two thirds of the paper's layers, a quarter of its width, 64 rows a step in place of 1.",
)

OAMADE_DIGITS = variant(
    DEFORMER_DIGITS,
    family="oamade",
    config={"event_shape": [8, 8, 1], "num_classes": 2, "hidden_units": [780, 780]},
    paper="arXiv:1502.03509, Sec. 4",
    notes="As many weights as deformer_digits, trained in the same way on the same rows.",
)

ENTRIES = ()
