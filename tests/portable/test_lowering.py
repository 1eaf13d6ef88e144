"""Functions over variables as artefacts: values, precision, and what cannot be lowered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import tensorflow as tf
import tiny_runs

from zoo.core.recipe import variant
from zoo.data import sources
from zoo.errors import ExportError
from zoo.training.portable import exporting, lowering
from zoo.training.run import Run

VECTOR = [tf.TensorSpec([4], tf.float32)]


def lower(
    function: Callable[..., Any],
    variables: Any = (),
    *,
    arguments: Any = VECTOR,
    returns_values: bool = False,
    exact_products: bool = True,
) -> Any:
    artefact = lowering.lower(
        function,
        arguments,
        variables,
        platforms=["cpu", "cuda"],
        exact_products=exact_products,
        returns_values=returns_values,
    )
    with jax.enable_x64(True):
        return jax.export.deserialize(bytearray(artefact.content))


def test_variables_become_arguments_and_their_new_values_results() -> None:
    count, unused = tf.Variable(3, dtype=tf.int64), tf.Variable([1.0, 2.0])
    scale = tf.constant(2.0)  # captured: a constant of the artefact

    def step(x: Any) -> dict[str, Any]:
        count.assign_add(2)
        return {"scaled": scale * x * tf.cast(count, tf.float32), "before": x}

    exported = lower(step, [count, unused], returns_values=True)
    with jax.enable_x64(True):
        values = (np.int64(10), np.array([5.0, 6.0], np.float32))
        result, values = jax.device_get(exported.call(values, np.arange(4, dtype=np.float32)))
    np.testing.assert_array_equal(result["scaled"], 24.0 * np.arange(4))
    np.testing.assert_array_equal(result["before"], np.arange(4))
    assert (values[0], values[0].dtype) == (12, np.int64)
    np.testing.assert_array_equal(values[1], [5.0, 6.0])
    assert count.numpy() == 3  # lowering runs nothing


def test_random_numbers_are_those_of_xla_in_tensorflow() -> None:
    def draw(x: Any) -> list[Any]:
        seed = tf.cast(x[:2], tf.int32)
        return [x + tf.random.stateless_uniform([4], seed), tf.random.stateless_normal([4], seed)]

    x = np.array([3.0, 4.0, 5.0, 6.0], np.float32)
    expected = tf.function(draw, jit_compile=True)(tf.constant(x))
    for found, value in zip(lower(draw).call((), x), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-6)


REFUSED = {
    "stateful random numbers": (
        lambda x: [x + tf.random.normal([4])],
        "unseeded random numbers .RandomStandardNormal.: .* tf.random.stateless_",
    ),
    "a shape that depends on values": (
        lambda x: [tf.reduce_sum(tf.boolean_mask(x, x > 0.0) ** 2)],
        "A shape in the step depends on values",
    ),
    "Python in the step": (
        lambda x: [tf.py_function(lambda y: y, [x], tf.float32)],
        "XLA cannot compile the step: .*EagerPyFunc",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_run_elsewhere_is_refused(case: str) -> None:
    function, reason = REFUSED[case]
    with pytest.raises(ExportError, match=reason):
        lower(function)


def test_a_variable_that_is_no_state_is_refused() -> None:
    forgotten = tf.Variable(1.0, name="forgotten")
    with pytest.raises(ExportError, match=r"touches the variable 'forgotten.*state_variables"):
        lower(lambda x: [x * forgotten], [tf.Variable(2.0)])


@pytest.mark.parametrize("exact", [True, False])
def test_the_precision_of_float32_products_is_in_the_artefact(exact: bool) -> None:
    image = [tf.TensorSpec([1, 4, 4, 1], tf.float32)]
    kernel, matrix = tf.Variable(tf.ones([3, 3, 1, 1])), tf.Variable(tf.ones([4, 4]))

    def products(x: Any) -> list[Any]:
        return [tf.nn.conv2d(x, kernel, 1, "SAME"), tf.linalg.matmul(x[..., 0], matrix)]

    before = tf.config.experimental.tensor_float_32_execution_enabled()
    text = lower(products, [kernel, matrix], arguments=image, exact_products=exact).mlir_module()
    assert tf.config.experimental.tensor_float_32_execution_enabled() == before
    operations = [
        line for line in text.splitlines() if "stablehlo.convolution" in line or "dot" in line
    ]
    assert len(operations) == 2
    assert all(("HIGHEST" in line) == exact for line in operations)


def test_bfloat16_is_in_the_conditioners_and_float32_in_the_density(tmp_path: Any) -> None:
    recipe = variant(
        tiny_runs.RECIPES["realnvp"], conditioner_dtype="mixed_bfloat16", initialization_rows=0
    )
    assert sources.load_arrays is tiny_runs.load_arrays
    run = Run(recipe, tmp_path, "tiny", resume=False, initial_weights="")
    one = exporting._functions(run)["evaluate"]
    text = lower(one.function, one.variables, arguments=one.arguments)
    lines = text.mlir_module().splitlines()
    convolutions = [line for line in lines if "stablehlo.convolution" in line]
    assert convolutions
    assert all("bf16" in line for line in convolutions)
    logarithms = [line for line in lines if "stablehlo.log" in line]
    assert logarithms
    assert all("f32" in line for line in logarithms)
    assert [a.dtype for a in text.out_avals] == [np.float32]
