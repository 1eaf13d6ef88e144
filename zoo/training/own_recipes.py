"""Recipes of a sensible family and size for a user's own rows.

Networks grow with the rows, and dropout and weight decay fall. Each takes about as many steps on a
cosine, keeps the averaged weights of the best validation, and ends when validations bring nothing.
What is fitted in stages has all of its own, or ends when two of them bring nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.core.capabilities import capabilities_of
from zoo.core.columns import Column
from zoo.core.recipe import SGD, Greedy, Optimizer, Recipe, Table
from zoo.models import model_class
from zoo.training import own_families

__all__ = ["recipe_of_clips", "recipe_of_pictures", "recipe_of_table"]

NOTES = "Written by `zoo fit`."
TINY = 12  # pixels a side, up to which a picture is a vector like any other
_STEPS = {"table": 8000, "pictures": 3000, "clips": 2000}
# Train rows at most, and then: units, dropout, weight decay.
_SIZES = (
    (1_000, 32, 0.2, 1.0),
    (5_000, 64, 0.1, 1.0),
    (50_000, 128, 0.05, 0.3),
    (math.inf, 256, 0.0, 0.1),
)


def recipe_of_table(
    table: Table,
    columns: Sequence[Column],
    context: Sequence[Column],
    rows: int,
    *,
    largest: Mapping[str, float] | None = None,
    family: str = "",
    seed: int = 0,
) -> Recipe:
    """Of a table with so many train rows: without a family, a `TableMADE`.

    largest: of the columns of counts, the largest value.
    Raises InvalidInputError for a family that does not take the columns.
    """
    units, dropout, decay = next(size for most, *size in _SIZES if rows <= most)
    wishes = {
        "num_units": units,
        "hidden_units": [2 * units] * 2,
        "num_blocks": 2,
        "num_layers": 5,
        "num_parts": min(4, len(columns)),
        "dropout": dropout,
        "normalization": "activation_norm",
        "min_samples_split": int(min(max(8, rows // 25), 200)),
    }

    def builder(name: str) -> Any:
        return own_families.table_config(name, columns, context, largest or {}, wishes)

    config = own_families.config_of(family or "table_made", builder, "this table")
    chosen = family or "table_made"
    in_stages = "Grows" in capabilities_of(model_class(chosen))
    return Recipe(
        family=chosen,
        config=config.to_dict(),
        data=table,
        training=Greedy(layers=0, patience=3, seed=seed)
        if in_stages
        else _descent_on_table(rows, decay, rate=1e-3 if family else 2e-3, seed=seed),
        notes=NOTES,
    )


def _descent_on_table(rows: int, decay: float, *, rate: float, seed: int) -> SGD:
    batch_size = int(min(max(16, 2 ** round(math.log2(rows / 50))), 512))
    return SGD(
        optimizer=Optimizer(
            learning_rate=rate,
            weight_decay=decay,
            clip_norm=10.0,
            warmup_steps=100,
            schedule="cosine",
        ),
        batch_size=batch_size,
        max_epochs=_epochs("table", rows, batch_size),
        validate_every=100,
        validation_rows=20_000,
        patience=20,
        ema_decay=0.99,
        initialization_rows=min(rows, 5000),
        jit_compile=True,
        seed=seed,
    )


def recipe_of_pictures(
    table: Table, shape: tuple[int, ...], rows: int, *, family: str = "", seed: int = 0
) -> Recipe:
    """Of pictures [height, width, channels].

    family: without, RealNVP, of up to `TINY` pixels a side NICE; where the pictures have classes
        and these take none, MAF.
    Raises InvalidInputError for a family that does not take them.
    """
    height, width, channels = shape
    tiny = max(height, width) <= TINY
    units, dropout, decay = next(size for most, *size in _SIZES if rows <= most)
    halvings = next(n for n in (2, 1, 0) if not (height % 2**n or width % 2**n))
    wishes = {
        "filters": 32,
        "num_blocks": 1,
        "num_scales": 2 if halvings and min(height, width) > 2 else 1,
        "conditioner_stride": 2 if halvings == 2 else 1,
        "hidden_units": [4 * units] * 2,
        "num_units": 2 * units,
        "dropout": dropout,
        "normalization": "activation_norm",
        "log_scale_factor": 20.0,
    }
    classes = len(table.classes)
    words = f"pictures of {width} x {height} x {channels}"
    words += f" under {classes} classes" if classes else ""

    def builder(name: str) -> Any:
        return own_families.pictures_config(name, shape, wishes, classes)

    family = family or ("maf" if classes else "nice" if tiny else "realnvp")
    config = own_families.config_of(family, builder, words)
    batch_size = _at_most(64 if tiny else 16, rows)
    return Recipe(
        family=family,
        config=config.to_dict(),
        data=table,
        training=SGD(
            optimizer=Optimizer(
                learning_rate=1e-3,
                weight_decay=0.1 * decay,
                clip_norm=1.0,
                warmup_steps=100,
                schedule="cosine",
            ),
            batch_size=batch_size,
            max_epochs=_epochs("pictures", rows, batch_size),
            validate_every=100,
            validation_rows=500,
            patience=10,
            ema_decay=0.99,
            initialization_rows=min(rows, 1000),
            seed=seed,
        ),
        notes=NOTES,
    )


def recipe_of_clips(
    table: Table, size: int, rate: int, rows: int, *, family: str = "", seed: int = 0
) -> Recipe:
    """Of clips of so many samples: a WaveNet of two stacks of nine layers.

    Raises InvalidInputError for a family that does not take them.
    """
    wishes = {
        "output": "mu_law",
        "num_stacks": 2,
        "layers_per_stack": 9,
        "residual_channels": 24,
        "skip_channels": 48,
        "input_filter": 16,
        "linear_input": True,
        "context_channels": 16,
    }
    classes = len(table.classes)
    words = f"clips of {size:,} samples" + (f" under {classes} classes" if classes else "")

    def builder(name: str) -> Any:
        return own_families.clips_config(name, size, rate, wishes, classes)

    family = family or "wavenet"
    config = own_families.config_of(family, builder, words)
    batch_size = _at_most(4, rows)
    return Recipe(
        family=family,
        config=config.to_dict(),
        data=table,
        training=SGD(
            optimizer=Optimizer(
                learning_rate=3e-3, clip_norm=3000.0, warmup_steps=100, schedule="cosine"
            ),
            batch_size=batch_size,
            max_epochs=_epochs("clips", rows, batch_size),
            validate_every=100,
            validation_rows=100,
            patience=10,
            ema_decay=0.99,
            jit_compile=True,
            bucket_size=math.ceil(size / 512) * 128,  # four lengths at most: a program each
            initialization_rows=min(rows, 1000),
            seed=seed,
        ),
        notes=NOTES,
    )


def _epochs(kind: str, rows: int, batch_size: int) -> int:
    return max(2, math.ceil(_STEPS[kind] / max(1, rows // batch_size)))


def _at_most(batch_size: int, rows: int) -> int:
    return max(1, min(batch_size, rows // 4))
