"""State dicts of zuko (1.6): `Flow([...], base)`, of the flows MAF, NSF, NICE and RealNVP.

    step                                                   becomes
    MaskedAutoregressiveTransform, affine                  autoregressive, soft_clip
    MaskedAutoregressiveTransform, MonotonicRQSTransform   autoregressive, soft_spline
    GeneralCouplingTransform                               coupling, soft_clip or soft_spline

each between two permutations, by the step's `order` or `mask`; with `passes=2` too, which is
autoregressive with fewer dependences. A base of other moments becomes a last norm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo.converting.pieces import Assumed, Dense, Piece, masked, perceptron, permuted
from zoo.errors import ConversionError

__all__ = ["TAIL_BOUND", "pieces"]

State = Mapping[str, np.ndarray]
TAIL_BOUND = 5.0  # MonotonicRQSTransform's default
_STEP = re.compile(r"(?P<prefix>.*?)transform\.(transforms\.(?P<number>\d+)\.)?(?P<rest>.+)")


def pieces(state: State, assumed: Assumed) -> tuple[int, list[Piece]]:
    """(D, the steps from data to latents). Raises ConversionError for what is not in the table."""
    steps: dict[int, dict[str, np.ndarray]] = {}
    base: dict[str, np.ndarray] = {}
    for key, value in state.items():
        found = _STEP.fullmatch(key)
        if found:
            steps.setdefault(int(found["number"] or 0), {})[found["rest"]] = value
        elif re.search(r"(^|\.)base\.(loc|scale)$", key):
            base[key.rpartition(".")[2]] = value
        else:
            raise ConversionError(
                f"{key} is of no step and of no normal base: expected the state dict of a zuko "
                "Flow over DiagNormal."
            )
    if sorted(steps) != list(range(len(steps))) or not steps:
        raise ConversionError(
            f"Steps {sorted(steps)} have tensors: expected all of 0, 1, …, since nothing says what "
            "a step without any does."
        )
    size = _size(steps[0])
    result: list[Piece] = []
    for number, tensors in sorted(steps.items()):
        result += _step(f"transform.{number}", tensors, size, assumed)
    loc, scale = base.get("loc", np.zeros(size)), base.get("scale", np.ones(size))
    if loc.any() or (scale != 1.0).any():
        result.append(Piece({"kind": "norm"}, (np.log(scale), loc)))
    return size, result


def _size(tensors: State) -> int:
    for key in ("order", "mask"):
        if key in tensors:
            return len(tensors[key])
    raise ConversionError(
        "transform.0 has neither an order nor a mask: its tensors are "
        f"{', '.join(list(tensors)[:4])}. Steps by an adjacency matrix are not converted."
    )


def _step(where: str, tensors: State, size: int, assumed: Assumed) -> list[Piece]:
    layers = _layers(where, tensors)
    coupling = "mask" in tensors
    kept = np.flatnonzero(tensors["mask"]) if coupling else np.arange(size)
    moved = np.flatnonzero(~tensors["mask"].astype(bool)) if coupling else kept
    if layers[0].weight.shape[1] != len(kept):
        raise ConversionError(
            f"{where} takes a context vector, of {layers[0].weight.shape[1] - len(kept)} numbers: "
            "conditional flows are not converted."
        )
    step = _map(where, len(layers[-1].bias) // len(moved), assumed, coupling=coupling)
    if coupling:
        order = np.concatenate([kept, moved])
        step |= {"num_kept": len(kept), "num_moved": len(moved)}
        piece = perceptron(step, layers, lambda parameters: parameters)
        return [permuted(order), piece, permuted(np.argsort(order))]
    if "order" not in tensors:
        raise ConversionError(f"{where} has no order: steps by an adjacency are not converted.")
    order = np.argsort(tensors["order"], kind="stable")
    return masked(step, layers, order, lambda parameters: parameters, where)


def _layers(where: str, tensors: State) -> list[Dense]:
    """The linear layers of the step's perceptron, at 0, 2, 4, … with activations between them."""
    own = {key.removeprefix("hyper."): v for key, v in tensors.items() if key.startswith("hyper.")}
    numbers = sorted({int(key.split(".")[0]) for key in own})
    if any(key.count(".") > 1 for key in own) or numbers != list(range(0, 2 * len(numbers), 2)):
        raise ConversionError(
            f"{where} has another network than layers with an activation between each two "
            f"(residual blocks, or normalize=True): its tensors are {', '.join(list(own)[:4])}."
        )
    if len(numbers) < 2:
        raise ConversionError(f"{where} has no hidden layer: expected one or more.")
    return [Dense(own[f"{n}.weight"], own[f"{n}.bias"], own.get(f"{n}.mask")) for n in numbers]


def _map(where: str, count: int, assumed: Assumed, *, coupling: bool) -> dict[str, Any]:
    """The step's scalar map, by the number of parameters a coordinate."""
    found = "nsf" if count > 2 else "coupling" if coupling else "maf"
    if found != assumed.family or (count > 2 and count % 3 != 2):
        raise ConversionError(
            f"{where} is of the family {found}, with {count} parameters a coordinate: expected "
            f"that of {assumed.family} (--family); splines have 3 K - 1."
        )
    if count > 2:
        bound = TAIL_BOUND if assumed.tail_bound is None else float(assumed.tail_bound)
        return {"scalar_map": "soft_spline", "num_bins": (count + 1) // 3, "tail_bound": bound}
    return {"scalar_map": "soft_clip" if count == 2 else "additive"}
