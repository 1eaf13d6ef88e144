"""Steps of a converted flow with their weights, and what the libraries' steps have in common.

A piece is a step of `zoo.models.flows.converted` and the arrays of its layer. Masks of other
libraries become the zoo's: hidden units are sorted by degree, the last coordinate that reaches
them, and the step says how many have each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from zoo.errors import ConversionError
from zoo.networks.made import MaskedDense
from zoo.ops.masks import made_mask

__all__ = ["Assumed", "Dense", "Piece", "joined", "masked", "perceptron", "permuted"]

Adapt = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Assumed:
    """What a state dict does not say: the family, and the bound of its splines."""

    family: str
    tail_bound: float | None


@dataclass(frozen=True)
class Piece:
    """step: a dict of `FlowStep`.   arrays: of its layer, kernel and bias in turn, or by name."""

    step: Mapping[str, Any]
    arrays: tuple[Any, ...] = ()

    def assign(self, layer: Any) -> None:
        """Sets the weights of the step's layer."""
        dense = [
            each
            for each in layer._flatten_layers()
            if isinstance(each, MaskedDense | keras.layers.Dense)
        ]
        targets = [w for each in dense for w in (each.kernel, each.bias)] or layer.weights
        for weight, array in zip(targets, self.arrays, strict=True):
            weight.assign(np.asarray(array, "float32"))


class Dense(NamedTuple):
    """weight: [out, in], as PyTorch has it.   bias: [out].   mask: of the weight; None for all."""

    weight: np.ndarray
    bias: np.ndarray
    mask: np.ndarray | None = None


def permuted(order: Any) -> Piece:
    """z = x[order], D integers."""
    return Piece({"kind": "permutation", "order": [int(i) for i in order]})


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces with permutations in a row made one, and without those that permute nothing."""
    result: list[Piece] = []
    for is_permutation, group in itertools.groupby(
        pieces, key=lambda piece: piece.step["kind"] == "permutation"
    ):
        if not is_permutation:
            result.extend(group)
            continue
        orders = [np.asarray(piece.step["order"]) for piece in group]
        order = orders[0]
        for each in orders[1:]:
            order = order[each]
        if (order != np.arange(len(order))).any():
            result.append(permuted(order))
    return result


def perceptron(step: Mapping[str, Any], layers: Sequence[Dense], adapt: Adapt) -> Piece:
    """A coupling's piece.   adapt: the parameters [moved, P, ...] to those of the zoo's map."""
    arrays = [array for layer in layers[:-1] for array in (layer.weight.T, layer.bias)]
    moved = step["num_moved"]
    last = layers[-1]
    weight = adapt(last.weight.reshape(moved, -1, last.weight.shape[1]))
    bias = adapt(last.bias.reshape(moved, -1))
    arrays += [weight.reshape(-1, weight.shape[-1]).T, bias.reshape(-1)]
    blocks = step.get("num_blocks", 0)
    units = [len(layer.bias) for layer in (layers[:1] if blocks else layers[:-1])]
    kept = {key: value for key, value in step.items() if key != "num_moved"}
    return Piece({"kind": "coupling", "hidden_units": units, **kept}, tuple(arrays))


def masked(
    step: Mapping[str, Any], layers: Sequence[Dense], order: np.ndarray, adapt: Adapt, where: str
) -> list[Piece]:
    """An autoregressive step's pieces, which begin and end with a permutation.

    order: the coordinates, from the one that depends on none to the last.
    adapt: the parameters [D, P, ...] to those of the zoo's map.
    Raises ConversionError where a coordinate's parameters depend on itself or a later one.
    """
    size, blocks = len(order), step.get("num_blocks", 0)
    if size < 2:
        raise ConversionError(f"{where} has one coordinate: expected 2 or more.")
    degrees = _degrees(layers[:-1], order, where)
    if blocks and any((each != degrees[0]).any() for each in degrees):
        raise ConversionError(f"{where} has units of different degrees in one residual network.")
    all_degrees = [np.arange(1, size + 1), *map(np.sort, degrees)]
    arrays: list[np.ndarray] = []
    before = order  # the source's unit that comes first, second, ...
    for i, layer in enumerate(layers[:-1]):
        own = np.argsort(degrees[i], kind="stable")
        kernel = _effective(layer)[own][:, before].T
        _check(kernel, made_mask(all_degrees[i], all_degrees[i + 1], strict=False), where)
        arrays += [kernel, layer.bias[own]]
        before = own
    last = layers[-1]
    weight = _effective(last).reshape(size, -1, last.weight.shape[1])[order]
    weight, bias = adapt(weight), adapt(last.bias.reshape(size, -1)[order])
    kernel = weight.reshape(bias.size, -1)[:, before].T
    outputs = np.repeat(all_degrees[0], bias.size // size)
    _check(kernel, made_mask(all_degrees[-1], outputs, strict=True), where)
    arrays += [kernel, bias.reshape(-1)]
    counted = degrees[:1] if blocks else degrees
    counts = [np.bincount(each, minlength=size).tolist() for each in counted]
    sizes = {"hidden_units": [sum(each) for each in counts], "unit_counts": counts}
    inner = Piece({"kind": "autoregressive", **sizes, **step}, tuple(arrays))
    return [permuted(order), inner, permuted(np.argsort(order))]


def _effective(layer: Dense) -> np.ndarray:
    return layer.weight if layer.mask is None else layer.weight * layer.mask


def _degrees(hidden: Sequence[Dense], order: np.ndarray, where: str) -> list[np.ndarray]:
    """Of each hidden layer's units the last coordinate, from 1, that reaches them; 0 for none."""
    before, result = np.argsort(order) + 1, []
    for layer in hidden:
        mask = np.ones_like(layer.weight) if layer.mask is None else layer.mask
        before = np.where(mask != 0, before[None], 0).max(1)
        result.append(before)
    if max(each.max() for each in result) == len(order):
        raise ConversionError(
            f"{where} has hidden units that see all coordinates: no MADE has such."
        )
    return result


def _check(kernel: np.ndarray, mask: np.ndarray, where: str) -> None:
    if kernel[~mask].any():
        raise ConversionError(
            f"{where} is not autoregressive in the order that it states: a coordinate's parameters "
            "depend on itself or on a later one."
        )
