"""Maps of a coordinate as other libraries parametrise them, for weights that come from there.

They are written from data to latents, which is `inverse` here:

    `DataAffine`    z = s(raw) x + shift       nflows (softplus, sigmoid), zuko (soft_clip)
    `SoftSpline`    z = spline(x)              zuko
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import tensorflow as tf

from zoo.ops import splines

__all__ = ["DataAffine", "SoftSpline"]

MIN_SCALE = 1e-3


@dataclass(frozen=True)
class DataAffine:
    """z = s x + shift, with log s a function of a raw number r.

        scale        s
        softplus     softplus(r) + 0.001
        sigmoid      sigmoid(r + 2) + 0.001
        soft_clip    exp(r / (1 + |r| / log 1000)), between 1/1000 and 1000
        additive     1, without r

    parameters: [..., D, 2], shift and r; of additive [..., D, 1].
    """

    scale: Literal["softplus", "sigmoid", "soft_clip", "additive"]

    @property
    def num_parameters(self) -> int:
        """2, or 1 for the shift alone."""
        return 1 if self.scale == "additive" else 2

    def _parts(self, parameters: Any) -> tuple[Any, Any]:
        """(shift, log s)."""
        shift, raw = parameters[..., 0], parameters[..., -1]
        log_scale = {
            "softplus": lambda: tf.math.log(tf.nn.softplus(raw) + MIN_SCALE),
            "sigmoid": lambda: tf.math.log(tf.sigmoid(raw + 2.0) + MIN_SCALE),
            "soft_clip": lambda: _soft_clipped(raw),
            "additive": lambda: tf.zeros_like(raw),
        }
        return shift, log_scale[self.scale]()

    def forward(self, z: Any, parameters: Any) -> tuple[Any, Any]:
        """x = (z - shift) / s."""
        shift, log_scale = self._parts(parameters)
        return (z - shift) * tf.exp(-log_scale), -log_scale

    def inverse(self, x: Any, parameters: Any) -> tuple[Any, Any]:
        """z = s x + shift."""
        shift, log_scale = self._parts(parameters)
        return x * tf.exp(log_scale) + shift, log_scale


@dataclass(frozen=True)
class SoftSpline:
    """A rational-quadratic spline of `num_bins` bins on [-bound, bound], no bin of a least size.

    Bins are softmaxes of raw numbers that are clipped softly, so that none is under a thousandth of
    another; slopes lie between 1/1000 and 1000.
    parameters: [..., D, 3 num_bins - 1]; zeros give the identity.
    """

    num_bins: int
    bound: float

    @property
    def num_parameters(self) -> int:
        """3 K - 1: K widths, K heights and the K - 1 slopes at the inner knots."""
        return 3 * self.num_bins - 1

    def _raw(self, parameters: Any) -> Any:
        sizes, slopes = parameters[..., : 2 * self.num_bins], parameters[..., 2 * self.num_bins :]
        slopes = tf.exp(_soft_clipped(slopes))
        return tf.concat([_soft_clipped(sizes, share=0.5), splines.raw_slopes(slopes)], -1)

    def forward(self, z: Any, parameters: Any) -> tuple[Any, Any]:
        """x = spline**-1(z)."""
        raw = self._raw(parameters)
        return splines.invert(raw, z, num_bins=self.num_bins, bound=self.bound, min_bin=0.0)

    def inverse(self, x: Any, parameters: Any) -> tuple[Any, Any]:
        """z = spline(x)."""
        raw = self._raw(parameters)
        return splines.evaluate(raw, x, num_bins=self.num_bins, bound=self.bound, min_bin=0.0)


def _soft_clipped(raw: Any, *, share: float = 1.0) -> Any:
    """raw / (1 + |raw| / limit), limit = share * log 1000."""
    return raw / (1.0 + tf.abs(raw) / (-share * math.log(MIN_SCALE)))
