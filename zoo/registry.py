"""The table of models: name, family, recipe, paper. Importable without TensorFlow.

Each system has one recipe that is the paper's; what is trained on two CPU cores is a `replace` of
it. Weights are pinned by sha256 in the package data file `pins.json`; a name without pins has a
recipe and an architecture, and no published weights.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib.resources
import json
from dataclasses import dataclass
from typing import Any

from zoo.errors import UnknownModelError
from zoo.recipes import Dataset, Optimizer, Recipe

__all__ = ["ENTRIES", "Entry", "get", "pins"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One named model.

    paper_metric, paper_value: the figure to compare with, as `metrics.json` names it; empty and
    None where no paper has one.
    """

    name: str
    family: str
    title: str
    paper: str
    arxiv: str
    recipe: Recipe
    description: str
    limitations: str
    metrics: tuple[str, ...]
    paper_metric: str = ""
    paper_value: float | None = None
    paper_source: str = ""
    licence: str = "Apache-2.0"
    weights_licence: str = "Apache-2.0"


MNIST = Dataset(
    name="mnist", version="3.0.1", train="train[:50000]", validation="train[50000:]", test="test"
)
CIFAR10 = Dataset(
    name="cifar10", version="3.0.2", train="train[:45000]", validation="train[45000:]", test="test"
)
SVHN = Dataset(
    name="svhn_cropped",
    version="3.1.0",
    train="train[:65000]",
    validation="train[65000:]",
    test="test",
)
MAGIC = Dataset(
    name="magic",
    version="1.0.0",
    train="train",
    validation="validation",
    test="test",
    feature="features",
)

NICE_MNIST_PAPER = Recipe(
    family="nice",
    config={
        "event_shape": [28, 28, 1],
        "preprocessing": {"num_levels": 256, "transform": "unit"},
        "num_couplings": 4,
        "hidden_units": [1000] * 5,
        "base": "logistic",
    },
    dataset=MNIST,
    optimizer=Optimizer(learning_rate=1e-3, beta_1=0.9, beta_2=0.99, epsilon=1e-4),
    batch_size=200,
    max_epochs=1500,
    paper="arXiv:1410.8516, Sec. 5.1",
    notes=(
        "The paper's beta2 = 0.01 is 1 - beta2 in today's convention. Its batch size is not stated."
    ),
)

NICE_CIFAR_PAPER = dataclasses.replace(
    NICE_MNIST_PAPER,
    config={
        "event_shape": [32, 32, 3],
        "preprocessing": {"num_levels": 256, "transform": "symmetric", "whitening": "zca"},
        "num_couplings": 4,
        "hidden_units": [2000] * 4,
        "base": "logistic",
    },
    dataset=CIFAR10,
    notes="ZCA is fitted to the training rows. Dequantised by U/128 on [-1, 1], as published.",
)

NICE_SVHN_PAPER = dataclasses.replace(
    NICE_CIFAR_PAPER,
    config={
        **NICE_CIFAR_PAPER.config,
        "preprocessing": {"num_levels": 256, "transform": "unit", "whitening": "zca"},
    },
    dataset=SVHN,
    notes="ZCA is fitted to the training rows.",
)

NICE_MNIST = dataclasses.replace(
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
    notes=(
        "Data-dependent start of the scaling, dropout, averaged weights and a cosine: "
        "28 epochs for 1500."
    ),
)

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
    dataset=CIFAR10,
    optimizer=Optimizer(learning_rate=1e-3, clip_norm=100.0),
    batch_size=64,
    max_epochs=100,
    l2=5e-5,
    horizontal_flips=True,
    paper="arXiv:1605.08803, Sec. 4.1",
    notes=(
        "The paper states no training length; 100 epochs are those of a public re-implementation."
    ),
)

REALNVP_CIFAR = dataclasses.replace(
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
    optimizer=Optimizer(learning_rate=1e-3, clip_norm=1.0, warmup_steps=300, schedule="cosine"),
    batch_size=16,
    max_epochs=5,
    validate_every=1000,
    validation_rows=1000,
    ema_decay=0.999,
    conditioner_dtype="mixed_bfloat16",
    initialization_rows=256,
    notes=(
        "Conditioners of 1 block on squeezed pixels, activation norm, small batches: "
        "for 2 CPU cores."
    ),
)

REALNVP_MNIST = dataclasses.replace(
    REALNVP_CIFAR,
    config={
        **REALNVP_CIFAR.config,
        "event_shape": [28, 28, 1],
        "preprocessing": {"num_levels": 256, "transform": "logit", "alpha": 1e-6},
        "filters": 24,
    },
    dataset=MNIST,
    horizontal_flips=False,
    max_epochs=3,
    paper="arXiv:1605.08803; run on MNIST by arXiv:1810.01367",
)

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


ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="nice_mnist",
            family="nice",
            title="NICE on MNIST",
            paper=(
                "Dinh, Krueger, Bengio: NICE: Non-linear Independent Components Estimation (2014)"
            ),
            arxiv="1410.8516",
            recipe=NICE_MNIST,
            description=(
                "The paper's network: 4 additive couplings of 5 x 1000 units, one diagonal scaling."
            ),
            limitations=(
                "Additive couplings preserve volume; samples are rougher than later flows'."
            ),
            metrics=("log_prob_paper", "bits_per_dim"),
            paper_metric="log_prob_paper",
            paper_value=1980.5,
            paper_source="arXiv:1410.8516, Sec. 5.1 (nats, pixels in [0, 1])",
        ),
        Entry(
            name="nice_mnist_paper",
            family="nice",
            title="NICE on MNIST, the paper's recipe",
            paper=(
                "Dinh, Krueger, Bengio: NICE: Non-linear Independent Components Estimation (2014)"
            ),
            arxiv="1410.8516",
            recipe=NICE_MNIST_PAPER,
            description=(
                "1500 epochs of plain Adam, as published. A recipe without published weights."
            ),
            limitations="About 17 hours on two CPU cores.",
            metrics=("log_prob_paper", "bits_per_dim"),
            paper_metric="log_prob_paper",
            paper_value=1980.5,
            paper_source="arXiv:1410.8516, Sec. 5.1 (nats, pixels in [0, 1])",
        ),
        Entry(
            name="nice_cifar_paper",
            family="nice",
            title="NICE on CIFAR-10, the paper's recipe",
            paper=(
                "Dinh, Krueger, Bengio: NICE: Non-linear Independent Components Estimation (2014)"
            ),
            arxiv="1410.8516",
            recipe=NICE_CIFAR_PAPER,
            description="ZCA, then 4 additive couplings of 4 x 2000 units. No published weights.",
            limitations="Days on two CPU cores.",
            metrics=("log_prob_paper", "bits_per_dim"),
            paper_metric="log_prob_paper",
            paper_value=5371.78,
            paper_source="arXiv:1410.8516, Sec. 5.1 (nats, pixels in [-1, 1])",
        ),
        Entry(
            name="nice_svhn_paper",
            family="nice",
            title="NICE on SVHN, the paper's recipe",
            paper=(
                "Dinh, Krueger, Bengio: NICE: Non-linear Independent Components Estimation (2014)"
            ),
            arxiv="1410.8516",
            recipe=NICE_SVHN_PAPER,
            description="ZCA, then 4 additive couplings of 4 x 2000 units. No published weights.",
            limitations="Days on two CPU cores; never run by this project.",
            metrics=("log_prob_paper", "bits_per_dim"),
            paper_metric="log_prob_paper",
            paper_value=11496.55,
            paper_source="arXiv:1410.8516, Sec. 5.1 (nats, pixels in [0, 1])",
        ),
        Entry(
            name="realnvp_cifar",
            family="realnvp",
            title="RealNVP on CIFAR-10",
            paper="Dinh, Sohl-Dickstein, Bengio: Density estimation using Real NVP (2016)",
            arxiv="1605.08803",
            recipe=REALNVP_CIFAR,
            description="Two scales, 10 affine couplings with small convolutional conditioners.",
            limitations=(
                "A short training on two CPU cores: samples show colours and textures, not objects."
            ),
            metrics=("bits_per_dim",),
            paper_metric="bits_per_dim",
            paper_value=3.49,
            paper_source="arXiv:1605.08803, table 1",
        ),
        Entry(
            name="realnvp_cifar_paper",
            family="realnvp",
            title="RealNVP on CIFAR-10, the paper's recipe",
            paper="Dinh, Sohl-Dickstein, Bengio: Density estimation using Real NVP (2016)",
            arxiv="1605.08803",
            recipe=REALNVP_CIFAR_PAPER,
            description=(
                "8 residual blocks of 64 maps, batch norm: the published size. "
                "No published weights."
            ),
            limitations="About 1.8 PFLOP an epoch: for an accelerator.",
            metrics=("bits_per_dim",),
            paper_metric="bits_per_dim",
            paper_value=3.49,
            paper_source="arXiv:1605.08803, table 1",
        ),
        Entry(
            name="realnvp_mnist",
            family="realnvp",
            title="RealNVP on MNIST",
            paper="Dinh, Sohl-Dickstein, Bengio: Density estimation using Real NVP (2016)",
            arxiv="1605.08803",
            recipe=REALNVP_MNIST,
            description="Two scales, 10 affine couplings with small convolutional conditioners.",
            limitations="A short training on two CPU cores.",
            metrics=("bits_per_dim",),
            paper_metric="bits_per_dim",
            paper_value=1.06,
            paper_source="arXiv:1810.01367 (FFJORD), table 2, their run of RealNVP",
        ),
        Entry(
            name="maf_mnist",
            family="maf",
            title="MAF(5) on MNIST",
            paper=(
                "Papamakarios, Pavlakou, Murray: "
                "Masked Autoregressive Flow for Density Estimation (2017)"
            ),
            arxiv="1705.07057",
            recipe=MAF_MNIST,
            description="The paper's network: 5 MADEs of 1024 x 2 units, batch norm between them.",
            limitations="Fast density, slow sampling: the inverse needs many network passes.",
            metrics=("log_prob_paper", "bits_per_dim"),
            paper_metric="log_prob_paper",
            paper_value=-1300.5,
            paper_source="arXiv:1705.07057, table 2 (nats, logit space)",
        ),
        Entry(
            name="maf_mnist_paper",
            family="maf",
            title="MAF(5) on MNIST, the paper's recipe",
            paper=(
                "Papamakarios, Pavlakou, Murray: "
                "Masked Autoregressive Flow for Density Estimation (2017)"
            ),
            arxiv="1705.07057",
            recipe=MAF_MNIST_PAPER,
            description=(
                "Adam at 1e-4 until 30 epochs bring no gain, as published. No published weights."
            ),
            limitations="Hours on two CPU cores.",
            metrics=("log_prob_paper", "bits_per_dim"),
            paper_metric="log_prob_paper",
            paper_value=-1300.5,
            paper_source="arXiv:1705.07057, table 2 (nats, logit space)",
        ),
        Entry(
            name="maf_magic",
            family="maf",
            title="MAF(5) on MAGIC",
            paper=(
                "Papamakarios, Pavlakou, Murray: "
                "Masked Autoregressive Flow for Density Estimation (2017)"
            ),
            arxiv="1705.07057",
            recipe=MAF_MAGIC,
            description=(
                "Ten real features of gamma telescope events; "
                "trains in seconds, the one to try first."
            ),
            limitations="No published figure on this dataset; splits are this project's own.",
            metrics=("log_prob_paper", "log_prob"),
        ),
        Entry(
            name="realnvp_magic",
            family="realnvp",
            title="RealNVP on MAGIC",
            paper="Dinh, Sohl-Dickstein, Bengio: Density estimation using Real NVP (2016)",
            arxiv="1605.08803",
            recipe=REALNVP_MAGIC,
            description=(
                "The vector form on ten real features: 10 couplings of two-layer perceptrons."
            ),
            limitations="No published figure on this dataset; splits are this project's own.",
            metrics=("log_prob_paper", "log_prob"),
        ),
    )
}


def get(name: str) -> Entry:
    """The entry of that name. Raises UnknownModelError, with close matches, for none."""
    if name in ENTRIES:
        return ENTRIES[name]
    close = difflib.get_close_matches(str(name), ENTRIES, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise UnknownModelError(
        f"No model named {name!r}.{hint} zoo.list_models() shows all {len(ENTRIES)}."
    )


@functools.cache
def pins() -> dict[str, dict[str, Any]]:
    """name -> {"version": int, "files": files} of every published checkpoint.

    files: {file: {"sha256", "size"}}.
    """
    text = importlib.resources.files("zoo").joinpath("pins.json").read_text(encoding="utf-8")
    return json.loads(text)
