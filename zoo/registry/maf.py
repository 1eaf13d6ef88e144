"""MADE and MAF on images and on tables, the autoregressive rows of the MAF paper's tables."""

from __future__ import annotations

import dataclasses
import functools

from zoo.core.recipe import SGD, Flips, Optimizer, PatchSymmetries, Recipe, Rows, variant
from zoo.registry.entry import (
    BSDS300,
    CIFAR10,
    GAS,
    HEPMASS,
    MAGIC,
    MINIBOONE,
    MNIST,
    POWER,
    Entry,
)

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
    data=MNIST,
    training=SGD(
        optimizer=Optimizer(learning_rate=1e-4),
        batch_size=100,
        max_epochs=1000,
        patience=30,
        l2=1e-6,
        initialization_rows=5000,
    ),
    paper="arXiv:1705.07057, Appendix B",
    notes="The paper stops after 30 epochs without improvement and sets no limit.",
)

MAF_MNIST = variant(
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
        "activation": "silu",
        "normalization": "activation_norm",
    },
    data=MAGIC,
    training=SGD(
        optimizer=Optimizer(
            learning_rate=2e-3,
            weight_decay=0.01,
            clip_norm=20.0,
            warmup_steps=50,
            schedule="cosine",
        ),
        batch_size=256,
        max_epochs=24,
        ema_decay=0.99,
        jit_compile=True,
        initialization_rows=4096,
    ),
    paper="arXiv:1705.07057",
)

# Images in logit space, with the paper's variants of the model.

MAF_COND_MNIST = variant(
    MAF_MNIST,
    config={**MAF_MNIST.config, "context_size": 10},
    data=dataclasses.replace(MNIST, context="label"),
)
MAF_MOG_MNIST = dataclasses.replace(MAF_MNIST, config={**MAF_MNIST.config, "num_components": 10})
MAF_CIFAR_PAPER = variant(
    MAF_MNIST_PAPER,
    config={
        **MAF_MNIST_PAPER.config,
        "event_shape": [32, 32, 3],
        "preprocessing": {"num_levels": 256, "transform": "logit", "alpha": 0.05},
    },
    data=CIFAR10,
    augment=(Flips(),),
    notes="The paper tries 1024 and 2048 units and keeps what validates best; these are 1024.",
)
MAF_CIFAR = variant(
    MAF_CIFAR_PAPER,
    config={
        **MAF_CIFAR_PAPER.config,
        # Neighbouring pixels are nearly equal, and 512 units have no room to copy 3,072 of them.
        "preprocessing": {**MAF_CIFAR_PAPER.config["preprocessing"], "whitening": "separable"},
        "hidden_units": [512, 512],
        "normalization": "activation_norm",
        "log_scale_limit": 2.0,
    },
    optimizer=Optimizer(learning_rate=1e-3, clip_norm=300.0, warmup_steps=200, schedule="cosine"),
    batch_size=200,
    max_epochs=16,
    patience=0,
    validate_every=225,
    validation_rows=2000,
    ema_decay=0.995,
    conditioner_dtype="mixed_bfloat16",
    notes="Whitened along rows, columns and colours; a cosine and averaged weights: 16 epochs.",
)

# Tables: rows stored in the paper's space.


def _table_paper(dataset: Rows, columns: int, units: int, **changes: object) -> Recipe:
    """MAF(5) by the paper's recipe; two hidden layers, where it tries one and two."""
    activation = "tanh" if dataset.name == "gas" else "relu"
    recipe = Recipe(
        family="maf",
        config={
            "event_shape": [columns],
            "num_layers": 5,
            "hidden_units": [units, units],
            "activation": activation,
            "normalization": "batch_norm",
        },
        data=dataset,
        training=SGD(
            optimizer=Optimizer(learning_rate=1e-4),
            batch_size=100,
            max_epochs=1000,
            patience=30,
            l2=1e-6,
            initialization_rows=5000,
        ),
        paper="arXiv:1705.07057, Appendix B",
        notes="The paper stops after 30 epochs without improvement and sets no limit.",
    )
    return dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]


MAF_POWER = _table_paper(POWER, 6, 100)
MAF_GAS = _table_paper(GAS, 8, 100)
MAF_HEPMASS = _table_paper(HEPMASS, 21, 512)
MAF_MINIBOONE = _table_paper(MINIBOONE, 43, 512)
MAF_BSDS300_PAPER = _table_paper(BSDS300, 63, 512)
MADE_BSDS300 = variant(
    MAF_BSDS300_PAPER,
    family="made",
    config={
        "event_shape": [63],
        # One mean and deviation a column: patches are of deviation 0.1, and so would z be.
        "preprocessing": {"whitening": "standardise"},
        "hidden_units": [1024, 1024],
        "activation": "relu",
    },
    optimizer=Optimizer(learning_rate=1e-3, clip_norm=20.0, warmup_steps=500, schedule="cosine"),
    batch_size=512,
    max_epochs=8,
    patience=0,
    validate_every=1000,
    validation_rows=10_000,
    ema_decay=0.999,
    jit_compile=True,
    notes="A higher rate on a cosine, averaged weights, larger batches: 8 epochs on 2 CPU cores.",
)
MAF_BSDS300_BASE = variant(
    MADE_BSDS300,
    family="maf",
    config={
        **MAF_BSDS300_PAPER.config,
        # Neighbouring pixels are nearly equal; whitened, their small differences are of size 1.
        "preprocessing": {"whitening": "zca"},
        "normalization": "activation_norm",
    },
    optimizer=Optimizer(learning_rate=5e-3, clip_norm=100.0, warmup_steps=500, schedule="cosine"),
    max_epochs=24,
    augment=(PatchSymmetries(),),
    notes="Whitened rows, turned and mirrored; a high rate on a cosine, averaged weights.",
)
MAF_BSDS300 = variant(
    MAF_BSDS300_BASE,
    after=MAF_BSDS300_BASE,
    optimizer=Optimizer(learning_rate=1e-3, clip_norm=100.0, warmup_steps=500, schedule="cosine"),
    max_epochs=16,
    notes="From the run before on, at a fifth of its rate.",
)
MAF_MOG_BSDS300_BASE = dataclasses.replace(
    MAF_BSDS300_BASE, config={**MAF_BSDS300_BASE.config, "num_components": 10}
)
MAF_MOG_BSDS300 = variant(
    MAF_MOG_BSDS300_BASE,
    config={**MAF_MOG_BSDS300_BASE.config, "activation": "swish4"},
    after=MAF_MOG_BSDS300_BASE,
    optimizer=dataclasses.replace(MAF_MOG_BSDS300_BASE.sgd.optimizer, learning_rate=4e-3),
    max_epochs=34,
    notes="From the run before on, with a smooth activation for its ReLU.",
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

_cifar_entry = functools.partial(
    _mnist_entry,
    paper_value=2936.0,
    paper_source="arXiv:1705.07057, table 2 (nats, logit space)",
)

PATCH_METRICS = ("log_prob", "log_prob_symmetrised")
PATCHES = "Patches drawn anew from the same photographs: figures compare closely, not exactly."
_bsds_entry = functools.partial(
    _entry,
    metrics=PATCH_METRICS,
    paper_metric="log_prob",
    paper_source="arXiv:1705.07057, table 1 (nats)",
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
    _mnist_entry(
        name="maf_cond_mnist",
        title="Class-conditional MAF(5) on MNIST",
        recipe=MAF_COND_MNIST,
        paper_value=-1302.9,
        description="maf_mnist with the digit at the first hidden layer of every MADE.",
        limitations="Fast density, slow sampling: the inverse needs many network passes.",
    ),
    _mnist_entry(
        name="maf_mog_mnist",
        title="MAF MoG(5) on MNIST",
        recipe=MAF_MOG_MNIST,
        paper_value=-1100.3,
        description="maf_mnist whose base is a MADE with mixtures of 10 Gaussians.",
        limitations="Fast density, slow sampling: the inverse needs many network passes.",
    ),
    _cifar_entry(
        name="maf_cifar",
        title="MAF(5) on CIFAR-10",
        recipe=MAF_CIFAR,
        description="5 MADEs of 512 x 2 units over 3,072 pixels, whitened along each axis.",
        limitations="Fast density, slow sampling: 3,072 steps a layer.",
    ),
    _cifar_entry(
        name="maf_cifar_paper",
        title="MAF(5) on CIFAR-10, the paper's recipe",
        recipe=MAF_CIFAR_PAPER,
        description="Adam at 1e-4 until 30 epochs bring no gain. No published weights.",
        limitations="Days on two CPU cores.",
    ),
    _bsds_entry(
        name="made_bsds300",
        family="made",
        title="MADE on BSDS300",
        recipe=MADE_BSDS300,
        paper_value=148.85,
        description="One MADE of 1024 x 2 units with Gaussian conditionals.",
        limitations=PATCHES,
    ),
    _bsds_entry(
        name="maf_bsds300",
        title="MAF(5) on BSDS300",
        recipe=MAF_BSDS300,
        paper_value=155.69,
        description="5 MADEs of 512 x 2 units on 8 x 8 patches of natural images.",
        limitations=PATCHES,
    ),
    _bsds_entry(
        name="maf_bsds300_paper",
        title="MAF(5) on BSDS300, the paper's recipe",
        recipe=MAF_BSDS300_PAPER,
        paper_value=155.69,
        description="Adam at 1e-4 until 30 epochs bring no gain. No published weights.",
        limitations=PATCHES,
    ),
    _bsds_entry(
        name="maf_mog_bsds300",
        title="MAF MoG(5) on BSDS300",
        recipe=MAF_MOG_BSDS300,
        paper_value=156.36,
        description="MAF(5) of 512 x 2 units whose base is a MADE with mixtures of 10 Gaussians.",
        limitations=PATCHES,
    ),
    *(
        _entry(
            name=f"maf_{recipe.dataset.name}",
            title=f"MAF(5) on {recipe.dataset.name.upper()}, the paper's recipe",
            recipe=recipe,
            description="Adam at 1e-4 until 30 epochs bring no gain. No published weights.",
            limitations="Hours on two CPU cores; the dataset's archive has to be downloaded.",
            metrics=("log_prob",),
            paper_metric="log_prob",
            paper_value=value,
            paper_source="arXiv:1705.07057, table 1 (nats, standardised features)",
        )
        for recipe, value in (
            (MAF_POWER, 0.14),
            (MAF_GAS, 9.07),
            (MAF_HEPMASS, -17.70),
            (MAF_MINIBOONE, -11.75),
        )
    ),
)
