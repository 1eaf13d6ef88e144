"""`tfb.Bijector` subclasses: pure maths on tensors and callables, no variables.

Direction, everywhere: `forward` = latent -> data, `inverse` = data -> latent.
"""

from zoo.bijectors.autoregressive import AutoregressiveFlow, Interleave, Reverse
from zoo.bijectors.base import (
    FlowChain,
    OnePassBijector,
    forward_and_log_det,
    inverse_and_log_det,
)
from zoo.bijectors.columns import ColumnCoordinates
from zoo.bijectors.coupling import CheckerboardCoupling, SplitCoupling
from zoo.bijectors.elementwise import (
    BatchNorm,
    DataDependentAffine,
    DiagonalAffine,
    ExponentialTails,
)
from zoo.bijectors.elsewhere import DataAffine, SoftSpline
from zoo.bijectors.inverse_autoregressive import InverseAutoregressive
from zoo.bijectors.linear import LULinear, UnitTriangular
from zoo.bijectors.live import LiveBijector, LiveDistribution
from zoo.bijectors.mixture import MixtureQuantile
from zoo.bijectors.multiscale import FactorOut, Unsqueeze
from zoo.bijectors.planar import Planar
from zoo.bijectors.preprocessing import PixelScaling, SeparableWhitening, ZCAWhitening
from zoo.bijectors.radial import Radial
from zoo.bijectors.scalar import (
    Affine,
    Chained,
    Elementwise,
    Gated,
    Inverted,
    ScalarMap,
    ShiftAndScale,
)
from zoo.bijectors.spline import RationalQuadratic
from zoo.bijectors.sylvester import Sylvester, householder, orthogonal, triangular
from zoo.bijectors.symmetry import SquareEquivariant

__all__ = [
    "Affine",
    "AutoregressiveFlow",
    "BatchNorm",
    "Chained",
    "CheckerboardCoupling",
    "ColumnCoordinates",
    "DataAffine",
    "DataDependentAffine",
    "DiagonalAffine",
    "Elementwise",
    "ExponentialTails",
    "FactorOut",
    "FlowChain",
    "Gated",
    "Interleave",
    "InverseAutoregressive",
    "Inverted",
    "LULinear",
    "LiveBijector",
    "LiveDistribution",
    "MixtureQuantile",
    "OnePassBijector",
    "PixelScaling",
    "Planar",
    "Radial",
    "RationalQuadratic",
    "Reverse",
    "ScalarMap",
    "SeparableWhitening",
    "ShiftAndScale",
    "SoftSpline",
    "SplitCoupling",
    "SquareEquivariant",
    "Sylvester",
    "UnitTriangular",
    "Unsqueeze",
    "ZCAWhitening",
    "forward_and_log_det",
    "householder",
    "inverse_and_log_det",
    "orthogonal",
    "triangular",
]
