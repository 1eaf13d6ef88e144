"""Variational autoencoders on statically binarised MNIST: one encoder, decoder and budget for all.

The five trained ones differ in the posterior alone. `*_paper` is the wide recipe of Sylvester
flows (arXiv:1803.05649), whose figures stand beside theirs.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from zoo.core.recipe import SGD, Binarise, Default, NegativeELBO, Optimizer, Recipe, variant
from zoo.core.study import Arm, Beats, Study
from zoo.registry.entry import BINARIZED_MNIST, MNIST, Entry

__all__ = ["ENTRIES", "STUDIES"]

BINARY = {"num_levels": 2, "transform": "unit"}

VAE_MNIST_PAPER = Recipe(
    family="vae",
    config={
        "event_shape": [28, 28, 1],
        "preprocessing": BINARY,
        "latent_size": 64,
        "network": "gated_conv",
        "filters": 32,
        "features": 256,
    },
    data=BINARIZED_MNIST,
    objective=NegativeELBO(annealing_steps=50_000),
    training=SGD(
        optimizer=Optimizer(learning_rate=5e-4, epsilon=1e-7, algorithm="adamax"),
        batch_size=100,
        max_epochs=2000,
        patience=100,
        conditioner_dtype="mixed_bfloat16",
    ),
    paper="arXiv:1803.05649, Appendix A",
    notes="A linear warm-up of 100 epochs; the paper counts patience from its end.",
)

VAE_MNIST_BASE = variant(
    VAE_MNIST_PAPER,
    config={
        "event_shape": [28, 28, 1],
        "preprocessing": BINARY,
        "latent_size": 32,
        "network": "patch_conv",
        "filters": 32,
        "num_blocks": 3,
        "features": 256,
    },
    objective=NegativeELBO(annealing_steps=2500),
    optimizer=Optimizer(
        learning_rate=2e-3,
        clip_norm=200.0,
        warmup_steps=200,
        schedule="cosine",
        final_fraction=0.1,
    ),
    max_epochs=70,
    patience=0,
    ema_decay=0.999,
    conditioner_dtype="float32",
    jit_compile=True,
    notes="Residual gated convolutions on patches of 4 x 4 pixels: a twentieth of the cost.",
)

VAE_MNIST = variant(
    VAE_MNIST_BASE,
    after=VAE_MNIST_BASE,
    objective=Default(),
    optimizer=Optimizer(learning_rate=5e-4, clip_norm=200.0, warmup_steps=200, schedule="cosine"),
    max_epochs=24,
    notes="From a half-trained VAE of the same networks on; those with flows start there as well.",
)

POSTERIORS: dict[str, dict[str, Any]] = {
    "planar_vae": {"num_flows": 10},
    "radial_vae": {"num_flows": 10},
    "iaf_vae": {
        "num_flows": 6,
        "made_units": [320],
        "context_features": 128,
        "gate_bias": 2.5,
        "full_covariance": True,
    },
    "sylvester_vae": {"num_flows": 6, "kind": "triangular"},
}
PAPER_POSTERIORS: dict[str, dict[str, Any]] = {
    "planar_vae": {"num_flows": 16},
    "iaf_vae": {"num_flows": 16, "made_units": [1280], "context_features": 1280},
    "sylvester_vae": {"num_flows": 16, "kind": "orthogonal", "num_vectors": 32},
}


# Gates start far from the identity, and have further to go in the same number of steps.
RATES = {"iaf_vae": 1e-3}


def _with_posterior(recipe: Recipe, family: str, sizes: dict[str, Any]) -> Recipe:
    """The same recipe with another posterior."""
    return dataclasses.replace(recipe, family=family, config={**recipe.config, **sizes})


def _trained(family: str) -> Recipe:
    """The recipe of a posterior of the comparison."""
    recipe = _with_posterior(VAE_MNIST, family, POSTERIORS[family])
    rate = RATES.get(family, recipe.sgd.optimizer.learning_rate)
    optimizer = dataclasses.replace(recipe.sgd.optimizer, learning_rate=rate)
    return variant(recipe, optimizer=optimizer)


TITLES = {
    "vae": "VAE with a diagonal posterior",
    "planar_vae": "VAE with planar flows",
    "radial_vae": "VAE with radial flows",
    "iaf_vae": "VAE with inverse autoregressive flows",
    "sylvester_vae": "VAE with Sylvester flows",
}
PAPERS = {
    "vae": ("Kingma, Welling: Auto-Encoding Variational Bayes (2013)", "1312.6114"),
    "planar_vae": (
        "Rezende, Mohamed: Variational Inference with Normalizing Flows (2015)",
        "1505.05770",
    ),
    "radial_vae": (
        "Rezende, Mohamed: Variational Inference with Normalizing Flows (2015)",
        "1505.05770",
    ),
    "iaf_vae": (
        "Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling: Improving Variational Inference "
        "with Inverse Autoregressive Flow (2016)",
        "1606.04934",
    ),
    "sylvester_vae": (
        "van den Berg, Hasenclever, Tomczak, Welling: Sylvester Normalizing Flows for Variational "
        "Inference (2018)",
        "1803.05649",
    ),
}
FIGURES = {"vae": 86.55, "planar_vae": 86.06, "iaf_vae": 84.20, "sylvester_vae": 83.32}


def _entry(
    family: str,
    name: str,
    recipe: Recipe,
    description: str,
    limitations: str,
    *,
    metrics: tuple[str, ...] = ("negative_elbo", "negative_log_prob", "active_units"),
) -> Entry:
    paper, arxiv = PAPERS[family]
    entry = functools.partial(
        Entry,
        name=name,
        family=family,
        title=f"{TITLES[family]} on {'dynamic' if recipe.sgd.binarises else 'binary'} MNIST",
        paper=paper,
        arxiv=arxiv,
        recipe=recipe,
        description=description,
        limitations=limitations,
        metrics=metrics,
    )
    if recipe.sgd.binarises or family not in FIGURES:
        return entry()
    return entry(
        paper_metric="negative_elbo",
        paper_value=FIGURES[family],
        paper_source="arXiv:1803.05649, table 1, as quoted by arXiv:1810.01367, table 3",
    )


ENTRIES = (
    _entry(
        "vae",
        "vae_mnist",
        VAE_MNIST,
        "The control of the VAEs with flows: the same networks, data and budget.",
        "A density by importance samples alone; samples are blurrier than those of flows.",
    ),
    *(
        _entry(
            family,
            f"{family}_mnist",
            _trained(family),
            f"{sizes['num_flows']} flows between the encoder's Gaussian and the latents; all else "
            f"is vae_mnist{', but for twice the learning rate' if family in RATES else ''}.",
            "A density by importance samples alone; samples are blurrier than those of flows.",
        )
        for family, sizes in POSTERIORS.items()
    ),
    _entry(
        "vae",
        "vae_mnist_paper",
        VAE_MNIST_PAPER,
        "The gated convolutional VAE of the Sylvester paper, as published. No published weights.",
        "Days on two CPU cores.",
    ),
    *(
        _entry(
            family,
            f"{family}_mnist_paper",
            _with_posterior(VAE_MNIST_PAPER, family, sizes),
            "The posterior of the Sylvester paper's best run, as published. No published weights.",
            "Days on two CPU cores.",
        )
        for family, sizes in PAPER_POSTERIORS.items()
    ),
    *(
        _entry(
            family,
            f"{family}_mnist_dynamic",
            variant(
                _with_posterior(VAE_MNIST_BASE, family, POSTERIORS.get(family, {})),
                data=MNIST,
                augment=(Binarise(),),
            ),
            "Pixels binarised anew at every step, each 1 with its grey level's probability.",
            "No published weights; figures do not compare with those of the static split.",
        )
        for family in ("vae", "iaf_vae")
    ),
)

STUDIES = (
    Study(
        name="posteriors_mnist",
        title="Posteriors of a VAE on binary MNIST",
        claim="Flows between the encoder's Gaussian and the latents tighten the bound "
        "(arXiv:1505.05770, arXiv:1606.04934, arXiv:1803.05649).",
        protocol="The published weights, one run each: the same networks, data, budget and start; "
        "iaf_vae has twice the learning rate. One run says nothing of the spread over seeds.",
        arms=tuple(Arm(name=name, entry=f"{name}_mnist") for name in ("vae", *POSTERIORS)),
        seeds=(0,),
        metrics=("negative_elbo", "negative_log_prob", "active_units"),
        expectations=tuple(
            Beats(arm=name, other="vae", metric="negative_elbo", seeds=1) for name in POSTERIORS
        ),
        published=True,
    ),
)
