"""Conditioners: perceptrons, masked ones, residual ones, convolutions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import Arrays

__all__ = ["conv_net", "made", "mlp", "residual_mlp", "squares", "unsquares"]


def _dense(flow: Arrays, name: str, x: Any) -> Any:
    return x @ flow.weight(f"{name}/kernel") + flow.weight(f"{name}/bias")


def mlp(flow: Arrays, name: str, x: Any) -> Any:
    """Dense layers with an activation between them."""
    for i in range(len(flow.config["hidden_units"])):
        x = flow.activation(_dense(flow, f"{name}/hidden_{i}", x))
    return _dense(flow, f"{name}/output", x)


def made(flow: Arrays, name: str, num_parameters: int, hot: Any) -> Callable[[Any], Any]:
    """x [..., D] -> parameters [..., D, num_parameters], those of i functions of x_<i.

    The masks follow from degrees: those of units are spread evenly, and sorted.
    """
    config, size = flow.config, flow.size
    residual = "num_blocks" in config
    units = config["hidden_units"] if not residual else None
    units = units or [config["num_units"]] * (1 + 2 * config["num_blocks"])
    lowest = 0 if flow.context_size or size == 1 else 1
    count, coordinates = max(size - lowest, 1), np.arange(1, size + 1)
    degrees = [coordinates, *(lowest + np.arange(n) * count // n for n in units)]
    degrees.append(np.repeat(coordinates, num_parameters))
    names = [*(f"{name}/hidden_{i}" for i in range(len(units))), f"{name}/output"]

    def kernel(i: int) -> Any:
        before, after = degrees[i][:, None], degrees[i + 1][None]
        mask = after > before if i == len(units) else after >= before
        weight = flow.weight(f"{names[i]}/kernel")
        return weight * flow.like(mask, weight)

    kernels = [kernel(i) for i in range(len(names))]
    shift = hot @ flow.weight(f"{name}/context/kernel") if hot is not None else 0.0

    def dense(i: int, x: Any) -> Any:
        y = x @ kernels[i] + flow.weight(f"{names[i]}/bias")
        return y + shift if i == 0 else y

    def net(x: Any) -> Any:
        h = dense(0, x)
        if residual:
            for i in range(1, len(units), 2):
                h = h + dense(i + 1, flow.activation(dense(i, flow.activation(h))))
        else:
            for i in range(1, len(units)):
                h = dense(i, flow.activation(h))
        return dense(len(units), flow.activation(h)).reshape(*x.shape, num_parameters)

    return net


def residual_mlp(flow: Arrays, name: str, x: Any) -> Any:
    """Pre-activation residual blocks of dense layers."""
    h = _dense(flow, f"{name}/stem", x)
    for i in range(flow.config["num_blocks"]):
        inner = _dense(flow, f"{name}/block_{i}_a", flow.activation(h))
        h = h + _dense(flow, f"{name}/block_{i}_b", flow.activation(inner))
    return _dense(flow, f"{name}/output", flow.activation(h))


def _convolution(flow: Arrays, name: str, x: Any, *, weight_norm: bool) -> Any:
    """Of images [batch, h, w, in], stride 1, as large as before."""
    if weight_norm:
        v = flow.weight(f"{name}/direction")
        norm = flow.xp.sqrt(flow.xp.sum(v**2, (0, 1, 2)) + 1e-12)
        kernel = v * (flow.weight(f"{name}/magnitude") / norm)
    else:
        kernel = flow.weight(f"{name}/kernel")
    return _convolved(flow, x, kernel) + flow.weight(f"{name}/bias")


def _convolved(flow: Arrays, x: Any, kernel: Any) -> Any:
    size = kernel.shape[0]
    if flow.is_torch:
        image, filters = x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)
        convolved = flow.xp.nn.functional.conv2d(image, filters, padding=size // 2)
        return convolved.permute(0, 2, 3, 1)
    edge, (_, height, width, _) = size // 2, x.shape
    padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    return sum(
        padded[:, i : i + height, j : j + width] @ kernel[i, j]
        for i, j in itertools.product(range(size), repeat=2)
    )


def squares(flow: Arrays, x: Any) -> Any:
    """[batch, h, w, c] -> [batch, h/2, w/2, 4c]: squares of 2 x 2 pixels into channels."""
    batch, height, width, channels = x.shape
    parts = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    parts = flow.xp.moveaxis(parts, 2, 3)
    return parts.reshape(batch, height // 2, width // 2, 4 * channels)


def unsquares(flow: Arrays, x: Any) -> Any:
    """Back from `squares`."""
    batch, height, width, channels = x.shape
    parts = x.reshape(batch, height, width, 2, 2, channels // 4)
    parts = flow.xp.moveaxis(parts, 3, 2)
    return parts.reshape(batch, 2 * height, 2 * width, channels // 4)


def conv_net(flow: Arrays, name: str, x: Any, stride: int) -> Any:
    """Pre-activation residual blocks of convolutions; stride 2 works on squares of pixels."""
    config = flow.config

    def conv(part: str, h: Any, *, weight_norm: bool = config["weight_norm"]) -> Any:
        return _convolution(flow, f"{name}/{part}", h, weight_norm=weight_norm)

    def normed(part: str, h: Any) -> Any:
        if not config["conditioner_batch_norm"]:
            return h
        gamma, beta, mean, variance = (
            flow.weight(f"{name}/{part}/{key}")
            for key in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (h - mean) * (gamma / flow.xp.sqrt(variance + 1e-4)) + beta

    x = squares(flow, x) if stride == 2 else x
    h = conv("stem", flow.xp.concatenate((x, -x), -1))
    skip = conv("skip_0", h) if config["skip_connections"] else h
    for i in range(config["num_blocks"]):
        inner = conv(f"block_{i}_a", flow.activation(normed(f"block_{i}_norm_a", h)))
        h = h + conv(f"block_{i}_b", flow.activation(normed(f"block_{i}_norm_b", inner)))
        skip = skip + conv(f"skip_{i + 1}", h) if config["skip_connections"] else h
    out = conv("output", flow.activation(skip), weight_norm=False)
    return unsquares(flow, out) if stride == 2 else out
