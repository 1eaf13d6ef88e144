"""NICE: the published recipes, and the one that is trained here."""

from __future__ import annotations

import functools

from zoo.core.recipe import SGD, Optimizer, Recipe, variant
from zoo.registry.entry import CIFAR10, MNIST, SVHN, Entry

__all__ = ["ENTRIES"]

NICE_MNIST_PAPER = Recipe(
    family="nice",
    config={
        "event_shape": [28, 28, 1],
        "preprocessing": {"num_levels": 256, "transform": "unit"},
        "num_couplings": 4,
        "hidden_units": [1000] * 5,
        "base": "logistic",
    },
    data=MNIST,
    training=SGD(
        optimizer=Optimizer(learning_rate=1e-3, beta_1=0.9, beta_2=0.99, epsilon=1e-4),
        batch_size=200,
        max_epochs=1500,
    ),
    paper="arXiv:1410.8516, Sec. 5.1",
    notes="The paper's beta2 = 0.01 is 1 - beta2 in today's convention. "
    "Its batch size is not stated.",
)

NICE_CIFAR_PAPER = variant(
    NICE_MNIST_PAPER,
    config={
        "event_shape": [32, 32, 3],
        "preprocessing": {"num_levels": 256, "transform": "symmetric", "whitening": "zca"},
        "num_couplings": 4,
        "hidden_units": [2000] * 4,
        "base": "logistic",
    },
    data=CIFAR10,
    notes="ZCA is fitted to the training rows. Dequantised by U/128 on [-1, 1], as published.",
)

NICE_SVHN_PAPER = variant(
    NICE_CIFAR_PAPER,
    config={
        **NICE_CIFAR_PAPER.config,
        "preprocessing": {"num_levels": 256, "transform": "unit", "whitening": "zca"},
    },
    data=SVHN,
    notes="ZCA is fitted to the training rows.",
)

NICE_MNIST = variant(
    NICE_MNIST_PAPER,
    config={**NICE_MNIST_PAPER.config, "dropout": 0.1, "log_scale_factor": 20.0},
    optimizer=Optimizer(
        learning_rate=1e-3,
        beta_2=0.99,
        epsilon=1e-8,
        weight_decay=0.05,
        warmup_steps=200,
        schedule="cosine",
    ),
    max_epochs=28,
    ema_decay=0.999,
    conditioner_dtype="mixed_bfloat16",
    initialization_rows=5000,
    notes="Data-dependent start of the scaling, dropout, averaged weights and a cosine: "
    "28 epochs for 1500.",
)

_entry = functools.partial(
    Entry,
    family="nice",
    paper="Dinh, Krueger, Bengio: NICE: Non-linear Independent Components Estimation (2014)",
    arxiv="1410.8516",
)

_mnist_entry = functools.partial(
    _entry,
    metrics=("log_prob_paper", "bits_per_dim"),
    paper_metric="log_prob_paper",
    paper_value=1980.5,
    paper_source="arXiv:1410.8516, Sec. 5.1 (nats, pixels in [0, 1])",
)

ENTRIES = (
    _mnist_entry(
        name="nice_mnist",
        title="NICE on MNIST",
        recipe=NICE_MNIST,
        description=(
            "The paper's network: 4 additive couplings of 5 x 1000 units, one diagonal scaling."
        ),
        limitations="Additive couplings preserve volume; samples are rougher than later flows'.",
    ),
    _mnist_entry(
        name="nice_mnist_paper",
        title="NICE on MNIST, the paper's recipe",
        recipe=NICE_MNIST_PAPER,
        description="1500 epochs of plain Adam, as published. No published weights.",
        limitations="About 17 hours on two CPU cores.",
    ),
    _entry(
        name="nice_cifar_paper",
        title="NICE on CIFAR-10, the paper's recipe",
        recipe=NICE_CIFAR_PAPER,
        description="ZCA, then 4 additive couplings of 4 x 2000 units. No published weights.",
        limitations="Days on two CPU cores.",
        metrics=("log_prob_paper", "bits_per_dim"),
        paper_metric="log_prob_paper",
        paper_value=5371.78,
        paper_source="arXiv:1410.8516, Sec. 5.1 (nats, pixels in [-1, 1])",
    ),
    _entry(
        name="nice_svhn_paper",
        title="NICE on SVHN, the paper's recipe",
        recipe=NICE_SVHN_PAPER,
        description="ZCA, then 4 additive couplings of 4 x 2000 units. No published weights.",
        limitations="Days on two CPU cores; never run by this project.",
        metrics=("log_prob_paper", "bits_per_dim"),
        paper_metric="log_prob_paper",
        paper_value=11496.55,
        paper_source="arXiv:1410.8516, Sec. 5.1 (nats, pixels in [0, 1])",
    ),
)
