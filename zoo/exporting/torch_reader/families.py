"""What the steps of each family are, from data to latents."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import Arrays, Step
from .maps import affine, spline
from .networks import conv_net, made, mlp, residual_mlp, squares, unsquares
from .steps import autoregressive, coupling, flat, interleave, linear, norm, reverse

__all__ = ["A_WEIGHT", "FAMILIES"]


def _maf(flow: Arrays, hot: Any) -> list[Step]:
    config, steps = flow.config, flat(flow)
    for i in range(config["num_layers"]):
        if i:
            steps.append(reverse(flow))
        maps = affine(flow, config["log_scale_limit"])
        steps.append(autoregressive(flow, made(flow, f"made_{i}", 2, hot), *maps))
        if config["normalization"] != "none":
            steps.append(norm(flow, f"norm_{i}", flow.size, kind=config["normalization"]))
    return [*steps, reverse(flow)] if flow.num_components else steps


def _one_made(flow: Arrays, hot: Any) -> list[Step]:
    if flow.num_components:
        return flat(flow)
    maps = affine(flow, flow.config["log_scale_limit"])
    return [*flat(flow), autoregressive(flow, made(flow, "made", 2, hot), *maps)]


def _num_spline_parameters(flow: Arrays) -> int:
    return 3 * flow.config["num_bins"] - 1 + 2 * bool(flow.config.get("affine", False))


def _nsf(flow: Arrays, hot: Any) -> list[Step]:
    steps, layers = flat(flow), flow.config["num_layers"]
    for i in range(layers):
        net = made(flow, f"made_{i}", _num_spline_parameters(flow), hot)
        steps += [linear(flow, f"linear_{i}"), autoregressive(flow, net, *spline(flow))]
    return [*steps, linear(flow, f"linear_{layers}")]


def _nsf_coupling(flow: Arrays, hot: Any) -> list[Step]:
    steps, layers = flat(flow), flow.config["num_layers"]

    def net(name: str) -> Any:
        def parameters(kept: Any) -> Any:
            inputs = kept if hot is None else flow.xp.concatenate((kept, hot), -1)
            raw = residual_mlp(flow, name, inputs)
            return raw.reshape(len(kept), -1, _num_spline_parameters(flow))

        return parameters

    first = (flow.size + 1) // 2
    for i in range(layers):
        steps.append(linear(flow, f"linear_{i}"))
        steps.append(coupling(flow, first, i % 2 == 0, net(f"coupling_{i}"), *spline(flow)))
    return [*steps, linear(flow, f"linear_{layers}")]


def _nice(flow: Arrays, hot: Any) -> list[Step]:
    del hot
    steps = [*flat(flow), interleave(flow)]
    for i in range(flow.config["num_couplings"]):
        steps.append(
            coupling(
                flow,
                (flow.size + 1) // 2,
                i % 2 == 0,
                lambda kept, i=i: mlp(flow, f"coupling_{i}", kept),
                lambda x, shift: (x - shift, 0.0 * x),
                lambda z, shift: z + shift,
            )
        )
    factor = flow.config["log_scale_factor"]
    return [*steps, norm(flow, "scaling", flow.size, factor, "scale")]


def _realnvp(flow: Arrays, hot: Any) -> list[Step]:
    del hot
    config, numbers = flow.config, itertools.count()
    if len(flow.event_shape) == 1 or config["vector"]:
        steps = [*flat(flow), interleave(flow)]
        for i in range(config["num_couplings"]):
            steps += _affine_coupling(flow, next(numbers), flow.size, i % 2 == 0)
        return steps
    height, width, channels = flow.event_shape
    steps = _scales(flow, 0, (height, width, channels), numbers)
    one = config["num_scales"] == 1
    shape = (height, width, channels) if one else (height // 2, width // 2, 4 * channels)
    return [
        *steps,
        Step(
            lambda x: (x.reshape(len(x), -1), flow.zeros(x)),
            lambda z: z.reshape(len(z), *shape),
        ),
    ]


def _scales(flow: Arrays, scale: int, shape: tuple[int, int, int], numbers: Any) -> list[Step]:
    """Of images of that shape: this scale's couplings, the rest on half of the channels."""
    config, (height, width, channels) = flow.config, shape
    last = scale == config["num_scales"] - 1
    steps: list[Step] = []
    for i in range(config["num_final"] if last else config["num_checkerboard"]):
        steps += _checkerboard(flow, next(numbers), shape, i % 2 == 0)
    if last:
        return steps
    small = (height // 2, width // 2, 4 * channels)
    steps.append(Step(lambda x: (squares(flow, x), flow.zeros(x)), lambda z: unsquares(flow, z)))
    for i in range(config["num_channelwise"]):
        steps += _affine_coupling(flow, next(numbers), math.prod(small), i % 2 == 0, small[-1])
    kept = 2 * channels
    steps.append(_factored(flow, _scales(flow, scale + 1, (*small[:2], kept), numbers), kept))
    if scale:
        steps.append(
            Step(lambda x: (unsquares(flow, x), flow.zeros(x)), lambda z: squares(flow, z))
        )
    return steps


def _factored(flow: Arrays, inner: list[Step], kept: int) -> Step:
    def inverse(x: Any) -> tuple[Any, Any]:
        y, total = x[..., :kept], flow.zeros(x)
        for step in inner:
            y, log_det = step.inverse(y)
            total = total + log_det
        return flow.xp.concatenate((y, x[..., kept:]), -1), total

    def forward(z: Any) -> Any:
        y = z[..., :kept]
        for step in reversed(inner):
            y = step.forward(y)
        return flow.xp.concatenate((y, z[..., kept:]), -1)

    return Step(inverse, forward)


def _shift_and_log_scale(flow: Arrays, number: int, raw: Any) -> tuple[Any, Any]:
    half = raw.shape[-1] // 2
    return raw[..., :half], flow.weight(f"log_scale_{number}/factor") * flow.xp.tanh(
        raw[..., half:]
    )


def _affine_coupling(
    flow: Arrays,
    number: int,
    size: int,
    on_first: bool,  # noqa: FBT001
    channels: int = 0,
) -> list[Step]:
    """A coupling of halves of a vector, or of an image's channels, and its norm."""
    xp, first = flow.xp, ((channels or size) + 1) // 2

    def net(kept: Any) -> Any:
        name = f"coupling_{number}"
        raw = conv_net(flow, name, kept, 1) if channels else mlp(flow, name, kept)
        return _shift_and_log_scale(flow, number, raw)

    moving = coupling(
        flow,
        first,
        on_first,
        net,
        lambda x, pair: ((x - pair[0]) * xp.exp(-pair[1]), -pair[1]),
        lambda z, pair: z * xp.exp(pair[1]) + pair[0],
    )
    return [moving, norm(flow, f"norm_{number}", size, kind=flow.config["normalization"])]


def _checkerboard(
    flow: Arrays,
    number: int,
    shape: tuple[int, int, int],
    on_first: bool,  # noqa: FBT001
) -> list[Step]:
    """The pixels of one colour of a checkerboard condition the others; and the norm."""
    xp, stride = flow.xp, flow.config["conditioner_stride"]
    even = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 2 == 0
    kept = (even if on_first else ~even)[..., None]

    def parts(x: Any) -> tuple[Any, Any]:
        mask = flow.like(kept, x)
        raw = conv_net(flow, f"coupling_{number}", mask * x, stride)
        shift, log_scale = _shift_and_log_scale(flow, number, raw)
        return (1.0 - mask) * shift, (1.0 - mask) * log_scale

    def inverse(x: Any) -> tuple[Any, Any]:
        shift, log_scale = parts(x)
        return (x - shift) * xp.exp(-log_scale), -xp.sum(log_scale.reshape(len(x), -1), -1)

    def forward(z: Any) -> Any:
        shift, log_scale = parts(z)
        return z * xp.exp(log_scale) + shift

    normalization = flow.config["normalization"]
    return [
        Step(inverse, forward),
        norm(flow, f"norm_{number}", math.prod(shape), kind=normalization),
    ]


FAMILIES: dict[str, Callable[[Arrays, Any], list[Step]]] = {
    "maf": _maf,
    "made": _one_made,
    "nsf": _nsf,
    "nsf_coupling": _nsf_coupling,
    "realnvp": _realnvp,
    "nice": _nice,
}
A_WEIGHT = {
    "maf": "made_0/output/bias",
    "made": "made/output/bias",
    "nsf": "linear_0/bias",
    "nsf_coupling": "linear_0/bias",
    "realnvp": "coupling_0/output/bias",
    "nice": "coupling_0/output/bias",
}
