"""One tiny row for every bijector.

The laws in the files beside this one run over all rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from zoo.bijectors.autoregressive import AutoregressiveFlow, Interleave, Reverse
from zoo.bijectors.base import FlowChain
from zoo.bijectors.columns import ColumnCoordinates
from zoo.bijectors.coupling import CheckerboardCoupling, SplitCoupling
from zoo.bijectors.elementwise import BatchNorm, DiagonalAffine, ExponentialTails
from zoo.bijectors.inverse_autoregressive import InverseAutoregressive
from zoo.bijectors.linear import LULinear, UnitTriangular
from zoo.bijectors.mixture import MixtureQuantile
from zoo.bijectors.multiscale import FactorOut, Unsqueeze
from zoo.bijectors.planar import Planar
from zoo.bijectors.preprocessing import PixelScaling, SeparableWhitening, ZCAWhitening
from zoo.bijectors.radial import Radial
from zoo.bijectors.scalar import Affine, Chained, Elementwise
from zoo.bijectors.spline import RationalQuadratic
from zoo.bijectors.sylvester import Sylvester, householder, orthogonal, triangular
from zoo.bijectors.symmetry import SquareEquivariant
from zoo.core.columns import Column
from zoo.ops.masks import checkerboard

tfb = tfp.bijectors

Bijector = Any
NUM_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class BijectorCase:
    """A bijector on latents [batch, *latent_shape], built for a float dtype."""

    build: Callable[[Any], Bijector]
    latent_shape: tuple[int, ...]
    data_shape: tuple[int, ...] | None = None

    def bijector(self, dtype: str = "float64") -> Bijector:
        return self.build(tf.as_dtype(dtype))

    def latents(self, num_rows: int = NUM_ROWS, dtype: str = "float64", seed: int = 1) -> Any:
        z = np.random.default_rng(seed).normal(size=(num_rows, *self.latent_shape))
        return tf.constant(z, dtype)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.data_shape or self.latent_shape


# Conditioners with fixed random matrices: callables for bijectors, with no zoo network in them.


def dense_conditioner(
    num_in: int, num_out: int, *, seed: int = 0, additive: bool = False
) -> Callable[[Any], Any]:
    """[..., num_in] -> (shift, log_scale), each [..., num_out]."""
    w = np.random.default_rng(seed).normal(size=(num_in, 2 * num_out))

    def conditioner(x: Any) -> Any:
        shift, log_scale = tf.split(tf.tanh(tf.tensordot(x, tf.constant(w, x.dtype), 1)), 2, -1)
        return shift, None if additive else log_scale

    return conditioner


def image_conditioner(shape: tuple[int, int, int], *, seed: int = 0) -> Callable[[Any], Any]:
    """[..., h, w, c] -> (shift, log_scale) of the same shape; every pixel sees every pixel."""
    size = int(np.prod(shape))
    dense = dense_conditioner(size, size, seed=seed)

    def conditioner(x: Any) -> Any:
        batch = x.shape[:-3]
        outputs = dense(tf.reshape(x, [*batch, size]))
        return tuple(tf.reshape(y, [*batch, *shape]) for y in outputs)

    return conditioner


def autoregressive_conditioner(size: int, *, seed: int = 0) -> Callable[[Any], Any]:
    """[..., D] -> (shift, log_scale), those of coordinate i functions of x_<i alone."""
    rng = np.random.default_rng(seed)
    weights = [np.triu(rng.normal(size=(size, size)), 1) for _ in range(2)]

    def conditioner(x: Any) -> Any:
        return tuple(0.3 + tf.tanh(tf.tensordot(x, tf.constant(w, x.dtype), 1)) for w in weights)

    return conditioner


def _vector(size: int, seed: int, dtype: Any, *, low: float = -0.7, high: float = 0.7) -> Any:
    return tf.constant(np.random.default_rng(seed).uniform(low, high, size), dtype)


def _batch_norm(event_shape: tuple[int, ...], dtype: Any) -> Bijector:
    channels = event_shape[-1]
    moments = (_vector(channels, 1, dtype), _vector(channels, 2, dtype, low=0.3, high=2.0))
    return BatchNorm(
        lambda unused_x: moments,
        log_gamma=_vector(channels, 3, dtype),
        beta=_vector(channels, 4, dtype),
        epsilon=1e-3,
        event_shape=event_shape,
    )


def _pixel_scaling(transform: Any, event_ndims: int) -> Callable[[Any], Bijector]:
    return lambda _: PixelScaling(
        num_levels=256, transform=transform, alpha=0.05, event_ndims=event_ndims
    )


def zca_matrices(size: int) -> tuple[np.ndarray, np.ndarray]:
    """(W, W**-1) of a random symmetric positive W, in float64."""
    root = np.random.default_rng(5).normal(size=(size, size))
    matrix = root @ root.T / size + 0.5 * np.eye(size)
    return matrix, np.linalg.inv(matrix)


def _zca(event_shape: tuple[int, ...], dtype: Any) -> Bijector:
    size = int(np.prod(event_shape))
    matrix, inverse = zca_matrices(size)
    return ZCAWhitening(
        mean=_vector(size, 6, dtype),
        matrix=tf.constant(matrix, dtype),
        inverse_matrix=tf.constant(inverse, dtype),
        log_det=tf.constant(np.linalg.slogdet(matrix)[1], dtype),
        event_shape=event_shape,
    )


def _separable(dtype: Any) -> Bijector:
    pairs = [zca_matrices(size) for size in IMAGE]
    total = sum(np.linalg.slogdet(matrix)[1] * np.prod(IMAGE) / len(matrix) for matrix, _ in pairs)
    return SeparableWhitening(
        mean=tf.reshape(_vector(int(np.prod(IMAGE)), 6, dtype), IMAGE),
        matrices=[tf.constant(matrix, dtype) for matrix, _ in pairs],
        inverse_matrices=[tf.constant(inverse, dtype) for _, inverse in pairs],
        log_det=tf.constant(total, dtype),
    )


def _matrix(rows: int, columns: int, seed: int, dtype: Any) -> Any:
    return tf.constant(np.random.default_rng(seed).normal(size=(rows, columns)), dtype)


def _sylvester(make_frame: Callable[[Any], Any], size: int, dtype: Any) -> Bijector:
    matrices = [_matrix(size, size, seed, dtype) for seed in (1, 2)]
    return Sylvester(make_frame(dtype), *matrices, _vector(size, 3, dtype))


def _flow_chain(dtype: Any) -> Bijector:
    affine = DiagonalAffine(_vector(5, 0, dtype), _vector(5, 1, dtype), event_shape=(5,))
    return FlowChain([affine, Reverse(), SplitCoupling(3, dense_conditioner(3, 2))])


def _elementwise(scalar_map: Any, dtype: Any) -> Bijector:
    """The map with random parameters of five coordinates."""
    shape = (5, scalar_map.num_parameters)
    return Elementwise(scalar_map, tf.constant(np.random.default_rng(7).normal(size=shape), dtype))


def _lu_linear(dtype: Any) -> Bijector:
    factors = tf.constant(0.5 * np.random.default_rng(8).normal(size=(5, 5)), dtype)
    return LULinear(factors, _vector(5, 9, dtype), (2, 4, 0, 1, 3))


def _square_equivariant(num_positions: int, dtype: Any) -> Bijector:
    affine = DiagonalAffine(_vector(8, 0, dtype), _vector(8, 1, dtype), event_shape=(8,))
    flow = FlowChain([affine, SplitCoupling(4, dense_conditioner(4, 4))])
    return SquareEquivariant(flow, 0.7, num_positions)


def _splines_by_coupling(_: Any) -> Bijector:
    splines = RationalQuadratic(4, 2.0)
    rows = dense_conditioner(3, 11)  # (shift, log_scale) of 11: 2 coordinates of 11 parameters

    def parameters(x: Any) -> Any:
        return 2.0 * tf.stack(rows(x), -2)

    return SplitCoupling(3, parameters, splines)


def _factor_out(_: Any) -> Bijector:
    conditioner = image_conditioner((2, 2, 2))
    couplings = [
        CheckerboardCoupling(checkerboard(2, 2, even_first=b), conditioner) for b in (True, False)
    ]
    return FactorOut(tfb.Chain(couplings), num_kept=2)


IMAGE = (2, 4, 1)

COLUMNS = (
    Column(name="size", kind="real", location=0.5, scale=2.0, heavy=True),
    Column(name="price", kind="positive", location=1.0, scale=0.5),
    Column(name="share", kind="bounded", minimum=-1.0, maximum=2.0),
    Column(name="day", kind="date", location=10.0, scale=3.0),
)

BIJECTORS: dict[str, BijectorCase] = {
    "split-additive": BijectorCase(
        build=lambda _: SplitCoupling(3, dense_conditioner(3, 2, additive=True)), latent_shape=(5,)
    ),
    "split-affine-first": BijectorCase(
        build=lambda _: SplitCoupling(3, dense_conditioner(3, 2)), latent_shape=(5,)
    ),
    "split-affine-second": BijectorCase(
        build=lambda _: SplitCoupling(3, dense_conditioner(2, 3), condition_on_first=False),
        latent_shape=(5,),
    ),
    "split-channels": BijectorCase(
        build=lambda _: SplitCoupling(2, dense_conditioner(2, 2), event_ndims=3),
        latent_shape=(2, 2, 4),
    ),
    "checkerboard-even": BijectorCase(
        build=lambda _: CheckerboardCoupling(checkerboard(2, 4), image_conditioner(IMAGE)),
        latent_shape=IMAGE,
    ),
    "checkerboard-odd": BijectorCase(
        build=lambda _: CheckerboardCoupling(
            checkerboard(2, 4, even_first=False), image_conditioner(IMAGE)
        ),
        latent_shape=IMAGE,
    ),
    "columns": BijectorCase(build=lambda _: ColumnCoordinates(COLUMNS), latent_shape=(4,)),
    "diagonal-affine": BijectorCase(
        build=lambda dtype: DiagonalAffine(
            _vector(4, 0, dtype), _vector(4, 1, dtype), event_shape=(4,)
        ),
        latent_shape=(4,),
    ),
    "diagonal-affine-channels": BijectorCase(
        build=lambda dtype: DiagonalAffine(
            _vector(2, 0, dtype), _vector(2, 1, dtype), event_shape=(2, 3, 2)
        ),
        latent_shape=(2, 3, 2),
    ),
    "batch-norm": BijectorCase(build=functools.partial(_batch_norm, (4,)), latent_shape=(4,)),
    "batch-norm-channels": BijectorCase(
        build=functools.partial(_batch_norm, (2, 3, 2)), latent_shape=(2, 3, 2)
    ),
    "autoregressive": BijectorCase(
        build=lambda _: AutoregressiveFlow(autoregressive_conditioner(5)), latent_shape=(5,)
    ),
    "inverse-autoregressive": BijectorCase(
        build=lambda _: InverseAutoregressive(autoregressive_conditioner(5)), latent_shape=(5,)
    ),
    "planar": BijectorCase(
        build=lambda dtype: Planar(
            _vector(4, 1, dtype), _vector(4, 2, dtype, low=-2.0, high=2.0), _vector(1, 3, dtype)[0]
        ),
        latent_shape=(4,),
    ),
    "planar-folding": BijectorCase(  # w.u = -1.5: the constraint bends u by much
        build=lambda dtype: Planar(
            _vector(4, 1, dtype), -3.0 * _vector(4, 1, dtype), _vector(1, 3, dtype)[0]
        ),
        latent_shape=(4,),
    ),
    "radial-expanding": BijectorCase(
        build=lambda dtype: Radial(_vector(4, 1, dtype), *tf.constant([0.3, 2.0], dtype)),
        latent_shape=(4,),
    ),
    "radial-contracting": BijectorCase(
        build=lambda dtype: Radial(_vector(4, 1, dtype), *tf.constant([1.0, -2.0], dtype)),
        latent_shape=(4,),
    ),
    "sylvester-orthogonal": BijectorCase(
        build=functools.partial(_sylvester, lambda dtype: orthogonal(_matrix(5, 3, 4, dtype)), 3),
        latent_shape=(5,),
    ),
    "sylvester-householder": BijectorCase(
        build=functools.partial(_sylvester, lambda dtype: householder(_matrix(2, 5, 4, dtype)), 5),
        latent_shape=(5,),
    ),
    "sylvester-triangular": BijectorCase(
        build=functools.partial(_sylvester, lambda _: triangular(reverse=False), 4),
        latent_shape=(4,),
    ),
    "sylvester-reversed": BijectorCase(
        build=functools.partial(_sylvester, lambda _: triangular(reverse=True), 4),
        latent_shape=(4,),
    ),
    "elementwise-affine": BijectorCase(
        build=functools.partial(_elementwise, Affine(3.0)), latent_shape=(5,)
    ),
    "elementwise-spline": BijectorCase(
        build=functools.partial(_elementwise, RationalQuadratic(5, 1.5)), latent_shape=(5,)
    ),
    "elementwise-chained": BijectorCase(
        build=functools.partial(_elementwise, Chained((Affine(1.5), RationalQuadratic(4, 2.0)))),
        latent_shape=(5,),
    ),
    "elementwise-mixture": BijectorCase(
        build=functools.partial(_elementwise, MixtureQuantile(3, 3.0)), latent_shape=(5,)
    ),
    "lu-linear": BijectorCase(build=_lu_linear, latent_shape=(5,)),
    "unit-triangular": BijectorCase(
        build=lambda dtype: UnitTriangular(_vector(6, 4, dtype)), latent_shape=(4,)
    ),
    "exponential-tails": BijectorCase(build=lambda _: ExponentialTails(0.75), latent_shape=(5,)),
    "exponential-tails-and-lines": BijectorCase(
        build=lambda _: ExponentialTails(0.5, max_slope=1.5), latent_shape=(5,)
    ),
    **{
        f"square-equivariant-{number}": BijectorCase(
            build=functools.partial(_square_equivariant, number), latent_shape=(8,)
        )
        for number in (2, 4, 8)
    },
    "split-spline": BijectorCase(build=_splines_by_coupling, latent_shape=(5,)),
    "reverse": BijectorCase(build=lambda _: Reverse(), latent_shape=(5,)),
    "interleave-even": BijectorCase(build=lambda _: Interleave(), latent_shape=(6,)),
    "interleave-odd": BijectorCase(build=lambda _: Interleave(), latent_shape=(5,)),
    "unsqueeze": BijectorCase(
        build=lambda _: Unsqueeze(), latent_shape=(2, 1, 8), data_shape=(4, 2, 2)
    ),
    "flow-chain": BijectorCase(build=_flow_chain, latent_shape=(5,)),
    "factor-out": BijectorCase(build=_factor_out, latent_shape=(2, 2, 3)),
    "pixels-unit": BijectorCase(build=_pixel_scaling("unit", 1), latent_shape=(3,)),
    "pixels-symmetric": BijectorCase(build=_pixel_scaling("symmetric", 3), latent_shape=IMAGE),
    "pixels-logit": BijectorCase(build=_pixel_scaling("logit", 3), latent_shape=IMAGE),
    "zca": BijectorCase(build=functools.partial(_zca, IMAGE), latent_shape=IMAGE),
    "separable": BijectorCase(build=_separable, latent_shape=IMAGE),
}

# No row: an interface without maths, and a step of `adapt` that writes weights while it runs
# (its effect is tested in tests/models/test_base.py).
NO_BIJECTOR_ROW = {"OnePassBijector", "DataDependentAffine", "LiveBijector"}  # models have the last
