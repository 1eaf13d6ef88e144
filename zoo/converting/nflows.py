"""State dicts of nflows (0.14): `Flow(CompositeTransform([...]), StandardNormal([D]))`.

    step                                            becomes
    Permutation, Random-, ReversePermutation        permutation
    LULinear                                        linear
    BatchNorm, ActNorm                              norm (batch norm by its running moments)
    MaskedAffineAutoregressiveTransform             autoregressive, softplus
    MaskedPiecewiseRationalQuadratic…               autoregressive, spline
    AffineCouplingTransform, Additive…              coupling, sigmoid or additive
    PiecewiseRationalQuadraticCouplingTransform     coupling, spline

with MADE's residual and feedforward networks, and `ResidualNet` in couplings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from zoo.converting.pieces import Assumed, Dense, Piece, masked, perceptron, permuted
from zoo.errors import ConversionError
from zoo.ops.splines import MIN_SLOPE

__all__ = ["pieces"]

State = Mapping[str, np.ndarray]
LINEAR_EPSILON = 1e-3  # of LULinear's diagonal
NORM_EPSILON = 1e-5  # of BatchNorm
INNER_NORM_EPSILON = 1e-3  # of the batch norm inside a network


def pieces(state: State, assumed: Assumed) -> tuple[int, list[Piece]]:
    """(D, the steps from data to latents). Raises ConversionError for what is not in the table."""
    ends = [key.index("_transform.") for key in state if re.match(r"(.*\.)?_transform\.", key)]
    if not ends:
        raise ConversionError(
            "This is no state dict of an nflows Flow: no name begins with _transform; got "
            f"{', '.join(list(state)[:3])}, … Give that of the whole flow."
        )
    prefix = next(key[:end] for key, end in zip(state, ends, strict=False))
    own = {key.removeprefix(prefix): value for key, value in state.items()}
    for key in own:
        if not key.startswith("_transform.") and not key.endswith("_distribution._log_z"):
            raise ConversionError(
                f"{key} belongs to a base or an embedding that is not converted: expected a "
                "StandardNormal without context."
            )
    steps = _composed(_within(own, "_transform."), "_transform")
    size = _size(steps)
    found: list[Piece] = []
    for where, tensors in steps:
        found += _step(where, tensors, size, assumed)
    return size, found


def _within(state: State, prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _composed(state: State, where: str) -> list[tuple[str, State]]:
    """(name, tensors) of every step of a composite transform, and of those within it."""
    if not all(key.startswith("_transforms.") for key in state):
        return [(where, state)]
    numbers = sorted({int(key.split(".")[1]) for key in state})
    if numbers != list(range(len(numbers))):
        missing = min(set(range(numbers[-1])) - set(numbers))
        raise ConversionError(
            f"{where}.{missing} has no tensors: nothing says what that step does. Leave out steps "
            "without weights, or bake them into the rows."
        )
    result = []
    for number in numbers:
        within = _within(state, f"_transforms.{number}.")
        result += _composed(within, f"{where}.{number}")
    return result


def _size(steps: list[tuple[str, State]]) -> int:
    """The number of coordinates, from any step that says it."""
    for _, tensors in steps:
        for key in ("_permutation", "unconstrained_upper_diag", "running_mean", "log_scale"):
            if key in tensors:
                return len(tensors[key])
        if "identity_features" in tensors:
            return len(tensors["identity_features"]) + len(tensors["transform_features"])
        if "autoregressive_net.initial_layer.weight" in tensors:
            return int(tensors["autoregressive_net.initial_layer.weight"].shape[1])
    raise ConversionError(f"No step of {', '.join(where for where, _ in steps)} says its size.")


def _step(where: str, tensors: State, size: int, assumed: Assumed) -> list[Piece]:
    known: dict[frozenset[str], Callable[[State], Piece]] = {
        frozenset({"_permutation"}): lambda t: permuted(t["_permutation"]),
        frozenset({"bias", "lower_entries", "upper_entries", "unconstrained_upper_diag"}): _linear,
        frozenset({"unconstrained_weight", "bias", "running_mean", "running_var"}): _batch_norm,
        frozenset({"log_scale", "shift", "initialized"}): _activation_norm,
    }
    if frozenset(tensors) in known:
        return [known[frozenset(tensors)](tensors)]
    if any("context_layer" in key for key in tensors):
        raise ConversionError(
            f"{where} takes a context vector: conditional flows are not converted."
        )
    if all(key.startswith("autoregressive_net.") for key in tensors):
        return _autoregressive(where, _within(tensors, "autoregressive_net."), size, assumed)
    if "identity_features" in tensors:
        return _coupling(where, tensors, assumed)
    raise ConversionError(
        f"{where} is none of the steps that are converted (zoo.converting.nflows lists them): its "
        f"tensors are {', '.join(list(tensors)[:4])}."
    )


# --- linear steps


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, 0.0)


def _linear(tensors: State) -> Piece:
    diagonal = tensors["unconstrained_upper_diag"]
    size = len(diagonal)
    factors = np.diag(np.log(_softplus(diagonal) + LINEAR_EPSILON))
    factors[np.tril_indices(size, -1)] = tensors["lower_entries"]
    factors[np.triu_indices(size, 1)] = tensors["upper_entries"]
    return Piece({"kind": "linear"}, (factors, tensors["bias"]))


def _batch_norm(tensors: State) -> Piece:
    """(x - m) w / sqrt(v + eps) + b."""
    weight = _softplus(tensors["unconstrained_weight"]) + NORM_EPSILON
    scale = np.sqrt(tensors["running_var"] + NORM_EPSILON) / weight
    shift = tensors["running_mean"] - tensors["bias"] * scale
    return Piece({"kind": "norm"}, (np.log(scale), shift))


def _activation_norm(tensors: State) -> Piece:
    """x exp(s) + t."""
    if not tensors["initialized"]:
        raise ConversionError("An ActNorm has seen no rows: its first batch would set its weights.")
    scale = np.exp(-tensors["log_scale"])
    return Piece({"kind": "norm"}, (-tensors["log_scale"], -tensors["shift"] * scale))


# --- conditioned steps


def _autoregressive(where: str, net: State, size: int, assumed: Assumed) -> list[Piece]:
    num_blocks = _num_blocks(net)
    residual = any(key.startswith("blocks.0.linear_layers.") for key in net)
    layers = [_dense(net, "initial_layer")]
    for i in range(num_blocks):
        block = _within(net, f"blocks.{i}.")
        if residual:
            _refuse_norms(block, where)
            layers += [_dense(block, f"linear_layers.{j}") for j in range(2)]
        else:
            layers.append(_normed(_dense(block, "linear"), block))
    layers.append(_dense(net, "final_layer"))
    count = len(layers[-1].bias) // size
    step, adapt = _map(where, count, assumed, family="maf", scale="softplus", shift_first=False)
    step |= {"num_blocks": num_blocks} if residual else {}
    return masked(step, layers, np.arange(size), adapt, where)


def _coupling(where: str, tensors: State, assumed: Assumed) -> list[Piece]:
    if any(key.startswith("unconditional_transform.") for key in tensors):
        raise ConversionError(f"{where} also transforms what conditions: that is not converted.")
    net = _within(tensors, "transform_net.")
    num_blocks = _num_blocks(net)
    if "initial_layer.weight" not in net or not num_blocks:
        raise ConversionError(
            f"{where} has another network than nflows.nn.nets.ResidualNet with 1 block or more; "
            f"its tensors are {', '.join(list(net)[:4])}."
        )
    layers = [_dense(net, "initial_layer")]
    for i in range(num_blocks):
        block = _within(net, f"blocks.{i}.")
        _refuse_norms(block, where)
        layers += [_dense(block, f"linear_layers.{j}") for j in range(2)]
    layers.append(_dense(net, "final_layer"))
    kept, moved = tensors["identity_features"], tensors["transform_features"]
    units, count = len(layers[0].bias), len(layers[-1].bias) // len(moved)
    step, adapt = _map(
        where, count, assumed, family="coupling", scale="sigmoid", shrink=1.0 / np.sqrt(units)
    )
    if step["scalar_map"] == "sigmoid":  # all shifts before all scales
        halves = layers[-1]
        index = np.arange(len(halves.bias)).reshape(2, -1).T.reshape(-1)
        layers[-1] = Dense(halves.weight[index], halves.bias[index])
    step |= {"num_kept": len(kept), "num_moved": len(moved), "num_blocks": num_blocks}
    order = np.concatenate([kept, moved])
    return [permuted(order), perceptron(step, layers, adapt), permuted(np.argsort(order))]


def _map(
    where: str,
    count: int,
    assumed: Assumed,
    *,
    family: str,
    scale: str,
    shift_first: bool = True,
    shrink: float = 1.0,
) -> tuple[dict[str, Any], Callable[[np.ndarray], np.ndarray]]:
    """(fields of the step, parameters [D, count, ...] -> those of the zoo's map)."""
    if assumed.family == "nsf":
        return _spline(where, count, assumed, shrink)
    found = "maf" if family == "maf" else "coupling"
    if assumed.family != family or count > 2 or (count == 1 and family == "maf"):
        raise ConversionError(
            f"{where} is of the family {found if count <= 2 else 'nsf'}, with {count} parameters a "
            f"coordinate: expected that of {assumed.family} (--family)."
        )
    if count == 1:
        return {"scalar_map": "additive"}, lambda parameters: parameters
    return {"scalar_map": scale}, lambda p: p if shift_first else p[:, ::-1]


def _spline(
    where: str, count: int, assumed: Assumed, shrink: float
) -> tuple[dict[str, Any], Callable[[np.ndarray], np.ndarray]]:
    bins = (count + 1) // 3
    if count % 3 != 2 or bins < 2:
        raise ConversionError(
            f"{where} has {count} parameters a coordinate: expected 3 K - 1 of a "
            'rational-quadratic spline of K bins with tails="linear" (without tails: 3 K + 1).'
        )
    if assumed.tail_bound is None:
        raise ConversionError(
            "A state dict does not say where the tails of nflows' splines begin: give tail_bound= "
            "(--tail-bound)."
        )
    offset = np.log(np.expm1(1.0 - MIN_SLOPE))

    def adapt(parameters: np.ndarray) -> np.ndarray:
        result = parameters.astype("float64")
        result[:, : 2 * bins] *= shrink
        if result.ndim == 2:  # the biases: slopes are softplus(raw) there, softplus(raw + c) here
            result[:, 2 * bins :] -= offset
        return result

    fields = {"scalar_map": "spline", "num_bins": bins, "tail_bound": float(assumed.tail_bound)}
    return fields, adapt


# --- networks


def _num_blocks(net: State) -> int:
    return len({key.split(".")[1] for key in net if key.startswith("blocks.")})


def _dense(net: State, name: str) -> Dense:
    try:
        return Dense(net[f"{name}.weight"], net[f"{name}.bias"], net.get(f"{name}.mask"))
    except KeyError as error:
        raise ConversionError(
            f"The network has no {error}: its layers are not known here."
        ) from error


def _normed(dense: Dense, block: State) -> Dense:
    """The layer behind a block's batch norm, which becomes part of its weights."""
    if "batch_norm.weight" not in block:
        return dense
    norm = _within(block, "batch_norm.")
    scale = norm["weight"] / np.sqrt(norm["running_var"] + INNER_NORM_EPSILON)
    shift = norm["bias"] - norm["running_mean"] * scale
    weight = dense.weight if dense.mask is None else dense.weight * dense.mask
    return Dense(weight * scale, dense.bias + weight @ shift, dense.mask)


def _refuse_norms(block: State, where: str) -> None:
    if any("batch_norm" in key for key in block):
        raise ConversionError(
            f"{where} has batch norm inside residual blocks, which no network here has: train it "
            "with use_batch_norm=False."
        )
