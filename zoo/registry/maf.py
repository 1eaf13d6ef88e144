"""MAF on images and on tables."""

from __future__ import annotations

import dataclasses
import functools

from zoo.recipes import Optimizer, Recipe
from zoo.registry.entry import MAGIC, MNIST, Entry

__all__ = ["ENTRIES"]

MAF_MNIST_PAPER = Recipe(
    family="maf",
    config={
        "event_shape": [28, 28, 1],
        "preprocessing": {"num_levels": 256, "transform": "logit", "alpha": 1e-6},
        "num_layers": 5,
        "hidden_units": [1024, 1024],
        "activation": "relu",
        "normalization": "batch_norm",
    },
    dataset=MNIST,
    optimizer=Optimizer(learning_rate=1e-4),
    batch_size=100,
    max_epochs=1000,
    patience=30,
    l2=1e-6,
    initialization_rows=5000,
    paper="arXiv:1705.07057, Appendix B",
    notes="The paper stops after 30 epochs without improvement and sets no limit.",
)

MAF_MNIST = dataclasses.replace(
    MAF_MNIST_PAPER,
    optimizer=Optimizer(learning_rate=5e-4, clip_norm=1000.0, warmup_steps=200, schedule="cosine"),
    batch_size=200,
    max_epochs=11,
    patience=0,
    ema_decay=0.995,
    conditioner_dtype="mixed_bfloat16",
    notes="A higher rate on a cosine and averaged weights: 11 epochs.",
)

MAF_MAGIC = Recipe(
    family="maf",
    config={
        "event_shape": [10],
        "preprocessing": {"whitening": "standardise"},
        "num_layers": 5,
        "hidden_units": [128, 128],
        "activation": "relu",
        "normalization": "activation_norm",
    },
    dataset=MAGIC,
    optimizer=Optimizer(
        learning_rate=2e-3, weight_decay=0.01, clip_norm=20.0, warmup_steps=50, schedule="cosine"
    ),
    batch_size=256,
    max_epochs=24,
    ema_decay=0.99,
    jit_compile=True,
    initialization_rows=4096,
    paper="arXiv:1705.07057",
)

_entry = functools.partial(
    Entry,
    family="maf",
    paper=(
        "Papamakarios, Pavlakou, Murray: Masked Autoregressive Flow for Density Estimation (2017)"
    ),
    arxiv="1705.07057",
)

_mnist_entry = functools.partial(
    _entry,
    metrics=("log_prob_paper", "bits_per_dim"),
    paper_metric="log_prob_paper",
    paper_value=-1300.5,
    paper_source="arXiv:1705.07057, table 2 (nats, logit space)",
)

ENTRIES = (
    _mnist_entry(
        name="maf_mnist",
        title="MAF(5) on MNIST",
        recipe=MAF_MNIST,
        description="The paper's network: 5 MADEs of 1024 x 2 units, batch norm between them.",
        limitations="Fast density, slow sampling: the inverse needs many network passes.",
    ),
    _mnist_entry(
        name="maf_mnist_paper",
        title="MAF(5) on MNIST, the paper's recipe",
        recipe=MAF_MNIST_PAPER,
        description=(
            "Adam at 1e-4 until 30 epochs bring no gain, as published. No published weights."
        ),
        limitations="Hours on two CPU cores.",
    ),
    _entry(
        name="maf_magic",
        title="MAF(5) on MAGIC",
        recipe=MAF_MAGIC,
        description=(
            "Ten real features of gamma telescope events; trains in seconds, the one to try first."
        ),
        limitations="No published figure on this dataset; splits are this project's own.",
        metrics=("log_prob_paper", "log_prob"),
    ),
)
