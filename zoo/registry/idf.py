"""Integer discrete flows: general invertible couplings on digits, beside a RealNVP.

The paper compares couplings of two, four and eight parts, of 16 networks each, with a RealNVP of 8
couplings; its study is `integer_flows_digits`.
"""

from __future__ import annotations

import functools

from zoo.core.recipe import SGD, Optimizer, Recipe, Rows, variant
from zoo.core.study import Arm, Beats, Floor, Study
from zoo.registry.entry import MNIST, Entry

__all__ = ["DIGITS", "ENTRIES", "STUDIES"]

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

# num_parts: num_flows, of one network a part.
GENERAL = {2: 8, 4: 4, 8: 2}
GENERAL_DIGITS = {
    parts: variant(
        IDF_DIGITS,
        config={
            **IDF_DIGITS.config,
            "coupling": "general",
            "num_parts": parts,
            "num_flows": flows,
        },
    )
    for parts, flows in GENERAL.items()
}

REALNVP_DIGITS = variant(
    IDF_DIGITS,
    family="realnvp",
    config={
        "event_shape": [8, 8, 1],
        "vector": True,
        "preprocessing": {"num_levels": 17, "transform": "unit"},
        "num_couplings": 8,
        "hidden_units": [256, 256],
        "activation": "leaky_relu",
        "normalization": "activation_norm",
    },
    initialization_rows=1000,
    notes="Rows get uniform noise in training, validation and evaluation; the authors' validation "
    "and test rows get none. Activation norm between the couplings starts from the data; the "
    "authors have no norm, and grey levels as they are.",
)

IDF4_MNIST = variant(
    GENERAL_DIGITS[4],
    config={
        **GENERAL_DIGITS[4].config,
        "event_shape": [28, 28, 1],
        "num_classes": 256,
        "num_flows": 8,
        "squeeze": True,
        "hidden_units": [512, 512],
        "base": "mixture",
        "num_components": 10,
        "input_scale": 1.0 / 256.0,
        "output_scale": 0.0,
    },
    data=MNIST,
    optimizer=Optimizer(
        learning_rate=1e-3,
        algorithm="adamax",
        clip_norm=1000.0,
        warmup_steps=200,
        schedule="cosine",
        final_fraction=0.01,
    ),
    batch_size=100,
    max_epochs=30,
    patience=0,
    initialization_rows=10_000,
    notes="Four parts of 14 x 14 pixels, those of every 2 x 2 square. A mixture of ten "
    "discretised logistics a pixel, each started at a tenth of the levels of the train rows; "
    "networks see grey levels over 256, and start at zero.",
)

_entry = functools.partial(
    Entry,
    family="idf",
    paper="Tomczak: General Invertible Transformations for Flow-based Generative Modeling (2020)",
    arxiv="2011.15056",
    metrics=("log_prob", "bits_per_dim"),
)
_CODED = ("log_prob", "bits_per_dim", "compressed_bits_per_dim", "mass_outside")
_LIMITS = (
    "A poor model of these images, as the paper's others are: independent pixels and a "
    "Chow-Liu tree, which the results list as baselines, are better. 1,000 rows are few "
    "for couplings with straight-through gradients, and pixels that are mostly 0 or 16 "
    "are no logistics. Nearly all of its mass lies at integers that are no grey levels: "
    "draws are cut to 0..16, many of their pixels."
)

ENTRIES = (
    _entry(
        name="idf_digits",
        title="Integer discrete flow on 8 x 8 digits",
        recipe=IDF_DIGITS,
        description=(
            "16 one-sided couplings of integer shifts, a discretised logistic a pixel: exact "
            "probabilities of grey levels 0..16, and codes that decode to the same image."
        ),
        limitations=_LIMITS,
    ),
    *(
        _entry(
            name=f"idf{parts}_digits",
            title=f"Integer discrete flow of {parts} parts on 8 x 8 digits",
            recipe=recipe,
            description=(
                f"{GENERAL[parts]} general couplings of {parts} parts, each moved by what the "
                "others say: as many networks as idf_digits has, in fewer couplings."
            ),
            limitations=_LIMITS.replace("the results list as baselines", "the study lists"),
            metrics=_CODED,
        )
        for parts, recipe in GENERAL_DIGITS.items()
    ),
    _entry(
        name="realnvp_digits",
        family="realnvp",
        title="RealNVP on 8 x 8 digits",
        recipe=REALNVP_DIGITS,
        description=(
            "8 affine couplings on dequantised grey levels: what the integer flows are compared "
            "with. Its log_prob is, in the mean over the noise, a lower bound of a probability."
        ),
        limitations=(
            "A small model of 1,000 rows, for the comparison; independent pixels, which the study "
            "lists, are better."
        ),
    ),
    _entry(
        name="idf4_mnist",
        title="Integer discrete flow of 4 parts on MNIST",
        recipe=IDF4_MNIST,
        description=(
            "8 general couplings of 4 parts of 14 x 14 pixels, a mixture of ten discretised "
            "logistics a pixel: exact probabilities, and lossless codes. No published weights."
        ),
        limitations="Draws are cut to 0..255, where pixels' mixtures reach further.",
        metrics=("bits_per_dim", "log_prob", "compressed_bits_per_dim", "mass_outside"),
    ),
)

_FLOOR = "zoo.evaluation.floors"

STUDIES = (
    Study(
        name="integer_flows_digits",
        title="General couplings of integers on 8 x 8 digits",
        claim="Couplings of four and eight parts give a higher likelihood than those of two, and "
        "than a RealNVP (arXiv:2011.15056, Sec. 4, by a plot).",
        protocol="Each arm by its recipe, until 20 epochs bring no better validation; the weights "
        "of the best one, on the 447 test rows. A RealNVP's figure is a bound, with one draw of "
        "noise a row.",
        arms=(
            Arm(name="idf", entry="idf_digits"),
            Arm(name="idf2", entry="idf2_digits"),
            Arm(name="idf4", entry="idf4_digits"),
            Arm(name="idf8", entry="idf8_digits"),
            Arm(name="realnvp", entry="realnvp_digits"),
            Arm(
                name="realnvp, plain start",
                entry="realnvp_digits",
                changes=("initialization_rows=0",),
            ),
        ),
        seeds=(0, 1, 2, 3, 4),
        metrics=("log_prob", "bits_per_dim"),
        floors=(
            Floor(name="independent pixels", where=f"{_FLOOR}:independent"),
            Floor(name="Chow-Liu tree", where=f"{_FLOOR}:chow_liu_tree"),
        ),
        expectations=tuple(
            Beats(arm=arm, other=other, metric="log_prob", seeds=4)
            for other in ("idf", "realnvp", "realnvp, plain start")
            for arm in ("idf4", "idf8")
        ),
    ),
)
