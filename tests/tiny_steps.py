"""A tiny recipe of every family, on the rows of `tiny_runs`, for tests of the portable step."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tiny_runs
from tiny import plain

from zoo.core.recipe import Binarise, NegativeELBO, Recipe, ReverseKL, Target, variant

RUNNER = Path(__file__).resolve().parent.parent / "tools" / "run_step.py"
REFERENCE_STEPS = 20

_REALNVP, _MAF = tiny_runs.RECIPES["realnvp"], tiny_runs.RECIPES["maf"]

# Families whose step is that of another one here, with other layers in it.
SAME_STEP = {
    *("vae", "planar_vae", "radial_vae", "sylvester_vae", "coupling_vae"),
    *("radial", "sylvester", "iaf", "nsf_coupling", "nsf_patches", "idf"),
    *("table_made", "deformer", "oamade", "discrete_flow", "converted"),
}
# Families that are fitted in stages: there is no step (tests/training/test_greedy.py).
NO_STEP = {"ddf", "dtf"}

TINY: dict[str, Recipe] = {
    family: variant(
        recipe,
        validate_every=5,
    )
    for family, recipe in {
        "nice": tiny_runs.RECIPES["nice"],
        "realnvp": _REALNVP,
        "maf": _MAF,
        "made": variant(
            _MAF,
            family="made",
            config=plain("made"),
            ema_decay=0.0,
        ),
        "nsf": dataclasses.replace(
            _MAF,
            family="nsf",
            config=plain("nsf", num_layers=1),
        ),
        "planar": variant(
            _MAF,
            family="planar",
            config=plain("planar"),
            data=Target(energy="u2", draws=tiny_runs.dataset("points")),
            objective=ReverseKL(annealing_steps=10),
        ),
        "wavenet": variant(
            _MAF,
            family="wavenet",
            config=plain("wavenet", event_shape=[48], output="gaussian", layers_per_stack=3),
            data=tiny_runs.dataset("clips", context="label"),
        ),
        "iaf_vae": variant(
            tiny_runs.RECIPES["nice"],
            family="iaf_vae",
            config=plain("iaf_vae", num_flows=1),
            objective=NegativeELBO(annealing_steps=10),
            initialization_rows=0,
            augment=(Binarise(),),
        ),
    }.items()
}
