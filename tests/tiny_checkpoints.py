"""Three tiny published models for the tests of the command line, the cards and the demo.

`tiny_images` is a NICE on uint8 images, `tiny_features` a NICE on real features, `tiny_labels` a
class-conditional MADE. Their weights are no initialisation's.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo import models, registry
from zoo.core.recipe import SGD, Recipe, Rows
from zoo.evaluation import golden
from zoo.store import locate
from zoo.store.files import write_json_atomic, write_text_atomic
from zoo.store.folder import save_checkpoint
from zoo.store.hashes import write_sha256sums

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny_images": (
        "nice",
        {
            "event_shape": [4, 4, 1],
            "preprocessing": {"num_levels": 256, "transform": "unit"},
            "num_couplings": 2,
            "hidden_units": [8],
        },
    ),
    "tiny_features": ("nice", {"event_shape": [5], "num_couplings": 2, "hidden_units": [8]}),
    "tiny_labels": ("made", {"event_shape": [3], "hidden_units": [8], "context_size": 4}),
}
DATASETS = {"tiny_images": "mnist", "tiny_features": "magic", "tiny_labels": "magic"}
METRICS = {
    "tiny_images": ("bits_per_dim", "log_prob_paper"),
    "tiny_features": ("log_prob",),
    "tiny_labels": ("log_prob",),
}
NAMES = tuple(CONFIGS)


def entry(name: str) -> registry.Entry:
    """The registry's entry of a tiny model."""
    family, config = CONFIGS[name]
    dataset = Rows(
        name=DATASETS[name],
        version="3.0.1",
        train="train",
        validation="validation",
        test="test",
        context="label" if config.get("context_size") else "",
    )
    return registry.Entry(
        name=name,
        family=family,
        title=f"A tiny {family}",
        paper="Nobody: Nothing (2014)",
        arxiv="1410.8516",
        recipe=Recipe(
            family=family, config=config, data=dataset, training=SGD(batch_size=8, max_epochs=2)
        ),
        description="Two couplings.",
        limitations="Of no use.",
        metrics=METRICS[name],
        paper_metric=METRICS[name][0],
        paper_value=1.25,
        paper_source="table 1",
    )


def metrics(name: str) -> dict[str, Any]:
    """A metrics.json of made-up figures."""
    values = {
        "bits_per_dim": {"value": 4.36254, "two_standard_errors": 0.0123},
        "log_prob_paper": {
            "value": 1980.512,
            "two_standard_errors": 1.93,
            "space": "nats, pixels in [0, 1]",
        },
        "log_prob": {"value": -23.75, "two_standard_errors": 0.25},
    }
    return {
        "name": name,
        "version": 1,
        "dataset": f"{DATASETS[name]}:3.0.1",
        "split": "test",
        "count": 10000,
        "protocol": "uniform dequantisation, one draw a row, seed 0",
        "metrics": {metric: values[metric] for metric in METRICS[name]},
        "paper": {"metric": METRICS[name][0], "value": 1.25, "source": "table 1"},
        "software": {},
        "hardware": "2 CPU cores",
        "train_hours": 2.1,
        "wall_seconds": 40.0,
    }


def publish(root: Path) -> dict[str, dict[str, Any]]:
    """Writes a checkpoint folder root/<name> of every tiny model; returns their pins."""
    pins = {}
    for seed, (name, (family, config)) in enumerate(CONFIGS.items()):
        model = models.build(family, config)
        generator = np.random.default_rng(seed)
        for variable in model.trainable_variables:
            variable.assign(0.3 * generator.normal(size=variable.shape))
        folder = root / name
        save_checkpoint(folder, model, family=family, recipe=entry(name).recipe)
        write_json_atomic(folder / "metrics.json", metrics(name))
        golden.write(folder, golden.golden(model, DATASETS[name]))
        write_text_atomic(folder / "card.md", f"# {name}\n")
        pins[name] = {"version": 1, "files": write_sha256sums(folder)}
    return pins


def register(pins: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *, install: Path) -> None:
    """Makes the tiny models, and an unpublished one, all that the registry knows.

    install: an empty folder that plays the installed package, so that no other checkpoint is found.
    """
    entries = {name: entry(name) for name in NAMES}
    entries["tiny_recipe"] = dataclasses.replace(entries["tiny_images"], name="tiny_recipe")
    monkeypatch.setattr(registry, "ENTRIES", entries)
    monkeypatch.setattr("zoo.store.pins.pins", lambda: pins)
    monkeypatch.setattr(locate, "PACKAGE", install / "zoo")
