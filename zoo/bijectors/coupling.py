"""Coupling layers: part of the event conditions an elementwise map of the rest.

    z = (z_a, z_b):   x_a = z_a,   x_b = z_b * exp(s(z_a)) + t(z_a)     log|det dx/dz| = sum s(z_a)
                      z_a = x_a,   z_b = (x_b - t(x_a)) * exp(-s(x_a))  log|det dz/dx| = -sum s(x_a)

NICE (arXiv:1410.8516, Sec. 3.2) has s = 0; RealNVP (arXiv:1605.08803, Eq. 7-9) has both. The
papers' "forward" maps data to latents and is `inverse` here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from zoo.bijectors.base import OnePassBijector
from zoo.bijectors.scalar import ScalarMap, ShiftAndScale

__all__ = ["CheckerboardCoupling", "SplitCoupling"]

Conditioner = Callable[[Any], tuple[Any, Any]]


def _sum_event(x: Any, event_ndims: int) -> Any:
    return tf.reduce_sum(x, axis=list(range(-event_ndims, 0)))


class SplitCoupling(OnePassBijector):
    """Coupling by a cut of the last axis at `split_size`.

    condition_on_first: whether z_a is the first part ([..., :split_size]) or the second.
    conditioner: z_a [..., A] -> the map's parameters of z_b [..., B]: of the default map (shift,
        log_scale), each [..., B]; an additive coupling returns `None` for log_scale and preserves
        volume.
    scalar_map: what the parameters do to a coordinate of z_b (`zoo.bijectors.scalar`).
    event_ndims: 1 for vectors, 3 for images (the channel-wise mask of RealNVP, Sec. 3.4).
    """

    def __init__(
        self,
        split_size: int,
        conditioner: Callable[[Any], Any],
        scalar_map: ScalarMap = ShiftAndScale(),  # noqa: B008 (a value without state)
        *,
        condition_on_first: bool = True,
        event_ndims: int = 1,
        name: str = "split_coupling",
    ) -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=event_ndims, parameters=parameters, name=name)
        self._split_size = split_size
        self._conditioner = conditioner
        self._scalar_map = scalar_map
        self._condition_on_first = condition_on_first
        self._event_ndims = event_ndims

    def _split(self, x: Any) -> tuple[Any, Any]:
        first, second = x[..., : self._split_size], x[..., self._split_size :]
        return (first, second) if self._condition_on_first else (second, first)

    def _join(self, kept: Any, moved: Any) -> Any:
        parts = [kept, moved] if self._condition_on_first else [moved, kept]
        return tf.concat(parts, axis=-1)

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x_b = z_b exp(s) + t, log-det sum s; or another map of z_b."""
        kept, moved = self._split(z)
        x, log_det = self._scalar_map.forward(moved, self._conditioner(kept))
        return self._join(kept, x), _sum_event(log_det, self._event_ndims)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z_b = (x_b - t) exp(-s), log-det -sum s; or another map of x_b."""
        kept, moved = self._split(x)
        z, log_det = self._scalar_map.inverse(moved, self._conditioner(kept))
        return self._join(kept, z), _sum_event(log_det, self._event_ndims)


class CheckerboardCoupling(OnePassBijector):
    """x = b*z + (1-b)*(z*exp(s(b*z)) + t(b*z)),  log-det sum (1-b)*s(b*z).  RealNVP Eq. 9.

    mask: b, [height, width, 1] of 0 and 1; the pixels where it is 1 condition the others.
    conditioner: [..., height, width, channels] -> (shift, log_scale) of the same shape.
    """

    def __init__(
        self, mask: Any, conditioner: Conditioner, *, name: str = "checkerboard_coupling"
    ) -> None:
        parameters = dict(locals())
        super().__init__(event_ndims=3, parameters=parameters, name=name)
        self._mask = mask
        self._conditioner = conditioner

    def _moved(self, x: Any) -> tuple[Any, Any, Any]:
        mask = tf.cast(self._mask, x.dtype)
        shift, log_scale = self._conditioner(mask * x)
        return 1.0 - mask, shift, (1.0 - mask) * log_scale

    def forward_and_log_det(self, z: Any) -> tuple[Any, Any]:
        """x = z exp((1-b) s) + (1-b) t: equal to Eq. 9, since (1-b) is 0 or 1."""
        moved, shift, log_scale = self._moved(z)
        return z * tf.exp(log_scale) + moved * shift, _sum_event(log_scale, 3)

    def inverse_and_log_det(self, x: Any) -> tuple[Any, Any]:
        """z = (x - (1-b) t) exp(-(1-b) s)."""
        moved, shift, log_scale = self._moved(x)
        return (x - moved * shift) * tf.exp(-log_scale), -_sum_event(log_scale, 3)
