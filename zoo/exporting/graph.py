"""Signatures as graphs, with or without checks of their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from zoo.core.signature import Signature
from zoo.core.space import Space
from zoo.errors import ExportError

__all__ = ["specifications", "traced"]


def specifications(fields: Mapping[str, Space]) -> list[tf.TensorSpec]:
    """One `tf.TensorSpec` [batch, *shape] per field, in order."""
    return [
        tf.TensorSpec([None, *field.shape], field.dtype, name=name)
        for name, field in fields.items()
    ]


def traced(name: str, signature: Signature, *, checks: bool = True) -> Any:
    """The signature as a `tf.function` of one specification, without XLA, traced.

    checks: whether the graph refuses inputs of other shapes, with NaN or infinity, out of range, or
        with different numbers of rows. LiteRT and ONNX know no such errors.
    Raises ExportError for a signature whose outputs are not those that it declares.
    """

    def call(*tensors: Any) -> dict[str, Any]:
        inputs = dict(zip(signature.inputs, tensors, strict=True))
        if checks:
            inputs = _checked(inputs, signature.inputs)
        outputs = dict(signature.function(**inputs))
        _check_outputs(name, outputs, signature.outputs)
        return {key: tf.identity(value, name=key) for key, value in outputs.items()}

    specification = specifications(signature.inputs)
    function = tf.function(call, input_signature=specification, autograph=False)
    function.get_concrete_function()
    return function


def _checked(inputs: Mapping[str, Any], fields: Mapping[str, Space]) -> dict[str, Any]:
    """The inputs, whose use waits for every check."""
    # The static shape is what the caller promises; a server feeds any. EnsureShape looks again.
    inputs = {
        key: tf.ensure_shape(value, [None, *fields[key].shape]) for key, value in inputs.items()
    }
    checks = [check for key, value in inputs.items() for check in _values(key, value, fields[key])]
    checks += _same_rows(inputs)
    with tf.control_dependencies(checks):
        return {key: tf.identity(value) for key, value in inputs.items()}


def _values(name: str, value: Any, field: Space) -> list[Any]:
    """Assertions that the values are finite and in range."""
    checks = []
    dtype = tf.as_dtype(field.dtype)
    if dtype.is_floating:
        message = f"{name} must be finite numbers; got NaN or infinity."
        checks.append(tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(value)), [message]))
    bounds = []  # (what the value must be, whether it is)
    if field.minimum is not None and field.minimum > dtype.min:
        inside = tf.reduce_all(value >= tf.cast(field.minimum, dtype))
        bounds.append((f"at least {field.minimum:g}", inside))
    if field.maximum is not None and field.maximum < dtype.max:
        inside = tf.reduce_all(value <= tf.cast(field.maximum, dtype))
        bounds.append((f"at most {field.maximum:g}", inside))
    found = [tf.reduce_min(value), tf.reduce_max(value)]
    for words, inside in bounds:
        message = f"{name} must be {words}; got values from, to:"
        checks.append(tf.debugging.Assert(inside, [message, *found]))
    return checks


def _same_rows(inputs: Mapping[str, Any]) -> list[Any]:
    """Assertions that all inputs have as many rows as the first."""
    (first, reference), *others = inputs.items()
    rows = tf.shape(reference)[0]
    return [
        tf.debugging.Assert(
            tf.equal(tf.shape(value)[0], rows),
            [f"{first} and {name} must have one row each; got rows:", rows, tf.shape(value)[0]],
        )
        for name, value in others
    ]


def _check_outputs(name: str, outputs: Mapping[str, Any], fields: Mapping[str, Space]) -> None:
    """Raises ExportError where the outputs are not the declared fields."""
    declared = {k: f"{f.dtype} {[None, *f.shape]}" for k, f in fields.items()}
    found = {k: f"{v.dtype.name} {v.shape.as_list()}" for k, v in outputs.items()}
    compatible = set(outputs) == set(fields) and all(
        value.dtype == tf.as_dtype(fields[key].dtype)
        and value.shape.is_compatible_with([None, *fields[key].shape])
        for key, value in outputs.items()
    )
    if not compatible:
        raise ExportError(f"The signature {name!r} declares {declared} and returns {found}.")
