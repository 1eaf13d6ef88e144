"""Discrete denoising flows, and the modular flows that they are compared with."""

from __future__ import annotations

import dataclasses

from zoo.core.recipe import SGD, Descent, Greedy, Optimizer, Recipe, Rows, variant
from zoo.core.study import Arm, Beats, Floor, Reaches, Study
from zoo.core.vocabularies import MUSHROOM as VOCABULARIES
from zoo.core.vocabularies import categorical_columns
from zoo.registry.dtf import MUSHROOM
from zoo.registry.entry import BINARIZED_MNIST, Entry

__all__ = ["ENTRIES", "STUDIES"]

EIGHT_GAUSSIANS = Rows(
    name="eight_gaussians",
    version="1.0.0",
    train="train",
    validation="validation",
    test="test",
    feature="features",
)

DDF_8GAUSSIANS = Recipe(
    family="ddf",
    config={
        "event_shape": [2],
        "num_classes": [91],
        "num_couplings": 2,
        "hidden_units": [256, 256, 256],
    },
    data=EIGHT_GAUSSIANS,
    training=Greedy(layers=2, descent=Descent(learning_rate=5e-4, batch_size=64, epochs=30)),
    paper="arXiv:2107.11625, Sec. 5",
)
DDF_MUSHROOM = variant(
    DDF_8GAUSSIANS,
    config={
        "event_shape": [len(VOCABULARIES)],
        "columns": categorical_columns(VOCABULARIES),
        "num_couplings": 4,
        "hidden_units": [256, 256, 256],
    },
    data=MUSHROOM,
    layers=4,
    paper="",
)
DDF_MNIST14 = variant(
    DDF_8GAUSSIANS,
    config={
        "event_shape": [14, 14, 1],
        "num_classes": [2],
        "num_couplings": 4,
        "hidden_units": [256, 256, 256],
    },
    data=dataclasses.replace(BINARIZED_MNIST, name="binarized_mnist14"),
    layers=4,
    paper="",
    notes="Perceptrons, in place of the paper's DenseNet on 28 x 28 pixels.",
)
DISCRETE_FLOW_8GAUSSIANS = Recipe(
    family="discrete_flow",
    config={
        "event_shape": [2],
        "num_classes": [91],
        "num_couplings": 2,
        "hidden_units": [256, 256, 256],
    },
    data=EIGHT_GAUSSIANS,
    training=SGD(
        optimizer=Optimizer(learning_rate=1e-3),
        batch_size=64,
        max_epochs=40,
        patience=10,
        initialization_rows=10_240,
    ),
    paper="arXiv:1905.10347, Sec. 5.2, with couplings",
)

PAPER = ("Lindt, Hoogeboom: Discrete Denoising Flows (2021)", "2107.11625")
_LEARNT = (
    "Couplings are learnt one after the other by cross-entropy, no gradient passes an argsort."
)


def _entry(
    name: str,
    title: str,
    recipe: Recipe,
    description: str,
    limitations: str,
    paper: tuple[str, str] = PAPER,
) -> Entry:
    return Entry(
        name=name,
        family=recipe.family,
        title=title,
        paper=paper[0],
        arxiv=paper[1],
        recipe=recipe,
        description=description,
        limitations=limitations,
        metrics=("log_prob", "bits_per_dim"),
    )


ENTRIES = (
    _entry(
        "ddf_8gaussians",
        "Discrete denoising flow on eight Gaussians",
        DDF_8GAUSSIANS,
        f"Two couplings that sort 91 categories by a network's logits. {_LEARNT}",
        "In nats, the entropy of the cells is 6.320; the best that one such coupling can do is "
        "6.388, two 6.345, and independent features 7.352.",
    ),
    _entry(
        "discrete_flow_8gaussians",
        "Discrete flow with modular shifts on eight Gaussians",
        DISCRETE_FLOW_8GAUSSIANS,
        "Two couplings of shifts modulo 91, trained end to end with straight-through gradients: "
        "what denoising flows are compared with.",
        "No published weights. The gradient is that of another function, a softmax in the place of "
        "an argmax, and does not lead far: one coupling stays at what independent features reach, "
        "7.35, where the entropy of the cells is 6.320.",
        (
            "Tran et al.: Discrete Flows: Invertible Generative Models of Discrete Data (2019)",
            "1905.10347",
        ),
    ),
    _entry(
        "ddf_mushroom",
        "Discrete denoising flow on mushrooms",
        DDF_MUSHROOM,
        f"Four couplings over 23 categorical columns. {_LEARNT}",
        "`dtf_mushroom`, of trees, is fitted in seconds on the same rows: compare their results.",
    ),
    _entry(
        "ddf_binarized_mnist14",
        "Discrete denoising flow on binarised MNIST of 14 x 14",
        DDF_MNIST14,
        f"Four couplings over 196 binary pixels, perceptrons in place of a DenseNet. {_LEARNT}",
        "No published weights. Images have half the size of the paper's: its figures are not "
        "comparable.",
    ),
)

STUDIES = (
    Study(
        name="denoising_8gaussians",
        title="One coupling on eight Gaussians",
        claim="A coupling that sorts by likelihood explains more than a modular shift that "
        "straight-through gradients have trained (arXiv:2107.11625, Sec. 5).",
        protocol="One coupling each, with the same network. The entropy of the cells is 6.3200 "
        "nats; the best that one coupling of the first kind can do is 6.3875, and independent "
        "features 7.3522, all three exact.",
        arms=(
            Arm(
                name="denoising",
                entry="ddf_8gaussians",
                changes=("config.num_couplings=1", "layers=1"),
            ),
            Arm(
                name="modular",
                entry="discrete_flow_8gaussians",
                changes=("config.num_couplings=1",),
            ),
        ),
        metrics=("log_prob",),
        floors=(Floor(name="independent", where="zoo.evaluation.floors:independent"),),
        expectations=(
            Reaches(arm="denoising", metric="log_prob", value=-6.48),
            Beats(arm="denoising", other="modular", metric="log_prob", seeds=5),
        ),
    ),
)
