"""Weights of other libraries as models of the zoo: `zoo convert`.

    model = zoo.convert("flow.safetensors", source="nflows", family="nsf", tail_bound=3.0)

A state dict says nothing of activations and bounds: they are told, or are the library's defaults.
The model is a `converted` (`zoo.models.flows.converted`), whose log_prob is that of the source.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from zoo.converting import nflows, zuko
from zoo.converting.pieces import Assumed, Piece, joined
from zoo.converting.state_dicts import arrays_of, read_state_dict
from zoo.errors import ConversionError, InvalidInputError
from zoo.models import create

if TYPE_CHECKING:
    from zoo.kinds.model import ZooModel

__all__ = ["FAMILIES", "SOURCES", "TOLERANCE", "Family", "Source", "check_rows", "convert"]

Source = Literal["nflows", "zuko"]
Family = Literal["maf", "nsf", "coupling"]
SOURCES: tuple[Source, ...] = get_args(Source)
FAMILIES: tuple[Family, ...] = get_args(Family)
TOLERANCE = 1e-4  # of log_prob, relative to the largest where that is above 1

_READERS: dict[str, Callable[..., tuple[int, list[Piece]]]] = {
    "nflows": nflows.pieces,
    "zuko": zuko.pieces,
}


def convert(
    state: str | os.PathLike[str] | dict[str, Any],
    *,
    source: Source,
    family: Family,
    activation: str = "relu",
    tail_bound: float | None = None,
    name: str | None = None,
) -> ZooModel:
    """The model with the weights of a state dict, whose log_prob equals the source's.

    Args:
        state: A .safetensors, .npz or, with PyTorch installed, .pt file of `flow.state_dict()`; or
            the dict itself, of arrays or tensors. Nothing is unpickled but tensors.
        source: "nflows" or "zuko".
        family: "maf", affine autoregressive steps; "nsf", rational-quadratic splines,
            autoregressive or in couplings; "coupling", affine or additive couplings.
        activation: Of the conditioner networks; both libraries' default is ReLU.
        tail_bound: Of splines; zuko's default is 5. nflows has to be told: its splines need
            tails="linear", and its own default of 1 is seldom meant.
        name: The model's.

    Raises:
        ConversionError: What the state dict holds is not of that family, or is nothing that a model
            here computes; the message says what.
        FormatError, MissingCheckpointError, MissingExtraError: The file cannot be read.
        InvalidInputError: An unknown source or family.
        ConfigError: An activation or a bound that cannot be built.
    """
    for word, known, what in ((source, SOURCES, "source"), (family, FAMILIES, "family")):
        if word not in known:
            raise InvalidInputError(f"{what} must be one of {', '.join(known)}; got {word!r}.")
    given = arrays_of(state) if isinstance(state, dict) else read_state_dict(Path(state))
    size, found = _READERS[source](given, Assumed(family, tail_bound))
    pieces = joined(found)
    model = create(
        "converted",
        event_shape=(size,),
        preprocessing={},
        steps=[piece.step for piece in pieces],
        activation=activation,
        name=name,
    )
    holding = [piece for piece in pieces if piece.arrays]
    for layer, piece in zip(model.step_layers, holding, strict=True):
        piece.assign(layer)
    return model


def check_rows(model: ZooModel, path: str | os.PathLike[str]) -> float:
    """The largest difference of log_prob from that in an .npz file of `x` and `log_prob`.

    Relative to the largest log_prob, where that is above 1. Raises InvalidInputError for another
    file, and ConversionError where it is above `TOLERANCE`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            x, expected = file["x"].astype("float32"), file["log_prob"].astype("float64")
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InvalidInputError(
            f"{path} holds no rows to check: expected an .npz file of x [rows, columns] and "
            f"log_prob [rows], as the source gives them ({error})."
        ) from error
    off = np.abs(np.asarray(model.log_prob(x), "float64") - expected).max()
    off /= max(1.0, np.abs(expected).max())
    if not off <= TOLERANCE:
        raise ConversionError(
            f"log_prob differs from that in {path} by {off:.2g}, above {TOLERANCE:g}: the source "
            "has another activation (--activation), another bound (--tail-bound), settings that "
            "are no defaults, or was not in evaluation (flow.eval())."
        )
    return float(off)
