"""Between rows as stored and the space of a model, and the noise of grey levels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .arrays import Arrays, Step
from .steps import norm

__all__ = ["noise", "preprocessing"]


def preprocessing(flow: Arrays) -> list[Step]:
    """Pixel scaling and whitening."""
    settings, xp, axes = flow.config["preprocessing"], flow.xp, len(flow.event_shape)
    levels, alpha = settings["num_levels"], settings["alpha"]
    steps = []
    if settings["transform"] == "logit":
        steps.append(_logit(flow, levels, alpha))
    elif settings["transform"] in ("unit", "symmetric"):
        width, shift = {"unit": (1.0, 0.0), "symmetric": (2.0, 1.0)}[settings["transform"]]
        constant = flow.size * math.log(width / levels)
        steps.append(
            Step(
                lambda x: (x * (width / levels) - shift, flow.zeros(x) + constant),
                lambda z: (z + shift) * (levels / width),
            )
        )
    kind = settings["whitening"]
    if kind == "standardise":
        steps.append(norm(flow, "standardisation", flow.size))
    elif kind in ("zca", "zca_cor"):

        def rotated(x: Any, name: str) -> Any:
            return (x.reshape(len(x), -1) @ flow.weight(f"{kind}/{name}").T).reshape(x.shape)

        mean = flow.weight(f"{kind}/mean").reshape(flow.event_shape)
        steps.append(
            Step(
                lambda x: (
                    rotated(x - mean, "matrix"),
                    flow.zeros(x) + flow.weight(f"{kind}/log_det"),
                ),
                lambda z: rotated(z, "inverse_matrix") + mean,
            )
        )
    elif kind == "separable":

        def multiplied(x: Any, name: str) -> Any:
            for axis in range(axes):
                matrix = flow.weight(f"separable/{name}_{axis}")
                x = xp.moveaxis(xp.tensordot(matrix, x, ([1], [1 + axis])), 0, 1 + axis)
            return x

        steps.append(
            Step(
                lambda x: (
                    multiplied(x - flow.weight("separable/mean"), "matrix"),
                    flow.zeros(x) + flow.weight("separable/log_det"),
                ),
                lambda z: multiplied(z, "inverse_matrix") + flow.weight("separable/mean"),
            )
        )
    return steps


def _logit(flow: Arrays, levels: int, alpha: float) -> Step:
    xp, share = flow.xp, (1.0 - 2.0 * alpha) / levels

    def inverse(x: Any) -> tuple[Any, Any]:
        p = alpha + share * x
        z = xp.log(p) - xp.log1p(-p)
        log_slope = flow.softplus(z) + flow.softplus(-z) + math.log(share)
        return z, xp.sum(log_slope.reshape(len(x), -1), -1)

    return Step(inverse, lambda z: (xp.exp(-flow.softplus(-z)) - alpha) / share)


def noise(flow: Arrays, x: Any) -> Any:
    """u [batch, *event] in (0, 1): a hash of the row, of whole numbers x, and of the place."""
    mask, places = 0xFFFFFFFF, (np.arange(1, flow.size + 1) * 0x9E3779B9) & 0xFFFFFFFF
    if flow.is_torch:
        places = flow.xp.as_tensor(places, device=x.device)

    def mixed(h: Any) -> Any:
        h = ((h ^ (h >> 16)) * 0x7FEB352D) & mask
        h = ((h ^ (h >> 15)) * 0x846CA68B) & mask
        return h ^ (h >> 16)

    rows = x.reshape(len(x), -1)
    key = mixed(flow.xp.sum(mixed((rows + places) & mask), -1) & mask)
    bits = mixed((key[:, None] + places) & mask) >> 9
    return ((bits + 0.5) * 2.0**-23).reshape(x.shape)
