"""A tiny recipe of every family, on the rows of `tiny_runs`, for tests of the portable step."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tiny_runs

from zoo.core.recipe import Binarise, NegativeELBO, Recipe, ReverseKL, Target, variant

RUNNER = Path(__file__).resolve().parent.parent / "tools" / "run_step.py"
REFERENCE_STEPS = 20

_REALNVP, _MAF = tiny_runs.RECIPES["realnvp"], tiny_runs.RECIPES["maf"]

# Families whose step is that of another one here, with other layers in it.
SAME_STEP = {
    *("vae", "planar_vae", "radial_vae", "sylvester_vae", "coupling_vae"),
    *("radial", "sylvester", "iaf", "nsf_coupling", "nsf_patches"),
}

TINY: dict[str, Recipe] = {
    family: variant(recipe, validate_every=5)
    for family, recipe in {
        "nice": tiny_runs.RECIPES["nice"],
        "realnvp": dataclasses.replace(_REALNVP, config={**_REALNVP.config, "num_final": 1}),
        "maf": _MAF,
        "made": variant(
            _MAF,
            family="made",
            config={"event_shape": [3], "context_size": 2, "hidden_units": [8]},
            ema_decay=0.0,
        ),
        "nsf": dataclasses.replace(
            _MAF,
            family="nsf",
            config={
                "event_shape": [3],
                "context_size": 2,
                "num_layers": 2,
                "num_units": 8,
                "num_blocks": 1,
                "num_bins": 4,
            },
        ),
        "planar": variant(
            _MAF,
            family="planar",
            config={"event_shape": [2], "num_layers": 3},
            data=Target(energy="u2", draws=tiny_runs.dataset("points")),
            objective=ReverseKL(annealing_steps=10),
        ),
        "wavenet": variant(
            _MAF,
            family="wavenet",
            config={
                "event_shape": [48],
                "output": "gaussian",
                "num_stacks": 1,
                "layers_per_stack": 3,
                "residual_channels": 4,
                "skip_channels": 4,
                "context_size": 6,
                "context_factors": [3, 2],
                "context_channels": 4,
                "frame_size": 8,
                "position_frames": 4,
            },
            data=tiny_runs.dataset("clips", context="label"),
        ),
        "iaf_vae": variant(
            tiny_runs.RECIPES["nice"],
            family="iaf_vae",
            config={
                "event_shape": [4, 4, 1],
                "preprocessing": {"num_levels": 2, "transform": "unit"},
                "latent_size": 3,
                "hidden_units": [8],
                "features": 8,
                "num_flows": 2,
                "made_units": [8],
                "context_features": 4,
            },
            objective=NegativeELBO(annealing_steps=10),
            initialization_rows=0,
            augment=(Binarise(),),
        ),
    }.items()
}
