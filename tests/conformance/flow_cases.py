"""Rows of the laws: bijections of real vectors and images (`zoo/models/flows`)."""

from __future__ import annotations

from model_cases import DROPOUT, ModelCase
from tiny import TINY

FLOWS: dict[str, ModelCase] = {
    "nice-vector": ModelCase(
        family="nice",
        config={"event_shape": (5,), "num_couplings": 3, "hidden_units": (8,), "base": "normal"},
    ),
    "nice-2d": ModelCase(
        family="nice",
        config={
            "event_shape": (2,),
            "num_couplings": 4,
            "hidden_units": (8,),
            "log_scale_factor": 2.0,
        },
    ),
    "nice-image": ModelCase(
        family="nice",
        config=TINY["nice"],
        cannot={"replicas": DROPOUT},
    ),
    "nice-zca": ModelCase(
        family="nice",
        config={
            "event_shape": (2, 2, 3),
            "num_couplings": 2,
            "hidden_units": (8,),
            "preprocessing": {"num_levels": 256, "transform": "symmetric", "whitening": "zca"},
        },
    ),
    "realnvp-vector": ModelCase(
        family="realnvp",
        config={"event_shape": (5,), "num_couplings": 3, "hidden_units": (8,)},
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
    ),
    "realnvp-one-scale": ModelCase(
        family="realnvp",
        config={**TINY["realnvp"], "skip_connections": True, "normalization": "batch_norm"},
    ),
    "realnvp-flattened": ModelCase(
        family="realnvp",
        config={
            "event_shape": (2, 3, 1),
            "num_couplings": 2,
            "hidden_units": (8,),
            "vector": True,
        },
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
    "planar-vector": ModelCase(family="planar", config={"event_shape": (5,), "num_layers": 4}),
    "planar-2d": ModelCase(
        family="planar",
        config={**TINY["planar"], "base_scale": 2.0, "preprocessing": {"whitening": "standardise"}},
    ),
    "radial-vector": ModelCase(family="radial", config={"event_shape": (5,), "num_layers": 4}),
    "radial-2d": ModelCase(
        family="radial",
        config={**TINY["radial"], "base_scale": 2.0, "preprocessing": {"whitening": "standardise"}},
    ),
    "sylvester-2d": ModelCase(
        family="sylvester",
        config={
            **TINY["sylvester"],
            "base_scale": 2.0,
            "preprocessing": {"whitening": "standardise"},
        },
    ),
    "sylvester-image": ModelCase(
        family="sylvester",
        config={
            "event_shape": (2, 2, 1),
            "num_layers": 2,
            "frame": "householder",
            "num_vectors": 3,
        },
    ),
    "sylvester-triangular": ModelCase(
        family="sylvester",
        config={"event_shape": (3,), "num_layers": 2, "frame": "triangular"},
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
    "converted": ModelCase(
        family="converted",
        config=TINY["converted"],
        weight_scale=0.3,
        cannot={"context": "it has what the other library gave it: no context"},
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
