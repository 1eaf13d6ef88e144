"""Rows in blocks: the same numbers in the same order, whatever the number of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.ops.row_blocks import in_row_blocks

WAYS = [(1, True), (2, True), (3, False), (5, False)]


@pytest.mark.parametrize(("blocks", "jit_compile"), WAYS)
def test_rows_in_blocks_are_the_rows(blocks: int, jit_compile: bool) -> None:
    model = zoo.create("realnvp", event_shape=(3,), num_couplings=2, hidden_units=(8,))
    for i, variable in enumerate(model.trainable_variables):
        variable.assign(tf.random.stateless_normal(variable.shape, [i, 7]) / 3.0)
    log_prob = in_row_blocks(model.log_prob, blocks, jit_compile=jit_compile)
    decode = in_row_blocks(model.decode, blocks, jit_compile=jit_compile)
    for rows in (7, 3, 1):  # also fewer than blocks
        x = tf.random.stateless_normal([rows, 3], [rows, 1])
        np.testing.assert_allclose(log_prob(x), model.log_prob(x), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(decode(x), model.decode(x), rtol=1e-5, atol=1e-5)


def test_every_block_is_a_call_of_its_own() -> None:
    """And structures come back as they are."""
    traced: list[Any] = []

    def function(x: tf.Tensor) -> dict[str, tf.Tensor]:
        traced.append(x.shape[0])
        mean = tf.reduce_mean(x) + tf.zeros(tf.shape(x)[:1])  # of the block: rows see one another
        return {"mean": mean, "same": x}

    x = tf.range(14.0)[:, tf.newaxis]
    outputs = in_row_blocks(function, 4, jit_compile=False)(x)
    assert traced == [3, 4, 3, 4]
    np.testing.assert_array_equal(outputs["same"], x)
    np.testing.assert_array_equal(outputs["mean"], np.repeat([1.0, 4.5, 8.0, 11.5], traced))


@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_traced_function_need_not_know_its_rows(jit_compile: bool) -> None:
    squares = in_row_blocks(tf.square, 3, jit_compile=jit_compile)
    outer = tf.function(lambda x: squares(x), input_signature=[tf.TensorSpec([None, 2])])
    for rows in (0, 1, 8):
        x = tf.random.stateless_normal([rows, 2], [rows, 2])
        np.testing.assert_array_equal(outer(x), tf.square(x))


def test_gradients_go_through_blocks() -> None:
    cubes = in_row_blocks(lambda x: x**3, 2)
    x = tf.constant([1.0, 2.0, 3.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = cubes(x)
    np.testing.assert_allclose(tape.gradient(y, x), 3.0 * x**2, rtol=1e-6)


@pytest.mark.parametrize("blocks", [0, -1, 1.5, "2", None])
def test_a_number_of_blocks_that_cannot_be_is_refused(blocks: Any) -> None:
    with pytest.raises(ValueError, match=f"at least 1 block, a whole number; got {blocks!r}"):
        in_row_blocks(tf.square, blocks)


def test_rows_may_be_a_list_and_not_a_scalar() -> None:
    squares = in_row_blocks(tf.square, 2)
    np.testing.assert_array_equal(squares([1.0, 2.0, 3.0]), [1.0, 4.0, 9.0])
    with pytest.raises(ValueError, match=r"Expected rows \[batch, ...\]; got a scalar"):
        squares(2.0)
