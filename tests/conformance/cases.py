"""One tiny row for every family, and several for those with several forms.

Laws hang on what a model can do: `having(Bijective)` names the rows of a law about bijections.
Weights are randomised, so that an identity initialisation hides nothing. What a row cannot do is
declared in `cannot` with a reason, and the law then asserts that declaration.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from any_order_cases import ANY_ORDER
from bijector_cases import BIJECTORS, NO_BIJECTOR_ROW, NUM_ROWS
from model_cases import ModelCase, dense, jacobians, randomise, shared_model
from scheduling import in_second_half
from tiny import TINY

from zoo import models
from zoo.core.capabilities import Bijective

__all__ = [
    "ALL_BIJECTORS",
    "BIJECTORS",
    "FIRST_ROWS",
    "MODELS",
    "NO_BIJECTOR_ROW",
    "NUM_ROWS",
    "ModelCase",
    "costly",
    "dense",
    "group",
    "having",
    "jacobians",
    "randomise",
    "shared_model",
]

UNCONDITIONAL = "the system has no conditional form"
NO_CONTEXT = {"context": UNCONDITIONAL}
STRAIGHT_THROUGH = {**NO_CONTEXT, "slope": "rounding has the gradient of the identity"}
NO_LABELS = {"context": "a VAE has no context"}
BY_COLUMNS = {"context": "its condition is columns, not a label"}
DROPOUT = "dropout draws other masks for a smaller batch"

# Fields that a family's tiny config leaves at their defaults.
OTHER_FORMS: dict[str, dict[str, Any]] = {
    "planar_vae": {"amortised": False},
    "radial_vae": {"amortised": False},
    "sylvester_vae": {"kind": "householder"},
    "iaf_vae": {"full_covariance": True, "gate_bias": 4.0},
}
NO_FACTORS = {"context_size": 0, "context_factors": (), "position_frames": 0}

MODELS: dict[str, ModelCase] = {
    "nice-vector": ModelCase(
        family="nice",
        config={"event_shape": (5,), "num_couplings": 3, "hidden_units": (8,), "base": "normal"},
        cannot=NO_CONTEXT,
    ),
    "nice-2d": ModelCase(
        family="nice",
        config={
            "event_shape": (2,),
            "num_couplings": 4,
            "hidden_units": (8,),
            "log_scale_factor": 2.0,
        },
        cannot=NO_CONTEXT,
    ),
    "nice-image": ModelCase(
        family="nice",
        config=TINY["nice"],
        cannot={**NO_CONTEXT, "replicas": DROPOUT},
    ),
    "nice-zca": ModelCase(
        family="nice",
        config={
            "event_shape": (2, 2, 3),
            "num_couplings": 2,
            "hidden_units": (8,),
            "preprocessing": {"num_levels": 256, "transform": "symmetric", "whitening": "zca"},
        },
        cannot=NO_CONTEXT,
    ),
    "realnvp-vector": ModelCase(
        family="realnvp",
        config={"event_shape": (5,), "num_couplings": 3, "hidden_units": (8,)},
        cannot=NO_CONTEXT,
    ),
    "realnvp-2d": ModelCase(
        family="realnvp",
        config={
            "event_shape": (2,),
            "num_couplings": 4,
            "hidden_units": (8,),
            "activation": "tanh",
            "normalization": "batch_norm",
            "preprocessing": {"whitening": "standardise"},
        },
        cannot=NO_CONTEXT,
    ),
    "realnvp-image": ModelCase(
        family="realnvp",
        config={
            "event_shape": (4, 4, 1),
            "num_scales": 2,
            "num_checkerboard": 1,
            "num_channelwise": 2,
            "num_final": 1,
            "filters": 3,
            "num_blocks": 1,
            "conditioner_stride": 2,
            "activation": "elu",
        },
        cannot=NO_CONTEXT,
    ),
    "realnvp-three-scales": ModelCase(
        family="realnvp",
        config={
            "event_shape": (8, 4, 1),
            "num_scales": 3,
            "num_checkerboard": 1,
            "num_channelwise": 1,
            "num_final": 1,
            "filters": 2,
            "num_blocks": 1,
            "weight_norm": False,
        },
        cannot=NO_CONTEXT,
    ),
    "realnvp-one-scale": ModelCase(
        family="realnvp",
        config={**TINY["realnvp"], "skip_connections": True, "normalization": "batch_norm"},
        cannot=NO_CONTEXT,
    ),
    "realnvp-flattened": ModelCase(
        family="realnvp",
        config={
            "event_shape": (2, 3, 1),
            "num_couplings": 2,
            "hidden_units": (8,),
            "vector": True,
        },
        cannot=NO_CONTEXT,
    ),
    "maf-vector": ModelCase(
        family="maf", config={"event_shape": (5,), "num_layers": 3, "hidden_units": (12,)}
    ),
    "maf-2d": ModelCase(
        family="maf",
        config={
            "event_shape": (2,),
            "num_layers": 2,
            "hidden_units": (8, 8),
            "activation": "tanh",
            "normalization": "activation_norm",
            "log_scale_limit": 3.0,
        },
    ),
    "maf-context": ModelCase(family="maf", config=TINY["maf"]),
    "maf-plain": ModelCase(family="maf", config={**TINY["maf"], "normalization": "none"}),
    "maf-image": ModelCase(
        family="maf", config={"event_shape": (2, 3, 1), "num_layers": 2, "hidden_units": (10,)}
    ),
    "made-1d": ModelCase(
        family="made",
        config={"event_shape": (1,), "hidden_units": (4,)},
        cannot={
            "gradient": "one coordinate depends on no input: the masks of its matrices are empty"
        },
    ),
    "made-2d": ModelCase(
        family="made",
        config={
            **TINY["made"],
            "event_shape": (2,),
            "activation": "tanh",
            "log_scale_limit": 2.0,
        },
    ),
    "iaf-vector": ModelCase(
        family="iaf", config={"event_shape": (4,), "num_layers": 2, "hidden_units": (12,)}
    ),
    "iaf-2d": ModelCase(
        family="iaf",
        config={
            "event_shape": (2,),
            "num_layers": 2,
            "hidden_units": (8, 8),
            "activation": "tanh",
            "log_scale_limit": 3.0,
            "preprocessing": {"whitening": "standardise"},
        },
    ),
    "iaf-context": ModelCase(family="iaf", config=TINY["iaf"]),
    "planar-vector": ModelCase(
        family="planar", config={"event_shape": (5,), "num_layers": 4}, cannot=NO_CONTEXT
    ),
    "planar-2d": ModelCase(
        family="planar",
        config={**TINY["planar"], "base_scale": 2.0, "preprocessing": {"whitening": "standardise"}},
        cannot=NO_CONTEXT,
    ),
    "radial-vector": ModelCase(
        family="radial", config={"event_shape": (5,), "num_layers": 4}, cannot=NO_CONTEXT
    ),
    "radial-2d": ModelCase(
        family="radial",
        config={**TINY["radial"], "base_scale": 2.0, "preprocessing": {"whitening": "standardise"}},
        cannot=NO_CONTEXT,
    ),
    "sylvester-2d": ModelCase(
        family="sylvester",
        config={
            **TINY["sylvester"],
            "base_scale": 2.0,
            "preprocessing": {"whitening": "standardise"},
        },
        cannot=NO_CONTEXT,
    ),
    "sylvester-image": ModelCase(
        family="sylvester",
        config={
            "event_shape": (2, 2, 1),
            "num_layers": 2,
            "frame": "householder",
            "num_vectors": 3,
        },
        cannot=NO_CONTEXT,
    ),
    "sylvester-triangular": ModelCase(
        family="sylvester",
        config={"event_shape": (3,), "num_layers": 2, "frame": "triangular"},
        cannot=NO_CONTEXT,
    ),
    "maf-mixture": ModelCase(
        family="maf",
        config={
            "event_shape": (3,),
            "num_layers": 1,
            "hidden_units": (10,),
            "num_components": 3,
            # Narrow components far apart have a distribution function that is flat in between.
            "log_scale_limit": 1.5,
            "activation": "tanh",
            "context_size": 2,
            "normalization": "activation_norm",
        },
    ),
    "maf-blocks": ModelCase(
        family="maf",
        config={
            "event_shape": (33,),
            "num_layers": 2,
            "hidden_units": (40, 36),
            "context_size": 2,
        },
    ),
    "made-mixture": ModelCase(
        family="made",
        config={
            "event_shape": (2,),
            "hidden_units": (8,),
            "num_components": 4,
            "log_scale_limit": 1.5,
            "activation": "tanh",
        },
    ),
    "nsf-2d": ModelCase(
        family="nsf",
        weight_scale=0.4,
        config={
            **TINY["nsf"],
            "event_shape": (2,),
            "num_units": 9,
            "tail_bound": 6.0,
            "activation": "tanh",
        },
    ),
    "nsf-image": ModelCase(
        family="nsf",
        weight_scale=0.4,
        config={
            "event_shape": (2, 3, 1),
            "num_layers": 1,
            "num_units": 8,
            "num_blocks": 2,
            "affine": True,
            "dropout": 0.3,
        },
        cannot={"replicas": DROPOUT},
    ),
    "nsf-coupling-vector": ModelCase(
        family="nsf_coupling",
        weight_scale=0.4,
        config={
            **TINY["nsf_coupling"],
            "tail_bound": 2.5,
            "activation": "tanh",
            "preprocessing": {"whitening": "standardise"},
        },
    ),
    "nsf-patches": ModelCase(
        family="nsf_patches",
        weight_scale=0.4,
        config={
            **TINY["nsf_patches"],
            "affine": True,
            "activation": "tanh",
            "preprocessing": {"whitening": "zca"},
            "latent_bound": 1.0,
            "step_bound": 1.0,
        },
    ),
    "nsf-patches-four-positions": ModelCase(
        family="nsf_patches",
        weight_scale=0.4,
        config={
            **TINY["nsf_patches"],
            "num_bins": 3,
            "tail_bound": 2.5,
            "square_positions": 4,
            "context_size": 2,
            "activation": "tanh",
            "dropout": 0.2,
        },
        cannot={"replicas": DROPOUT},
    ),
    "nsf-coupling-2d": ModelCase(
        family="nsf_coupling",
        weight_scale=0.4,
        config={
            "event_shape": (2,),
            "num_layers": 2,
            "num_units": 6,
            "num_blocks": 1,
            "affine": True,
            "activation": "tanh",
            "dropout": 0.2,
        },
        cannot={"replicas": DROPOUT},
    ),
    "made-pixel": ModelCase(
        family="made",
        config={"event_shape": (1, 1, 1), "hidden_units": (4,)},
        cannot={
            "gradient": "one coordinate depends on no input: the masks of its matrices are empty"
        },
    ),
}

MODELS |= {
    "vae-patches": ModelCase(
        family="vae",
        config={
            **TINY["vae"],
            "preprocessing": {"num_levels": 256, "transform": "unit"},
            "network": "patch_conv",
            "filters": 4,
            "num_blocks": 1,
            "free_bits": 0.25,
        },
        cannot=NO_LABELS,
    ),
    "vae-features": ModelCase(
        family="vae",
        config={"event_shape": (5,), "latent_size": 2, "hidden_units": (8,), "features": 6},
        cannot=NO_LABELS,
    ),
    **{
        family.replace("_", "-"): ModelCase(
            family=family, config={**TINY[family], **OTHER_FORMS.get(family, {})}, cannot=NO_LABELS
        )
        for family in models.FAMILIES
        if family.endswith("vae")
    },
    "wavenet-classes": ModelCase(
        family="wavenet",
        config={
            **TINY["wavenet"],
            "output": "mu_law",
            "filter_size": 3,
            "input_filter": 3,
            "linear_input": True,
            "num_durations": 2,
            "sample_rate": 16000,
        },
    ),
    "wavenet-mel": ModelCase(
        family="wavenet",
        config={
            **TINY["wavenet"],
            **NO_FACTORS,
            "mel_bins": 3,
            "output": "gaussian",
            "log_scale_floor": -7.0,
        },
        cannot={"context": "its condition is a spectrogram"},
    ),
    "wavenet": ModelCase(
        family="wavenet", config={**TINY["wavenet"], "output": "logistic_mixture"}
    ),
    "idf": ModelCase(family="idf", config={**TINY["idf"], "num_parts": 3}, cannot=STRAIGHT_THROUGH),
    "idf-image": ModelCase(
        family="idf",
        config={
            **TINY["idf"],
            "event_shape": (2, 3, 1),
            "coupling": "one_sided",
            "num_parts": 2,
            "activation": "tanh",
            "base": "mixture",
            "num_components": 3,
            "output_scale": 0.5,
        },
        cannot=STRAIGHT_THROUGH,
    ),
    "table-made": ModelCase(
        family="table_made",
        config={**TINY["table_made"], "activation": "elu"},
        cannot=BY_COLUMNS,
    ),
    "table-made-context": ModelCase(
        family="table_made",
        config={
            **TINY["table_made"],
            "event_shape": (2,),
            "columns": [
                {"name": "x", "kind": "real", "heavy": True},
                {"name": "y", "kind": "positive", "location": 0.5, "scale": 0.7},
            ],
            "dropout": 0.2,
            "context_columns": [
                {"name": "day", "kind": "integer", "scale": 3.0},
                {"name": "side", "kind": "boolean", "categories": ["false", "true"]},
            ],
        },
        weight_scale=0.5,
        cannot={**BY_COLUMNS, "replicas": DROPOUT},
    ),
    **ANY_ORDER,
    "parallel-wavenet": ModelCase(
        family="parallel_wavenet",
        config={
            **TINY["parallel_wavenet"],
            "event_shape": (12,),
            "filter_size": 3,
            "log_scale_limit": 6.0,
            "first_log_scale": -3.0,
            "num_durations": 2,
            "sample_rate": 16000,
        },
        weight_scale=0.3,
    ),
}


def having(*capabilities: type) -> list[str]:
    """The rows of the models that have them all."""
    return [
        name
        for name, case in MODELS.items()
        if all(issubclass(case.model_class, capability) for capability in capabilities)
    ]


def _first_rows() -> list[str]:
    """The first row of each family with vectors, and the first with images."""
    firsts: dict[tuple[str, int], str] = {}
    for name, case in MODELS.items():
        firsts.setdefault((case.family, len(case.event_shape)), name)
    return list(firsts.values())


FIRST_ROWS = _first_rows()


def costly(names: Iterable[str]) -> list[Any]:
    """Parameters of a law that takes seconds a row: rows beyond a family's first ones are slow."""
    return [
        name if name in FIRST_ROWS else pytest.param(name, marks=pytest.mark.slow) for name in names
    ]


def group(name: str, session: pytest.Session) -> tuple[str, ...]:
    """The rows that one process may answer for: those of this session on the row's worker."""
    rows = {
        getattr(item, "callspec", None) and item.callspec.params.get("name")
        for item in session.items
    }
    half = in_second_half(name)
    return tuple(n for n in MODELS if n in rows and in_second_half(n) == half)


ALL_BIJECTORS: dict[str, Any] = {
    **BIJECTORS,
    **{f"model-{name}": MODELS[name] for name in having(Bijective)},
}
