"""The rational-quadratic spline as the map of a coordinate: neural spline flows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zoo.ops import splines

__all__ = ["RationalQuadratic"]


@dataclass(frozen=True)
class RationalQuadratic:
    """z = spline(x), a monotone rational-quadratic spline of `num_bins` bins on [-bound, bound].

    Durkan et al. 2019, arXiv:1906.04032. Both directions have closed forms (`zoo.ops.splines`); the
    spline is evaluated from data to latent, as in the paper, and inverted the other way.
    parameters: [..., D, 3 num_bins - 1]; zeros give the identity.
    """

    num_bins: int
    bound: float

    @property
    def num_parameters(self) -> int:
        """3 K - 1: K widths, K heights and the K - 1 slopes at the inner knots."""
        return 3 * self.num_bins - 1

    def forward(self, z: Any, parameters: Any) -> tuple[Any, Any]:
        """x = spline**-1(z)."""
        return splines.invert(parameters, z, num_bins=self.num_bins, bound=self.bound)

    def inverse(self, x: Any, parameters: Any) -> tuple[Any, Any]:
        """z = spline(x)."""
        return splines.evaluate(parameters, x, num_bins=self.num_bins, bound=self.bound)
