"""Splines, mixtures, linear maps and tails against TFP, SciPy and autodiff."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.testing import assert_allclose, assert_array_equal
from tfp_cases import SIZE, _assert_same, _normal

from zoo.bijectors.autoregressive import AutoregressiveFlow
from zoo.bijectors.elementwise import ExponentialTails
from zoo.bijectors.linear import LULinear, UnitTriangular
from zoo.bijectors.mixture import MixtureQuantile
from zoo.bijectors.scalar import Affine, Chained, Elementwise
from zoo.bijectors.spline import RationalQuadratic
from zoo.ops import splines

tfb = tfp.bijectors
tfd = tfp.distributions


def _tfp_spline(raw: tf.Tensor, num_bins: int, bound: float) -> tfb.RationalQuadraticSpline:
    widths, heights, slopes = tf.split(raw, [num_bins, num_bins, num_bins - 1], -1)
    widths, heights = (
        2.0 * bound * (1e-3 + (1.0 - 1e-3 * num_bins) * tf.nn.softmax(sizes))
        for sizes in (widths, heights)
    )
    return tfb.RationalQuadraticSpline(
        bin_widths=widths,
        bin_heights=heights,
        knot_slopes=1e-3 + tf.nn.softplus(slopes + np.log(np.expm1(1.0 - 1e-3))),
        range_min=tf.constant(-bound, tf.float64),
    )


def test_spline_is_tfps_and_the_identity_beyond_its_bound(rng: np.random.Generator) -> None:
    raw = _normal(rng, SIZE, 3 * 7 - 1)
    ours = Elementwise(RationalQuadratic(7, 2.0), raw)
    theirs = tfb.Invert(_tfp_spline(raw, 7, 2.0))
    z = tf.concat([1.5 * _normal(rng, 40, SIZE), 5.0 + tf.abs(_normal(rng, 2, SIZE))], 0)
    _assert_same(ours, theirs, z)
    assert_array_equal(ours.forward(z)[-2:], z[-2:])


def test_chained_maps_are_tfps_chain(rng: np.random.Generator) -> None:
    raw = _normal(rng, SIZE, 2 + 3 * 4 - 1)
    affine, spline = raw[:, :2], raw[:, 2:]
    log_scale = 1.5 * tf.tanh(affine[:, 1] / 1.5)
    theirs = tfb.Chain(  # latent -> data: the last map's forward first
        [
            tfb.Shift(affine[:, 0]),
            tfb.Scale(log_scale=log_scale),
            tfb.Invert(_tfp_spline(spline, 4, 2.0)),
        ]
    )
    chained = Chained((Affine(1.5), RationalQuadratic(4, 2.0)))
    assert chained.num_parameters == raw.shape[-1]
    z = tf.concat([_normal(rng, 40, SIZE), 5.0 + tf.abs(_normal(rng, 2, SIZE))], 0)
    _assert_same(Elementwise(chained, raw), theirs, z)


@pytest.mark.parametrize("function", [splines.evaluate, splines.invert])
def test_raw_spline_parameters_fill_the_interval(function: Any, rng: np.random.Generator) -> None:
    raw = 20.0 * _normal(rng, 200, 3 * 5 - 1)
    ends = tf.constant([-3.0 + 1e-12, 3.0 - 1e-12], tf.float64)
    values, log_slopes = function(raw[:, None], ends, num_bins=5, bound=3.0)
    assert_allclose(values, np.broadcast_to(ends, [200, 2]), atol=1e-8)
    assert_allclose(log_slopes, np.zeros([200, 2]), atol=1e-5)  # as steep as the identity there
    x = tf.cast(tf.linspace(-3.5, 3.5, 101), tf.float64)
    values, log_slopes = function(raw[:, None], x, num_bins=5, bound=3.0)
    assert (np.diff(values, axis=1) > 0.0).all()
    assert np.isfinite(log_slopes).all()
    zeros = tf.zeros([101, 3 * 5 - 1], tf.float64)
    values, log_slopes = function(zeros, x, num_bins=5, bound=3.0)
    assert_allclose(values, x, atol=1e-12)
    assert_allclose(log_slopes, np.zeros(101), atol=1e-12)


@pytest.mark.parametrize("function", [splines.evaluate, splines.invert])
def test_log_slopes_beside_knots_are_finite(function: Any, rng: np.random.Generator) -> None:
    """Rounding puts some values beside their bin, where the formula's slope may be negative."""
    raw = tf.cast(8.0 * _normal(rng, 3000, 3 * 8 - 1), tf.float32)
    sizes = raw[:, :8] if function is splines.evaluate else raw[:, 8:16]
    edges = tf.cumsum(6.0 * (1e-3 + (1.0 - 8e-3) * tf.nn.softmax(sizes)), -1) - 3.0
    knots = edges[:, :-1].numpy()
    below, above = (np.nextafter(knots, np.float32(limit)) for limit in (-9, 9))
    for beside in (below, knots, above):
        values, log_slopes = function(raw[:, None], tf.constant(beside), num_bins=8, bound=3.0)
        assert np.isfinite(values).all()
        assert np.isfinite(log_slopes).all()


def test_splines_by_autoregression_are_tfps(rng: np.random.Generator) -> None:
    weights = np.zeros((SIZE, SIZE, 8))
    weights[np.triu_indices(SIZE, 1)] = rng.normal(size=(SIZE * (SIZE - 1) // 2, 8))

    def conditioner(x):
        return 0.3 + tf.tensordot(x, tf.constant(weights), 1)  # [..., D, 8]: 3 bins

    theirs = tfb.MaskedAutoregressiveFlow(
        bijector_fn=lambda x, **_: tfb.Invert(_tfp_spline(conditioner(x), 3, 2.0))
    )
    _assert_same(
        AutoregressiveFlow(conditioner, RationalQuadratic(3, 2.0)), theirs, _normal(rng, 5, SIZE)
    )


def test_lu_linear_is_tfps_matvec(rng: np.random.Generator) -> None:
    factors, bias, order = rng.normal(size=(SIZE, SIZE)), _normal(rng, SIZE), [3, 0, 5, 1, 2, 4]
    packed = factors.copy()
    np.fill_diagonal(packed, np.exp(np.diag(factors)))
    # TFP's map is data <- latent of the matrix P L U, applied to permuted rows here.
    matrix = tfb.ScaleMatvecLU(tf.constant(packed), tf.range(SIZE))
    towards_latent = tfb.Chain([tfb.Shift(bias), matrix, tfb.Permute(order)])
    ours = LULinear(tf.constant(factors), bias, tuple(order))
    _assert_same(ours, tfb.Invert(towards_latent), _normal(rng, 5, SIZE))


def test_unit_triangular_is_tfps_matvec_with_a_matrix_a_row(rng: np.random.Generator) -> None:
    below = _normal(rng, 5, SIZE * (SIZE - 1) // 2)
    matrices = np.zeros((5, SIZE, SIZE))
    matrices[:, 1:, :-1] = tfp.math.fill_triangular(below)
    matrices += np.eye(SIZE)
    theirs = tfb.ScaleMatvecTriL(tf.constant(matrices))
    _assert_same(UnitTriangular(below), theirs, _normal(rng, 5, SIZE))
    draws = _normal(rng, 3, 5, SIZE)  # three of every row
    x = theirs.forward(draws)
    assert_allclose(UnitTriangular(below).forward(tf.identity(draws)), x, rtol=1e-10)
    assert_allclose(UnitTriangular(below).inverse(tf.identity(x)), draws, rtol=1e-9)


def _mixture(raw: np.ndarray, limit: float) -> tfd.Distribution:
    """TFP's own mixture of the map's parameters, of which fresh ones have variance 1."""
    logits, means, log_scales = np.split(raw, 3, -1)
    spread = scipy.stats.norm.ppf((np.arange(4) + 0.5) / 4)
    log_scales = limit * np.tanh((log_scales + 0.5 * np.log(1.0 - spread.var())) / limit)
    return tfd.MixtureSameFamily(
        tfd.Categorical(logits=tf.constant(logits)),
        tfd.Normal(tf.constant(means + spread), tf.exp(tf.constant(log_scales))),
    )


def test_mixture_map_has_tfps_density_and_scipys_quantiles(rng: np.random.Generator) -> None:
    raw = rng.normal(size=(SIZE, 12))
    ours, theirs = MixtureQuantile(4, 5.0), _mixture(raw, 5.0)
    x = _normal(rng, 50, SIZE)
    assert_allclose(ours.log_prob(x, tf.constant(raw)), theirs.log_prob(x), rtol=1e-10)
    z, log_det = ours.inverse(x, tf.constant(raw))
    probability = theirs.cdf(x).numpy()
    central = (probability > 1e-6) & (probability < 1.0 - 1e-6)  # beyond, the reference saturates
    expected = scipy.stats.norm.ppf(probability)
    assert_allclose(z.numpy()[central], expected[central], rtol=1e-7, atol=1e-9)
    assert central.mean() > 0.8
    assert_allclose(log_det, theirs.log_prob(x) - scipy.stats.norm.logpdf(z), rtol=1e-7, atol=1e-9)
    again, log_det = ours.forward(z, tf.constant(raw))
    assert_allclose(again, x, rtol=1e-9, atol=1e-9)
    assert_allclose(log_det, scipy.stats.norm.logpdf(z) - theirs.log_prob(x), rtol=1e-7, atol=1e-8)


def test_fresh_mixtures_have_mean_0_and_variance_1() -> None:
    x = np.linspace(-9.0, 9.0, 3001)
    for count in (1, 10):
        zeros = tf.zeros([len(x), 3 * count], tf.float64)
        density = np.exp(MixtureQuantile(count, 5.0).log_prob(tf.constant(x), zeros))
        moments = [scipy.integrate.trapezoid(density * x**k, x) for k in range(3)]
        assert_allclose(moments, [1.0, 0.0, 1.0], atol=1e-2)


@pytest.mark.parametrize("z", [-30.0, -8.0, -0.5, 0.0, 3.0, 9.0, 30.0])
def test_mixture_map_does_not_saturate_in_the_tails(z: float) -> None:
    """One component is an affine map, whose exact values are known however far out."""
    raw = tf.constant([[0.0, 1.5, 0.7]], tf.float64)  # x = 1.5 + exp(0.7) z: within 5 tanh(.14)
    scale = np.exp(5.0 * np.tanh(0.7 / 5.0))
    ours = MixtureQuantile(1, 5.0)
    x, log_det = ours.forward(tf.constant([z], tf.float64), raw)
    assert_allclose(x, [1.5 + scale * z], rtol=1e-8)
    assert_allclose(log_det, [np.log(scale)], rtol=1e-6)
    assert_allclose(ours.inverse(x, raw)[0], [z], rtol=1e-8, atol=1e-9)
    single = tf.cast(raw, tf.float32)
    assert_allclose(ours.inverse(tf.cast(x, tf.float32), single)[0], [z], rtol=1e-4, atol=1e-5)


def _unrolled(conditioner, z: tf.Tensor) -> tf.Tensor:
    """x coordinate by coordinate, in operations that autodiff sees."""
    x = tf.zeros_like(z)
    for i in range(z.shape[-1]):
        shift, log_scale = conditioner(x)
        new = (z * tf.exp(log_scale) + shift)[..., i : i + 1]
        x = tf.concat([x[..., :i], new, tf.zeros_like(x[..., i + 1 :])], -1)
    return x


@pytest.mark.parametrize("compiled", [None, False, True], ids=["eager", "graph", "xla"])
def test_gradients_through_the_inverse_are_autodiffs(
    rng: np.random.Generator, compiled: bool | None
) -> None:
    """Of the latents and of the weights, through x and through its log-det, for MAF and IAF."""
    z, weights = _normal(rng, 4, SIZE), [_normal(rng, SIZE, SIZE) for _ in range(2)]

    def conditioner(x, *matrices):
        strict = [
            tf.linalg.set_diag(tf.linalg.band_part(w, 0, -1), tf.zeros(SIZE, w.dtype))
            for w in matrices
        ]
        shift, log_scale = (tf.tanh(tf.matmul(x, w)) for w in strict)
        return shift, log_scale

    def ours(z, *matrices):
        flow = AutoregressiveFlow(lambda x: conditioner(x, *matrices))
        x, log_det = flow.forward_and_log_det(z)
        iaf = tfb.Invert(flow)
        return tf.reduce_sum(tf.sin(x)) + tf.reduce_sum(log_det**2), iaf.inverse(z)

    def reference(z, *matrices):
        x = _unrolled(lambda x: conditioner(x, *matrices), z)
        log_det = tf.reduce_sum(conditioner(x, *matrices)[1], -1)
        return tf.reduce_sum(tf.sin(x)) + tf.reduce_sum(log_det**2), x

    def gradients(function):
        with tf.GradientTape() as tape:
            tape.watch([z, *weights])
            first, second = function(z, *weights)
            loss = first + tf.reduce_sum(tf.cos(second))
        return tape.gradient(loss, [z, *weights])

    expected = gradients(reference)
    calculate = lambda: gradients(ours)  # noqa: E731
    if compiled is not None:
        calculate = tf.function(calculate, autograph=False, jit_compile=compiled)
    for mine, theirs in zip(calculate(), expected, strict=True):
        assert_allclose(mine, theirs, rtol=1e-9, atol=1e-11)
        assert np.abs(theirs).max() > 0.1


def test_gradient_is_that_of_the_function_where_values_settle_early() -> None:
    """At z = 0 every pass gives 0 again, yet x_1 = z_1 + z_0: unrolled passes would miss it."""

    def conditioner(x):
        return tf.pad(x[..., :-1], [[0, 0], [1, 0]]), tf.zeros_like(x)

    z = tf.zeros([1, 4], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(z)
        x = AutoregressiveFlow(conditioner).forward(z)
        last = x[0, 3]
    assert_array_equal(tape.gradient(last, z), np.ones((1, 4)))


def test_second_derivatives_of_an_autoregressive_forward_are_refused() -> None:
    def conditioner(x):
        return tf.zeros_like(x), 0.1 * tf.cumsum(x, -1, exclusive=True)

    z = tf.ones([1, 3])
    with tf.GradientTape() as outer:
        outer.watch(z)
        with tf.GradientTape() as tape:
            tape.watch(z)
            x = tf.reduce_sum(AutoregressiveFlow(conditioner).forward(z) ** 2)
        gradient = tape.gradient(x, z)
    with pytest.raises(LookupError, match="second derivatives"):
        outer.gradient(gradient, z)


def test_exponential_tails_join_the_identity_with_its_slope(rng: np.random.Generator) -> None:
    bound = 1.5
    tails = ExponentialTails(bound)
    z = np.sort(rng.uniform(-6.0, 6.0, size=500))
    x, log_slope = (t.numpy() for t in tails.forward_and_log_det(tf.constant(z[:, None])))
    within = abs(z) <= bound
    assert 50 < within.sum() < 450
    assert_array_equal(x[within, 0], z[within])
    assert_array_equal(log_slope[within], 0.0)
    beyond = np.sign(z) * (bound + np.expm1(abs(z) - bound))
    assert_allclose(x[~within, 0], beyond[~within])
    for edge in (-bound, bound):
        near = tf.constant([[edge - 1e-9], [edge + 1e-9]], tf.float64)
        assert_allclose(tails.forward_and_log_det(near)[1], 0.0, atol=1e-8)


def test_exponential_tails_go_on_as_lines_where_a_slope_is_the_largest() -> None:
    bound, largest = 1.5, 4.0
    curved = ExponentialTails(bound)
    tails = ExponentialTails(bound, max_slope=largest)
    edge = bound + np.log(largest)  # where the exponential has that slope
    z = tf.constant(np.linspace(-edge, edge, 101)[:, None])
    for mine, theirs in zip(
        tails.forward_and_log_det(z), curved.forward_and_log_det(z), strict=True
    ):
        assert_allclose(mine, theirs, rtol=1e-12)
    further = np.array([[edge], [edge + 0.5], [edge + 100.0], [-edge - 100.0]])
    x, log_slope = tails.forward_and_log_det(tf.constant(further))
    reached = bound + largest - 1.0
    assert_allclose(
        x[:, 0], [reached, reached + 2.0, reached + 400.0, -reached - 400.0], rtol=1e-12
    )
    assert_allclose(log_slope, np.log(largest), rtol=1e-12)
    # float32's end in both directions, where the exponential alone has none.
    for direction in (tails.forward_and_log_det, tails.inverse_and_log_det):
        y, log_slope = direction(tf.constant([[-8e37], [8e37]]))
        assert np.isfinite(y).all()
        assert_allclose(np.abs(log_slope), np.log(largest), rtol=1e-6)


def test_exponential_tails_are_log_normal_and_finite_far_out() -> None:
    """The density has mass 1, and float32 values up to its end have latents and gradients."""
    density = tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(np.float64(0.0), np.float64(1.0)), [1]), ExponentialTails(1.0)
    )
    mass, _ = scipy.integrate.quad(
        lambda x: float(density.prob(tf.constant([x], tf.float64))), 0.0, 400.0, limit=200
    )
    assert_allclose(mass, 0.5, atol=1e-6)
    x = tf.Variable([[-3e38], [-1e10], [0.0], [1e6]])
    with tf.GradientTape() as tape:
        z, log_det = ExponentialTails(5.0).inverse_and_log_det(x)
        nats = tfd.Normal(0.0, 1.0).log_prob(z)[:, 0] + log_det
    assert_allclose(
        z[:, 0], [-5.0 - np.log(3e38), -5.0 - np.log(1e10), 0.0, 5.0 + np.log(1e6)], 1e-5
    )
    assert np.min(nats) > -5e3
    assert np.isfinite(tape.gradient(nats, x)).all()
