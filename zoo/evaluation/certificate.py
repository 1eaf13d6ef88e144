"""What a card certifies beside its figures: invertibility, log-determinants, other data's scores.

Certificate, over rows y = x + 1/2 of a split (y = x for features), z = f(y), f the model's inverse:

    invertibility    max |y - g(z)| over rows and dimensions, g the forward map, in data units
    log_det          max over rows of |log|det dg/dz (z)| + log|det df/dy (y)||, in nats

once with conditioner networks in float32 and once in bfloat16 (`mixed_bfloat16`), whose flow,
densities and log-determinants stay float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.core.capabilities import Bijective
from zoo.core.lazy import bijectors
from zoo.data.samples import sample_names, samples
from zoo.models import build

__all__ = ["applies", "certificate", "other_data"]

POLICIES = {"float32": "", "bfloat16": "mixed_bfloat16"}


def applies(model: Any) -> bool:
    """Whether there is a bijector to certify. Clips have too many dimensions for a round trip."""
    return model.data.medium != "audio" and isinstance(model, Bijective)


def certificate(
    model: Any, x: np.ndarray, context: np.ndarray | None = None, *, batch_size: int = 100
) -> dict[str, Any]:
    """{"rows": n, "float32": {"invertibility": …, "log_det": …}, "bfloat16": {…}}.

    An error is None where a row overflows on its way.
    x: [n, *event_shape] as the dataset stores them.   context: one a row, [n, ...], or None.
    """
    result: dict[str, Any] = {"rows": len(x)}
    for name, policy in POLICIES.items():
        copy = build(model.family, model.config.to_dict(), conditioner_dtype=policy)
        for target, source in zip(copy.weights, model.weights, strict=True):
            target.assign(source)
        round_trip = tf.function(_round_trip(copy), autograph=False, reduce_retracing=True)
        errors = []
        for start in range(0, len(x), batch_size):
            part = slice(start, start + batch_size)
            labels = None if context is None else model.checked_context(context[part], None)
            errors.append([float(error) for error in round_trip(tf.constant(x[part]), labels)])
        invertibility, log_det = np.max(errors, axis=0)
        result[name] = {"invertibility": _stored(invertibility), "log_det": _stored(log_det)}
    return result


def _stored(error: float) -> float | None:
    """Three digits of it; None where a row has overflown, which JSON has no number for."""
    return float(f"{error:.3g}") if np.isfinite(error) else None


def _round_trip(model: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
    """(x, labels or None) -> (max |y - g(f(y))|, max |sum of both log-dets|)."""
    middle = 0.5 if model.config.preprocessing.num_levels else 0.0
    event_ndims = len(model.config.event_shape)

    def errors(x: Any, context: Any) -> tuple[Any, Any]:
        y = tf.cast(x, model.compute_dtype) + middle
        chain = model.chain(context=model.encoded_context(context))
        z, inverse = bijectors.inverse_and_log_det(chain, y, event_ndims)
        again, forward = bijectors.forward_and_log_det(chain, z, 1)
        return tf.reduce_max(tf.abs(y - again)), tf.reduce_max(tf.abs(inverse + forward))

    return errors


def other_data(model: Any, *, seed: int = 0) -> dict[str, float]:
    """Mean bits/dim of images not trained on; {} for features and conditional models.

    A high density does not mean that a row is typical (Nalisnick et al. 2019, arXiv:1810.09136):
    here are the model's own numbers. Constant images of every fourth grey level, uniform noise, and
    the images that ship in the package, padded with zeros or repeated over the channels where
    their shape asks for it. Keys say what was scored, with the number of rows.
    """
    config = model.config
    shape = tuple(config.event_shape)
    if config.preprocessing.num_levels != 256 or model.context is not None or len(shape) != 3:
        return {}
    levels = np.arange(0, 256, 4).astype(np.uint8)
    greys = np.broadcast_to(levels[:, None, None, None], (64, *shape))
    noise = np.random.default_rng(seed).integers(0, 256, (64, *shape), np.uint8)
    rows = {"constant images": greys, "uniform noise": noise}
    for name in sample_names():
        images = samples(name)
        if images.ndim == 4 and images.shape[1] <= shape[0] and images.shape[3] <= shape[2]:
            rows[f"{name} test"] = _fitted(images, shape)
    return {
        f"{name} ({len(x)})": round(float(np.mean(model.bits_per_dim(x, seed=seed))), 3)
        for name, x in rows.items()
    }


def _fitted(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Images in the middle of black ones of that height and width, channels repeated."""
    height, width, channels = shape
    rows, columns = height - images.shape[1], width - images.shape[2]
    sides = [(margin // 2, margin - margin // 2) for margin in (rows, columns)]
    padding = [(0, 0), *sides, (0, 0)]
    return np.repeat(np.pad(images, padding), channels // images.shape[3], axis=3)
