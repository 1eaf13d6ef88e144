"""Models of rows in any order: the DEformer on digits, mushrooms and MAGIC, and its baseline.

The paper's sizes are 6 layers of 512 numbers, Adam at 1e-5 and one image a step; its figures on
MNIST and POWER are of days on GPUs. What is here is trained on two CPU cores.
"""

from __future__ import annotations

import functools

from zoo.core.recipe import SGD, Optimizer, Recipe, Rows, variant
from zoo.core.study import Arm, Beats, Floor, Reaches, Study
from zoo.core.vocabularies import MUSHROOM as VOCABULARIES
from zoo.core.vocabularies import categorical_columns
from zoo.registry.dtf import MUSHROOM
from zoo.registry.entry import MAGIC, Entry

__all__ = ["BINARY_DIGITS", "ENTRIES", "STUDIES"]

BINARY_DIGITS = Rows(
    name="optdigits",
    version="1.0.0",
    train="train[:3440]",
    validation="train[3440:]",
    test="test",
    feature="binary",
)

DEFORMER_DIGITS = Recipe(
    family="deformer",
    config={
        "event_shape": [8, 8, 1],
        "num_classes": 2,
        "tokens": "shifted",
        "size": 128,
        "num_layers": 4,
        "num_heads": 4,
    },
    data=BINARY_DIGITS,
    training=SGD(
        optimizer=Optimizer(
            learning_rate=6e-4, clip_norm=100.0, warmup_steps=100, schedule="cosine"
        ),
        batch_size=64,
        max_epochs=60,
        ema_decay=0.99,
    ),
    paper="arXiv:2106.06989",
    notes="Two thirds of the paper's layers, a quarter of its width, 64 rows a step in place of 1, "
    "a rate that falls on a cosine.",
)

OAMADE_DIGITS = variant(
    DEFORMER_DIGITS,
    family="oamade",
    config={"event_shape": [8, 8, 1], "num_classes": 2, "hidden_units": [807, 807]},
    paper="arXiv:1502.03509, Sec. 4",
    notes="As many weights as deformer_digits, trained in the same way on the same rows.",
)

# Measured on the train rows, as `zoo fit` measures columns: (kind, location, scale, heavy tails).
_MAGIC_COLUMNS = {
    "fLength": ("positive", 3.7304, 0.67644, False),
    "fWidth": ("real", 17.099, 9.6489, True),
    "fSize": ("real", 2.825, 0.47233, False),
    "fConc": ("real", 0.37971, 0.18267, False),
    "fConc1": ("real", 0.21435, 0.1105, False),
    "fAsym": ("real", 3.9366, 35.765, True),
    "fM3Long": ("real", 10.776, 50.829, False),
    "fM3Trans": ("real", 0.22224, 20.687, False),
    "fAlpha": ("real", 27.648, 26.145, False),
    "fDist": ("real", 193.98, 74.886, False),
}

DEFORMER_MAGIC = variant(
    DEFORMER_DIGITS,
    config={
        "event_shape": [10],
        "columns": [
            {
                "name": name,
                "kind": kind,
                "location": location,
                "scale": scale,
                **({"heavy": True} if heavy else {}),
            }
            for name, (kind, location, scale, heavy) in _MAGIC_COLUMNS.items()
        ],
        "num_components": 30,
        "tokens": "interleaved",
        "size": 64,
        "token_units": [64, 128],
        "num_layers": 3,
        "num_heads": 4,
    },
    data=MAGIC,
    optimizer=Optimizer(learning_rate=1e-3, clip_norm=100.0, warmup_steps=100, schedule="cosine"),
    batch_size=128,
    max_epochs=20,
    notes="An eighth of the paper's width, 30 Gaussians a column in place of 150, 20 epochs and no "
    "dropout.",
)

DEFORMER_MUSHROOM = variant(
    DEFORMER_MAGIC,
    config={
        "event_shape": [len(VOCABULARIES)],
        "columns": categorical_columns(VOCABULARIES),
        "tokens": "interleaved",
        "size": 64,
        "token_units": [64, 128],
        "num_layers": 3,
        "num_heads": 4,
        "dropout": 0.1,
    },
    data=MUSHROOM,
    max_epochs=60,
    notes="An eighth of the paper's width; a softmax a column in place of Gaussians.",
)

_entry = functools.partial(
    Entry,
    family="deformer",
    paper="Alcorn and Nguyen: The DEformer: An Order-Agnostic Distribution Estimating Transformer "
    "(2021)",
    arxiv="2106.06989",
)
_ORDERS = ("log_prob_orders", "log_prob_mixture", "order_spread")
_DIGITS_METRICS = ("log_prob", "bits_per_dim", *_ORDERS)

ENTRIES = (
    _entry(
        name="deformer_digits",
        title="DEformer on binary 8 x 8 digits",
        recipe=DEFORMER_DIGITS,
        description=(
            "A causal transformer over pixels in any order: exact probabilities under each of "
            "64! orders, and exact draws of any missing pixels. No published weights."
        ),
        limitations=(
            "Orders do not agree quite: each is a distribution of its own. A row takes 64 steps "
            "to draw. The paper has no figure on these images."
        ),
        metrics=_DIGITS_METRICS,
    ),
    _entry(
        name="oamade_digits",
        family="oamade",
        title="Order-agnostic MADE on binary 8 x 8 digits",
        paper="Germain et al.: MADE: Masked Autoencoder for Distribution Estimation (2015)",
        arxiv="1502.03509",
        recipe=OAMADE_DIGITS,
        description=(
            "A masked perceptron over pixels in any order, the baseline of deformer_digits: as "
            "many weights, a fraction of the arithmetic. No published weights."
        ),
        limitations=("A baseline. Orders do not agree quite: each is a distribution of its own."),
        metrics=_DIGITS_METRICS,
    ),
    _entry(
        name="deformer_magic",
        title="DEformer on MAGIC",
        recipe=DEFORMER_MAGIC,
        description=(
            "Ten real features of gamma telescope events, each a mixture of 30 Gaussians given "
            "any of the others: fills in missing columns without a Markov chain."
        ),
        limitations="No published figure on this dataset; splits are this project's own.",
        metrics=("log_prob", *_ORDERS),
    ),
    _entry(
        name="deformer_mushroom",
        title="DEformer on mushrooms",
        recipe=DEFORMER_MUSHROOM,
        description=(
            "23 attributes of mushrooms, categories all, each given any of the others: "
            "probabilities of rows, and exact draws of what a table lacks. No published weights."
        ),
        limitations=(
            "The rows are of a field guide's descriptions, made by combining attributes, not of "
            "mushrooms that were found."
        ),
        metrics=("log_prob", *_ORDERS),
    ),
)

_FLOOR = "zoo.evaluation.floors"

STUDIES = (
    Study(
        name="any_order_digits",
        title="A transformer or a perceptron for every order of pixels",
        claim="Of as many weights, the DEformer gives a higher likelihood under any order than an "
        "order-agnostic MADE, and nearly the same under every one.",
        protocol="Each arm by its recipe, the weights of the best validation in raster order, on "
        "the 1,797 test rows; ten uniform orders, the same for all runs.",
        arms=(
            Arm(name="deformer", entry="deformer_digits"),
            Arm(name="oamade", entry="oamade_digits"),
        ),
        seeds=(0, 1, 2, 3, 4),
        metrics=("log_prob_orders", "log_prob_mixture", "order_spread", "log_prob"),
        floors=(
            Floor(name="independent pixels", where=f"{_FLOOR}:independent"),
            Floor(name="Chow-Liu tree", where=f"{_FLOOR}:chow_liu_tree"),
        ),
        expectations=(
            Beats(arm="deformer", other="oamade", metric="log_prob_orders", seeds=5),
            Reaches(arm="deformer", metric="order_spread", value=0.5),
        ),
    ),
    Study(
        name="any_order_magic",
        title="Any order or one, on MAGIC",
        claim="A DEformer of ten columns scores no worse than a masked autoregressive flow of the "
        "same rows, which has one order alone.",
        protocol="The published weights, one run each, in the stored order of the columns.",
        arms=(
            Arm(name="deformer", entry="deformer_magic"),
            Arm(name="maf", entry="maf_magic"),
        ),
        seeds=(0,),
        metrics=("log_prob",),
        expectations=(Beats(arm="deformer", other="maf", metric="log_prob", seeds=1),),
        published=True,
    ),
)
