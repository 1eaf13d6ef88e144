"""RealNVP: images and vectors."""

from __future__ import annotations

import dataclasses
import functools

from zoo.core.recipe import SGD, Flips, Optimizer, Recipe, variant
from zoo.registry.entry import CIFAR10, MNIST, Entry
from zoo.registry.maf import MAF_BSDS300_BASE, MAF_MAGIC, MAF_MNIST, PATCH_METRICS, PATCHES

__all__ = ["ENTRIES"]

REALNVP_CIFAR_PAPER = Recipe(
    family="realnvp",
    config={
        "event_shape": [32, 32, 3],
        "preprocessing": {"num_levels": 256, "transform": "logit", "alpha": 0.05},
        "num_scales": 2,
        "num_checkerboard": 3,
        "num_channelwise": 3,
        "num_final": 4,
        "filters": 64,
        "num_blocks": 8,
        "conditioner_stride": 1,
        "weight_norm": True,
        "conditioner_batch_norm": True,
        "skip_connections": True,
        "activation": "relu",
        "normalization": "batch_norm",
    },
    data=CIFAR10,
    training=SGD(
        optimizer=Optimizer(learning_rate=1e-3, clip_norm=100.0),
        batch_size=64,
        max_epochs=100,
        l2=5e-5,
        initialization_rows=1000,
        augment=(Flips(),),
    ),
    paper="arXiv:1605.08803, Sec. 4.1",
    notes="The paper states no training length; 100 epochs are those of a public "
    "re-implementation. Batch norm between the couplings is evaluated with the moments of "
    "1000 training rows.",
)

REALNVP_CIFAR_SMALL = variant(
    REALNVP_CIFAR_PAPER,
    config={
        **REALNVP_CIFAR_PAPER.config,
        "filters": 32,
        "num_blocks": 1,
        "conditioner_stride": 2,
        "conditioner_batch_norm": False,
        "skip_connections": False,
        "normalization": "activation_norm",
    },
    optimizer=Optimizer(learning_rate=8e-4, clip_norm=1.0, warmup_steps=300, schedule="cosine"),
    batch_size=16,
    max_epochs=10,
    validate_every=1000,
    validation_rows=1000,
    ema_decay=0.999,
    conditioner_dtype="mixed_bfloat16",
    initialization_rows=256,
    notes="Conditioners of 1 block on squeezed pixels, activation norm, small batches: for 2 CPU "
    "cores. The published weights began with those of 5 epochs of this recipe at a rate of "
    "1e-3 (1.2 hours); from fresh weights set max_epochs to 15.",
)

REALNVP_CIFAR = variant(
    REALNVP_CIFAR_PAPER,
    config={
        **REALNVP_CIFAR_PAPER.config,
        "num_checkerboard": 4,
        "num_channelwise": 4,
        "num_final": 6,
        "num_blocks": 3,
        "conditioner_batch_norm": False,
        "skip_connections": False,
        "activation": "swish4",
        "normalization": "activation_norm",
    },
    optimizer=Optimizer(learning_rate=1e-3, clip_norm=1.0, warmup_steps=500, schedule="cosine"),
    max_epochs=50,
    validate_every=2000,
    validation_rows=2000,
    ema_decay=0.999,
    conditioner_dtype="mixed_bfloat16",
    notes="14 couplings with conditioners of 3 blocks in place of the paper's 10 with 8, "
    "activation norm and no batch norm: half the work a step. Eight minutes on one NVIDIA H100, by "
    "`zoo step export` and tools/run_step.py.",
)

REALNVP_MNIST_START = variant(
    REALNVP_CIFAR_SMALL,
    config={
        **REALNVP_CIFAR_SMALL.config,
        "event_shape": [28, 28, 1],
        "preprocessing": {"num_levels": 256, "transform": "logit", "alpha": 1e-6},
    },
    data=MNIST,
    optimizer=Optimizer(learning_rate=1e-3, clip_norm=1.0, warmup_steps=300, schedule="cosine"),
    batch_size=32,
    max_epochs=7,
    augment=(),
    notes="Conditioners of 1 block on squeezed pixels, activation norm: for one CPU core.",
    paper="arXiv:1605.08803; run on MNIST by arXiv:1810.01367",
)
REALNVP_MNIST = variant(
    REALNVP_MNIST_START,
    after=REALNVP_MNIST_START,
    optimizer=Optimizer(learning_rate=7e-4, clip_norm=1.0, warmup_steps=300, schedule="cosine"),
    max_epochs=5,
    notes="Goes on from 7 epochs of the same at a rate of 1e-3, by a second cosine.",
)

REALNVP_MAGIC = dataclasses.replace(
    MAF_MAGIC,
    family="realnvp",
    config={
        "event_shape": [10],
        "preprocessing": {"whitening": "standardise"},
        "num_couplings": 10,
        "hidden_units": [128, 128],
        "activation": "relu",
        "normalization": "activation_norm",
    },
    paper="arXiv:1605.08803",
)

# RealNVP(5) in the MAF paper's comparison: flattened images, one perceptron a coupling.

REALNVP_VEC_MNIST = dataclasses.replace(
    MAF_MNIST,
    family="realnvp",
    config={
        "event_shape": [28, 28, 1],
        "vector": True,
        "preprocessing": {"num_levels": 256, "transform": "logit", "alpha": 1e-6},
        "num_couplings": 5,
        "hidden_units": [1024, 1024],
        "activation": "relu",
        "normalization": "batch_norm",
    },
    paper="arXiv:1605.08803; as run by arXiv:1705.07057",
)

REALNVP_BSDS300 = variant(
    MAF_BSDS300_BASE,
    family="realnvp",
    config={
        "event_shape": [63],
        "preprocessing": {"whitening": "zca"},
        "num_couplings": 10,
        "hidden_units": [512, 512],
        "activation": "relu",
        "normalization": "activation_norm",
    },
    max_epochs=8,
    paper="arXiv:1605.08803; as run by arXiv:1705.07057",
)

_entry = functools.partial(
    Entry,
    family="realnvp",
    paper="Dinh, Sohl-Dickstein, Bengio: Density estimation using Real NVP (2016)",
    arxiv="1605.08803",
)

_cifar_entry = functools.partial(
    _entry,
    metrics=("bits_per_dim",),
    paper_metric="bits_per_dim",
    paper_value=3.49,
    paper_source="arXiv:1605.08803, table 1",
)

ENTRIES = (
    _cifar_entry(
        name="realnvp_cifar",
        title="RealNVP on CIFAR-10",
        recipe=REALNVP_CIFAR,
        description=(
            "Two scales, 14 affine couplings with residual conditioners of 3 blocks of 64 maps."
        ),
        limitations=(
            "Samples have the colours and edges of objects, seldom an object. A training step is "
            "1.2 TFLOP, for an accelerator; realnvp_cifar_small can be trained on CPUs."
        ),
    ),
    _cifar_entry(
        name="realnvp_cifar_small",
        title="RealNVP on CIFAR-10, for two CPU cores",
        recipe=REALNVP_CIFAR_SMALL,
        description="Two scales, 10 affine couplings with small convolutional conditioners.",
        limitations=(
            "A short training on two CPU cores: samples show colours and textures, not objects. "
            "realnvp_cifar scores better."
        ),
    ),
    _cifar_entry(
        name="realnvp_cifar_paper",
        title="RealNVP on CIFAR-10, the paper's recipe",
        recipe=REALNVP_CIFAR_PAPER,
        description=(
            "8 residual blocks of 64 maps, batch norm: the published size. No published weights."
        ),
        limitations="About 1.8 PFLOP an epoch: for an accelerator.",
    ),
    _entry(
        name="realnvp_mnist",
        title="RealNVP on MNIST",
        recipe=REALNVP_MNIST,
        description="Two scales, 10 affine couplings with small convolutional conditioners.",
        limitations="A short training on two CPU cores.",
        metrics=("bits_per_dim",),
        paper_metric="bits_per_dim",
        paper_value=1.06,
        paper_source="arXiv:1810.01367 (FFJORD), table 2, their run of RealNVP",
    ),
    _entry(
        name="realnvp_magic",
        title="RealNVP on MAGIC",
        recipe=REALNVP_MAGIC,
        description=(
            "The vector form on ten real features: 10 couplings of two-layer perceptrons."
        ),
        limitations="No published weights, and no published figure on this dataset.",
        metrics=("log_prob_paper", "log_prob"),
    ),
    _entry(
        name="realnvp_vec_mnist",
        title="RealNVP(5) on MNIST in vector form",
        recipe=REALNVP_VEC_MNIST,
        description="5 couplings of flattened images by perceptrons of 1024 x 2 units.",
        limitations="It sees no neighbourhoods; realnvp_mnist, with convolutions, scores better.",
        metrics=("log_prob_paper", "bits_per_dim"),
        paper_metric="log_prob_paper",
        paper_value=-1323.2,
        paper_source="arXiv:1705.07057, table 2 (nats, logit space)",
    ),
    _entry(
        name="realnvp_bsds300",
        title="RealNVP(10) on BSDS300",
        recipe=REALNVP_BSDS300,
        description="10 couplings of 512 x 2 units on 8 x 8 patches of natural images.",
        limitations=PATCHES,
        metrics=PATCH_METRICS,
        paper_metric="log_prob",
        paper_value=153.28,
        paper_source="arXiv:1705.07057, table 1 (nats), RealNVP(10); RealNVP(5) has 152.97",
    ),
)
