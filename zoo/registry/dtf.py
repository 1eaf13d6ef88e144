"""Discrete tree flows: mushrooms by greedy and by random splits, and binarised MNIST."""

from __future__ import annotations

from zoo.core.recipe import Greedy, Recipe, Rows, variant
from zoo.core.study import Arm, Beats, Floor, Reaches, Study
from zoo.core.vocabularies import MUSHROOM as VOCABULARIES
from zoo.core.vocabularies import categorical_columns
from zoo.registry.entry import BINARIZED_MNIST, Entry

__all__ = ["ENTRIES", "MUSHROOM", "STUDIES"]

MUSHROOM = Rows(
    name="mushroom",
    version="1.0.0",
    train="train",
    validation="validation",
    test="test",
    feature="features",
)
PAPER = (
    "Elkady, Lim, Inouye: Discrete Tree Flows via Tree-Structured Permutations (2022)",
    "2207.01744",
)

DTF_MUSHROOM = Recipe(
    family="dtf",
    config={
        "event_shape": [len(VOCABULARIES)],
        "columns": categorical_columns(VOCABULARIES),
        "num_trees": 10,
        "max_depth": 5,
        "split": "greedy",
    },
    data=MUSHROOM,
    training=Greedy(layers=10),
    paper="arXiv:2207.01744, Sec. 5",
)
RANDOM = variant(DTF_MUSHROOM, config={**DTF_MUSHROOM.config, "max_depth": 6, "split": "random"})
DTF_BINARIZED_MNIST = variant(
    DTF_MUSHROOM,
    config={
        "event_shape": [28, 28, 1],
        "num_classes": [2],
        "num_trees": 30,
        "max_depth": 8,
        "num_sampled_rows": 1000,
    },
    data=BINARIZED_MNIST,
    training=Greedy(layers=30),
    notes="A node's splits are judged by 1,000 of its rows.",
)


def _entry(name: str, title: str, recipe: Recipe, description: str, limitations: str) -> Entry:
    paper, arxiv = PAPER
    return Entry(
        name=name,
        family="dtf",
        title=title,
        paper=paper,
        arxiv=arxiv,
        recipe=recipe,
        description=description,
        limitations=limitations,
        metrics=("log_prob", "bits_per_dim"),
    )


_TABLE = (
    "The paper's tables are of another version of the table, with the rows of missing cells and "
    "without a column, and are not comparable. The rows are a species' attributes as a field guide "
    "combines them, not counts of mushrooms: a high probability says that the attributes go "
    "together, and nothing of what may be eaten."
)

ENTRIES = (
    _entry(
        "dtf_mushroom",
        "Discrete tree flow on mushrooms",
        DTF_MUSHROOM,
        "Ten trees of depth 5, each split the best of all: exact probabilities of 23 categorical "
        "columns, fitted in seconds without a gradient.",
        _TABLE,
    ),
    _entry(
        "dtf_mushroom_random",
        "Discrete tree flow on mushrooms, random splits",
        RANDOM,
        "Ten trees of depth 6 whose splits are drawn: the paper's faster variant.",
        f"Behind the greedy splits of `dtf_mushroom`. {_TABLE}",
    ),
    _entry(
        "dtf_binarized_mnist",
        "Discrete tree flow on binarised MNIST",
        DTF_BINARIZED_MNIST,
        "Thirty trees of depth 8 over 784 binary pixels, without a gradient.",
        "Far behind networks: a tree sees few pixels at a time.",
    ),
)

_FOLD = "data.name=mushroom_fold{seed}"
_FLOOR = "zoo.evaluation.floors"

STUDIES = (
    Study(
        name="trees_mushroom",
        title="Discrete tree flows on mushrooms",
        claim="Trees whose splits are the best of all lie above a Chow-Liu tree, and above trees "
        "with drawn splits.",
        protocol="Five folds of the rows, a seed each: 4,064 rows to learn from, 452 that choose "
        "the number of trees, 1,128 or 1,129 for the figures.",
        arms=(
            Arm(name="greedy", entry="dtf_mushroom", changes=(_FOLD,)),
            Arm(name="random", entry="dtf_mushroom_random", changes=(_FOLD,)),
        ),
        metrics=("log_prob",),
        floors=(
            Floor(name="independent", where=f"{_FLOOR}:independent"),
            Floor(name="Chow-Liu tree", where=f"{_FLOOR}:chow_liu_tree"),
        ),
        expectations=(
            Beats(arm="greedy", other="Chow-Liu tree", metric="log_prob", seeds=5),
            Beats(arm="greedy", other="random", metric="log_prob", seeds=5),
            Reaches(arm="greedy", metric="log_prob", value=-11.8),
        ),
    ),
)
