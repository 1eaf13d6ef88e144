"""Integer couplings: a port to NumPy from the formulas, exactness, straight-through gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from zoo.bijectors.integer import IntegerChain, IntegerCoupling, rounded

SIZES = {2: (3, 2), 3: (2, 2, 1), 5: (1,) * 5}


def _weights(sizes: tuple[int, ...], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(sum(sizes) - d, d)) for d in sizes]


def _coupling(sizes: tuple[int, ...], seed: int) -> IntegerCoupling:
    """t_i(x) = x W_i."""
    shifts = [lambda x, w=w: x @ tf.constant(w, x.dtype) for w in _weights(sizes, seed)]
    return IntegerCoupling(sizes, shifts)


def _numpy_inverse(x: np.ndarray, sizes: tuple[int, ...], seeds: range) -> np.ndarray:
    """Data -> latent, part by part, as the docstring has it."""
    edges = np.cumsum((0, *sizes))
    for seed in seeds:
        y = x.copy()
        for i, w in enumerate(_weights(sizes, seed)):
            begin, end = edges[i], edges[i + 1]
            others = np.concatenate([y[:, :begin], x[:, end:]], axis=1)  # y_<i, x_>i
            y[:, begin:end] = x[:, begin:end] + np.round(others @ w).astype(x.dtype)
        x = y[:, ::-1]
    return x


@pytest.mark.parametrize("parts", SIZES)
@pytest.mark.parametrize("num_couplings", [1, 2])
def test_a_chain_is_its_numpy_port(parts: int, num_couplings: int) -> None:
    sizes = SIZES[parts]
    x = np.random.default_rng(0).integers(-20, 20, (50, 5)).astype("int32")
    chain = IntegerChain([_coupling(sizes, seed) for seed in range(num_couplings)], tf.float64)
    expected = _numpy_inverse(x, sizes, range(num_couplings))
    z = chain.inverse(tf.constant(x))
    assert z.dtype == tf.int32
    assert_array_equal(z, expected)
    assert_array_equal(chain.forward(z), x)
    assert np.abs(expected - x[:, :: (-1) ** num_couplings]).max() > 3  # it did something


@pytest.mark.parametrize("num_couplings", [1, 2])
def test_the_walk_is_both_directions(num_couplings: int) -> None:
    chain = IntegerChain([_coupling(SIZES[3], s) for s in range(num_couplings)], tf.float64)
    x = tf.constant(np.random.default_rng(1).integers(-20, 20, (50, 5)), tf.int32)
    z = chain.inverse(x)
    for walk in (chain.walk, tf.function(chain.walk), tf.function(chain.walk, jit_compile=True)):
        assert_array_equal(walk(x, tf.constant(1)), z)
        assert_array_equal(walk(z, tf.constant(-1)), x)


def test_a_part_without_a_shift_stays() -> None:
    general = _coupling((3, 2), 0)
    zero = [lambda x: tf.zeros([len(x), 3], x.dtype), general.shifts[1]]
    one_sided = IntegerCoupling((3, 2), [None, general.shifts[1]])
    x = tf.constant(np.random.default_rng(2).integers(-9, 9, (40, 5)), tf.int32)
    y = one_sided.inverse(x)
    assert_array_equal(y[:, :3], x[:, :3])
    assert_array_equal(y, IntegerCoupling((3, 2), zero).inverse(x))
    assert_array_equal(one_sided.forward(y), x)


def test_rounding_is_straight_through() -> None:
    t = tf.constant([-1.5, -0.2, 0.5, 0.7, 2.5])
    with tf.GradientTape() as tape:
        tape.watch(t)
        out = rounded(t) * tf.constant([1.0, 2.0, 3.0, 4.0, 5.0])
    assert_array_equal(rounded(t), [-2.0, 0.0, 0.0, 1.0, 2.0])
    assert_array_equal(tape.gradient(out, t), [1.0, 2.0, 3.0, 4.0, 5.0])


def test_the_gradient_is_that_of_the_shift_without_rounding() -> None:
    """Of one coupling, at arguments that no rounding has touched: d y_2 / d W = d t(x_1) / d W."""
    x = np.random.default_rng(3).integers(-9, 9, (40, 5)).astype("float64")
    weight = tf.Variable(_weights((3, 2), 4)[1])
    upstream = tf.constant(np.random.default_rng(5).normal(size=(40, 5)))
    coupling = IntegerCoupling((3, 2), [None, lambda a: tf.tanh(a @ weight)])
    with tf.GradientTape() as tape:
        through = tf.reduce_sum(upstream * coupling.inverse(tf.constant(x), tf.float64))
    with tf.GradientTape() as reference:
        smooth = tf.reduce_sum(upstream[:, 3:] * tf.tanh(tf.constant(x[:, :3]) @ weight))
    gradient = tape.gradient(through, weight)
    assert np.abs(gradient).max() > 0.1
    assert_allclose(gradient, reference.gradient(smooth, weight), rtol=1e-12)
