"""Integer discrete flows: the recipe of general invertible couplings on digits."""

from __future__ import annotations

from zoo.core.recipe import SGD, Optimizer, Recipe, Rows
from zoo.registry.entry import Entry

__all__ = ["ENTRIES"]

DIGITS = Rows(name="digits", version="1.0.0", train="train", validation="validation", test="test")

IDF_DIGITS = Recipe(
    family="idf",
    config={
        "event_shape": [8, 8, 1],
        "num_classes": 17,
        "coupling": "one_sided",
        "num_parts": 2,
        "num_flows": 16,
        "hidden_units": [256, 256],
        "base": "logistic",
        "output_scale": 0.577,
    },
    data=DIGITS,
    training=SGD(
        optimizer=Optimizer(learning_rate=1e-3, algorithm="adamax"),
        batch_size=64,
        max_epochs=1000,
        patience=20,
    ),
    paper="arXiv:2011.15056, Sec. 4",
    notes="Output layers start at torch's scale, 3**-0.5, as the authors' do.",
)

ENTRIES = (
    Entry(
        name="idf_digits",
        family="idf",
        title="Integer discrete flow on 8 x 8 digits",
        paper=(
            "Tomczak: General Invertible Transformations for Flow-based Generative Modeling (2020)"
        ),
        arxiv="2011.15056",
        recipe=IDF_DIGITS,
        description=(
            "16 one-sided couplings of integer shifts, a discretised logistic a pixel: exact "
            "probabilities of grey levels 0..16, and codes that decode to the same image."
        ),
        limitations=(
            "A poor model of these images, as the paper's others are: independent pixels and a "
            "Chow-Liu tree, which the results list as baselines, are better. 1,000 rows are few "
            "for couplings with straight-through gradients, and pixels that are mostly 0 or 16 "
            "are no logistics. Nearly all of its mass lies at integers that are no grey levels: "
            "draws are cut to 0..16, many of their pixels."
        ),
        metrics=("log_prob", "bits_per_dim"),
    ),
)
