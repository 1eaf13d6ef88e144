"""Steps that families share: permutations, norms, linear maps, couplings, autoregression."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .arrays import Arrays, Step

__all__ = ["autoregressive", "coupling", "flat", "interleave", "linear", "norm", "reverse"]


def flat(flow: Arrays) -> list[Step]:
    """Events of any shape as vectors."""
    if len(flow.event_shape) == 1:
        return []
    return [
        Step(
            lambda x: (x.reshape(len(x), -1), flow.zeros(x)),
            lambda z: z.reshape(len(z), *flow.event_shape),
        )
    ]


def reverse(flow: Arrays) -> Step:
    """The coordinates backwards."""
    return Step(lambda x: (flow.xp.flip(x, (-1,)), flow.zeros(x)), lambda z: flow.xp.flip(z, (-1,)))


def interleave(flow: Arrays) -> Step:
    """The even coordinates before the odd ones."""
    order = np.concatenate([np.arange(0, flow.size, 2), np.arange(1, flow.size, 2)])
    back = np.argsort(order)
    return Step(lambda x: (x[:, order], flow.zeros(x)), lambda z: z[:, back])


def norm(flow: Arrays, name: str, size: int, factor: float = 1.0, kind: str = "") -> Step:
    """(x - shift) exp(-log_scale), or a batch norm by its running moments; of `size` numbers."""
    xp, w = flow.xp, flow.weight
    if kind == "batch_norm":
        log_scale = w(f"{name}/log_gamma") - 0.5 * xp.log(w(f"{name}/variance") + 1e-5)
        before, behind = w(f"{name}/mean"), w(f"{name}/beta")
    else:
        log_scale = -factor * w(f"{name}/raw_log_scale")
        before, behind = (w(f"{name}/shift") if factor == 1.0 and kind != "scale" else 0.0), 0.0
    total = xp.sum(log_scale) * (size // math.prod(log_scale.shape))
    return Step(
        lambda x: ((x - before) * xp.exp(log_scale) + behind, flow.zeros(x) + total),
        lambda z: (z - behind) * xp.exp(-log_scale) + before,
    )


def linear(flow: Arrays, name: str) -> Step:
    """z = L U P x + b, with L, U and the logarithms of U's diagonal in one matrix."""
    xp, factors, bias = flow.xp, flow.weight(f"{name}/factors"), flow.weight(f"{name}/bias")
    order = np.asarray(flow.weight(f"{name}/permutation").tolist())
    eye = flow.like(np.eye(flow.size), factors)
    log_diagonal = xp.sum(factors * eye, -1)
    matrix = (xp.tril(factors, -1) + eye) @ (xp.triu(factors, 1) + eye * xp.exp(log_diagonal))
    back = np.argsort(order)
    return Step(
        lambda x: (x[:, order] @ matrix.T + bias, flow.zeros(x) + xp.sum(log_diagonal)),
        lambda z: xp.linalg.solve(matrix, (z - bias).T).T[:, back],
    )


def coupling(
    flow: Arrays,
    first: int,
    on_first: bool,  # noqa: FBT001
    net: Any,
    inverse_map: Any,
    forward_map: Any,
) -> Step:
    """The last axis cut at `first`; one part conditions the map of the other."""

    def split(x: Any) -> tuple[Any, Any]:
        parts = x[..., :first], x[..., first:]
        return parts if on_first else parts[::-1]

    def joined(kept: Any, moved: Any) -> Any:
        return flow.xp.concatenate((kept, moved) if on_first else (moved, kept), -1)

    def inverse(x: Any) -> tuple[Any, Any]:
        kept, moved = split(x)
        z, log_det = inverse_map(moved, net(kept))
        return joined(kept, z), flow.xp.sum(log_det.reshape(len(x), -1), -1)

    def forward(z: Any) -> Any:
        kept, moved = split(z)
        return joined(kept, forward_map(moved, net(kept)))

    return Step(inverse, forward)


def autoregressive(flow: Arrays, net: Any, inverse_map: Any, forward_map: Any) -> Step:
    """A map of each coordinate by parameters that the ones before it give."""

    def inverse(x: Any) -> tuple[Any, Any]:
        z, log_det = inverse_map(x, net(x))
        return z, flow.xp.sum(log_det, -1)

    def forward(z: Any) -> Any:
        x = 0.0 * z
        for _ in range(flow.size):  # after k passes k coordinates are right
            x = forward_map(z, net(x))
        return x

    return Step(inverse, forward)
