"""Couplings, autoregression, permutations and preprocessing against TFP's bijectors."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.testing import assert_allclose, assert_array_equal
from tfp_cases import SIZE, _assert_same, _dense, _normal

from zoo.bijectors.autoregressive import AutoregressiveFlow, Interleave, Reverse
from zoo.bijectors.coupling import SplitCoupling
from zoo.bijectors.elementwise import DiagonalAffine
from zoo.bijectors.preprocessing import PixelScaling, SeparableWhitening, ZCAWhitening

tfb = tfp.bijectors


@pytest.mark.parametrize("additive", [False, True])
def test_split_coupling_is_tfp_real_nvp(rng: np.random.Generator, additive: bool) -> None:
    conditioner = _dense(rng, 4, 2)

    def shift_and_log_scale(x, *unused_arguments, **unused_keywords):
        shift, log_scale = conditioner(x)
        return shift, None if additive else log_scale

    ours = SplitCoupling(4, shift_and_log_scale)
    theirs = tfb.RealNVP(num_masked=4, shift_and_log_scale_fn=shift_and_log_scale)
    _assert_same(ours, theirs, _normal(rng, 5, SIZE))


def test_split_coupling_on_the_second_part_is_tfp_real_nvp_reversed(
    rng: np.random.Generator,
) -> None:
    conditioner = _dense(rng, 4, 2)
    ours = SplitCoupling(2, conditioner, condition_on_first=False)
    order = tfb.Permute([2, 3, 4, 5, 0, 1])
    inner = tfb.RealNVP(num_masked=4, shift_and_log_scale_fn=lambda x, *_, **__: conditioner(x))
    _assert_same(ours, tfb.Chain([tfb.Invert(order), inner, order]), _normal(rng, 5, SIZE))


def test_autoregressive_flow_is_tfp_masked_autoregressive_flow(rng: np.random.Generator) -> None:
    weights = [tf.constant(np.triu(rng.normal(size=(SIZE, SIZE)), 1)) for _ in range(2)]

    def conditioner(x, **unused_keywords):
        return 0.2 + tf.tensordot(x, weights[0], 1), tf.tanh(tf.tensordot(x, weights[1], 1))

    theirs = tfb.MaskedAutoregressiveFlow(shift_and_log_scale_fn=conditioner)
    ours = AutoregressiveFlow(conditioner)
    assert isinstance(ours, tfb.MaskedAutoregressiveFlow)
    _assert_same(ours, theirs, _normal(rng, 5, SIZE))
    _assert_same(tfb.Invert(ours), tfb.Invert(theirs), _normal(rng, 5, SIZE))  # IAF


def test_autoregressive_forward_survives_overflow_on_the_way() -> None:
    """alpha_i = 100 (target_{i-1} - x_{i-1}).

    exp overflows until the coordinate before is right.
    """
    target = tf.constant([1.0, 2.0, -3.0, 0.5])

    def conditioner(x):
        alpha = tf.pad(100.0 * (target - x)[..., :-1], [[0, 0], [1, 0]])
        return tf.zeros_like(x), alpha

    bijector = AutoregressiveFlow(conditioner)
    x, log_det = bijector.forward_and_log_det(target[None])
    assert_array_equal(x, target[None])
    assert_array_equal(log_det, [0.0])


def test_autoregressive_forward_stops_when_nothing_changes() -> None:
    passes = []

    def conditioner(x):
        passes.append(1)
        return tf.zeros_like(x), tf.zeros_like(x)

    bijector = AutoregressiveFlow(conditioner)
    assert_array_equal(bijector.forward(tf.ones([2, 50])), np.ones((2, 50)))
    assert len(passes) == 3  # two to see that nothing changes, one for the derivatives


def test_diagonal_affine_is_shift_of_scale(rng: np.random.Generator) -> None:
    shift, log_scale = _normal(rng, SIZE), _normal(rng, SIZE)
    theirs = tfb.Shift(shift)(tfb.Scale(log_scale=log_scale))
    _assert_same(
        DiagonalAffine(shift, log_scale, event_shape=(SIZE,)), theirs, _normal(rng, 5, SIZE)
    )


def test_channelwise_affine_is_shift_of_scale(rng: np.random.Generator) -> None:
    shift, log_scale = _normal(rng, 3), _normal(rng, 3)
    full = [tf.broadcast_to(t, [2, 4, 3]) for t in (shift, log_scale)]
    theirs = tfb.Shift(full[0])(tfb.Scale(log_scale=full[1]))
    _assert_same(
        DiagonalAffine(shift, log_scale, event_shape=(2, 4, 3)), theirs, _normal(rng, 5, 2, 4, 3), 3
    )


@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_permutations_are_tfps(rng: np.random.Generator, size: int) -> None:
    z = _normal(rng, 4, size)
    _assert_same(Reverse(), tfb.Permute(list(range(size))[::-1]), z)
    num_evens = (size + 1) // 2
    order = [i // 2 if i % 2 == 0 else num_evens + i // 2 for i in range(size)]
    _assert_same(Interleave(), tfb.Permute(order), z)
    assert_array_equal(
        Interleave().inverse(tf.range(size)), [*range(0, size, 2), *range(1, size, 2)]
    )


@pytest.mark.parametrize("alpha", [0.05, 1e-6])
def test_logit_scaling_is_a_chain_of_tfps(rng: np.random.Generator, alpha: float) -> None:
    width = tf.constant((1.0 - 2.0 * alpha) / 256.0, tf.float64)
    theirs = tfb.Chain(
        [tfb.Invert(tfb.Shift(tf.constant(alpha, tf.float64))(tfb.Scale(width))), tfb.Sigmoid()]
    )
    ours = PixelScaling(num_levels=256, transform="logit", alpha=alpha, event_ndims=1)
    _assert_same(ours, theirs, _normal(rng, 5, SIZE))


@pytest.mark.parametrize(
    ("transform", "low", "high"), [("unit", 0.0, 1.0), ("symmetric", -1.0, 1.0)]
)
def test_linear_scaling_maps_grey_levels_onto_the_interval(
    rng: np.random.Generator, transform: str, low: float, high: float
) -> None:
    ours = PixelScaling(num_levels=256, transform=transform, alpha=0.05, event_ndims=1)
    assert_allclose(
        ours.inverse(tf.constant([[0.0, 128.0, 256.0]])), [[low, (low + high) / 2, high]]
    )
    scale = tf.constant(256.0 / (high - low), tf.float64)
    theirs = tfb.Scale(scale)(tfb.Shift(tf.constant(-low, tf.float64)))
    _assert_same(ours, theirs, _normal(rng, 5, SIZE))


def test_logit_is_finite_and_precise_at_both_ends() -> None:
    ours = PixelScaling(num_levels=256, transform="logit", alpha=1e-6, event_ndims=1)
    y = np.array([[0.0, 1e-6, 255.99, 256.0]])
    z, log_det = ours.inverse_and_log_det(tf.constant(y, tf.float32))
    p = 1e-6 + (1.0 - 2e-6) * y / 256.0
    assert_allclose(z, np.log(p / (1.0 - p)), rtol=1e-2)
    expected = (np.log((1.0 - 2e-6) / 256.0) - np.log(p) - np.log1p(-p)).sum(-1)
    assert_allclose(log_det, expected, atol=0.1)


def test_zca_is_numpys_matrix_and_slogdet(rng: np.random.Generator) -> None:
    root = rng.normal(size=(SIZE, SIZE))
    matrix, mean = root @ root.T + np.eye(SIZE), rng.normal(size=SIZE)
    ours = ZCAWhitening(
        mean=tf.constant(mean),
        matrix=tf.constant(matrix),
        inverse_matrix=tf.constant(np.linalg.inv(matrix)),
        log_det=tf.constant(np.linalg.slogdet(matrix)[1]),
        event_shape=(1, 2, 3),
    )
    x = rng.normal(size=(4, 1, 2, 3))
    z, log_det = ours.inverse_and_log_det(tf.constant(x))
    assert_allclose(z.numpy().reshape(4, SIZE), (x.reshape(4, SIZE) - mean) @ matrix.T, rtol=1e-10)
    assert_allclose(log_det, np.full(4, np.linalg.slogdet(matrix)[1]))


def test_separable_whitening_is_tfps_kronecker_operator(rng: np.random.Generator) -> None:
    shape = (2, 4, 3)
    matrices = [rng.normal(size=(d, d)) + 3.0 * np.eye(d) for d in shape]
    operator = tf.linalg.LinearOperatorKronecker(
        [tf.linalg.LinearOperatorFullMatrix(matrix) for matrix in matrices]
    )
    theirs = tfb.ScaleMatvecLinearOperator(operator)
    mean, x = rng.normal(size=shape), rng.normal(size=(5, *shape))
    ours = SeparableWhitening(
        mean=tf.constant(mean),
        matrices=[tf.constant(matrix) for matrix in matrices],
        inverse_matrices=[tf.constant(np.linalg.inv(matrix)) for matrix in matrices],
        log_det=operator.log_abs_determinant(),
    )
    z, log_det = ours.inverse_and_log_det(tf.constant(x))
    flat = tf.reshape(tf.constant(x - mean), [5, 24])
    assert_allclose(tf.reshape(z, [5, 24]), theirs.forward(flat), rtol=1e-9)
    assert_allclose(log_det, np.full(5, theirs.forward_log_det_jacobian(flat, 1)), rtol=1e-9)
    assert_allclose(ours.forward_and_log_det(z)[0], x, atol=1e-10)
