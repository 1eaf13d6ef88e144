"""Three tiny runs on made-up rows, and what a process that trains them does: tests kill it."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from tiny import plain

from zoo.core.recipe import SGD, Flips, Optimizer, Recipe, Rows
from zoo.data import sources

TRAIN_ROWS, VALIDATION_ROWS, BATCH_SIZE = 96, 32, 16
STEPS_PER_EPOCH = TRAIN_ROWS // BATCH_SIZE


def dataset(name: str, context: str = "") -> Rows:
    """A dataset of `load_arrays`: "images", "features", "points" or "clips"."""
    return Rows(
        name=name,
        version="1.0.0",
        train="train",
        validation="validation",
        test="test",
        context=context,
    )


# Between them: dropout, flips, batch norm of both kinds, weight decay, L2, clipping, a label, XLA.
RECIPES = {
    "nice": Recipe(
        family="nice",
        config=plain("nice"),
        data=dataset("images"),
        training=SGD(
            optimizer=Optimizer(
                learning_rate=5e-3,
                weight_decay=0.01,
                clip_norm=50.0,
                warmup_steps=10,
                schedule="cosine",
                final_fraction=0.1,
            ),
            batch_size=BATCH_SIZE,
            max_epochs=60,
            validate_every=20,
            ema_decay=0.95,
            initialization_rows=64,
            seed=3,
        ),
    ),
    "realnvp": Recipe(
        family="realnvp",
        config=plain("realnvp", num_final=1),
        data=dataset("images"),
        training=SGD(
            optimizer=Optimizer(learning_rate=2e-3, clip_norm=10.0),
            batch_size=BATCH_SIZE,
            max_epochs=60,
            ema_decay=0.9,
            l2=1e-3,
            initialization_rows=64,
            seed=4,
            augment=(Flips(),),
        ),
    ),
    "maf": Recipe(
        family="maf",
        config=plain("maf", num_layers=1),
        data=dataset("features", context="label"),
        training=SGD(
            optimizer=Optimizer(learning_rate=5e-3),
            batch_size=BATCH_SIZE,
            max_epochs=60,
            validate_every=25,
            ema_decay=0.9,
            l2=1e-4,
            jit_compile=True,
            seed=5,
        ),
    ),
}


def load_arrays(dataset: Rows, split: str, **unused_options: object) -> sources.Arrays:
    """In place of `zoo.data.sources.load_arrays`: rows that are the same in every process."""
    rows = VALIDATION_ROWS if split == "validation" else TRAIN_ROWS
    rng = np.random.default_rng([len(split), rows])
    if dataset.name == "images":
        brightness = rng.integers(0, 200, (rows, 1, 1, 1))
        return sources.Arrays((brightness + rng.integers(0, 56, (rows, 4, 4, 1))).astype("uint8"))
    if dataset.name == "clips":
        clips = (3000 * np.sin(0.3 * np.arange(48)) + 500 * rng.normal(size=(rows, 48))).astype(
            "int16"
        )
        return sources.Arrays(clips, rng.integers(0, 6, rows).astype("int32"))
    if dataset.name == "points":
        return sources.Arrays(rng.normal(size=(rows, 2)).astype("float32"))
    label = rng.integers(0, 2, rows).astype("int32")
    mixing = np.array([[2.0, 0.0, 0.0], [1.5, 0.5, 0.0], [0.0, 1.0, 0.3]])
    x = rng.normal(size=(rows, 3)) @ mixing.T + 3.0 * label[:, None]
    return sources.Arrays(x.astype("float32"), label)


def main(folder: Path) -> None:
    """Trains every recipe into `folder`/<name>, going on wherever a state lies there.

    It prints a line a step, and ends early with the run that a signal has stopped.
    """
    from zoo import training
    from zoo.training import run, state

    sources.load_arrays = load_arrays
    run.SAVE_SECONDS = 0.05  # some steps are lost at every kill, as in a real run
    for name, recipe in RECIPES.items():
        result = training.train(
            recipe,
            folder / name,
            resume=(folder / name / state.STATE_FILE).exists(),
            progress=lambda step, *_, name=name: print(name, step, flush=True),
        )
        print(name, result.reason, flush=True)
        if result.reason.startswith("signal"):
            return
