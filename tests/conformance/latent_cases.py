"""Rows of the laws: latent-variable models (`zoo/models/latent`)."""

from __future__ import annotations

from typing import Any

from model_cases import ModelCase
from tiny import TINY

from zoo import models

# Fields that a family's tiny config leaves at their defaults.
OTHER_FORMS: dict[str, dict[str, Any]] = {
    "planar_vae": {"amortised": False},
    "radial_vae": {"amortised": False},
    "sylvester_vae": {"kind": "householder"},
    "iaf_vae": {"full_covariance": True, "gate_bias": 4.0},
}

LATENT: dict[str, ModelCase] = {
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
    ),
    "vae-features": ModelCase(
        family="vae",
        config={"event_shape": (5,), "latent_size": 2, "hidden_units": (8,), "features": 6},
    ),
    **{
        family.replace("_", "-"): ModelCase(
            family=family, config={**TINY[family], **OTHER_FORMS.get(family, {})}
        )
        for family in models.FAMILIES
        if family.endswith("vae")
    },
}
