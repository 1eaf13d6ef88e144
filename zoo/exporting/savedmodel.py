"""A model's signatures as a SavedModel that needs TensorFlow alone.

The object that is saved owns plain `tf.Variable`s and functions, and no Keras object: TensorFlow's
C++ loader does not find the variables of a SavedModel that holds some
(https://github.com/tensorflow/serving/issues/2250).

It is a reusable SavedModel (https://www.tensorflow.org/hub/reusable_saved_models): `variables`,
`trainable_variables`, `regularization_losses`, and `__call__(x[, context], training=False)`, the
model's log-density (of a variational model: its bound) of a batch, differentiable. A model without
a signature of data alone, which only samples, has no `__call__`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from zoo.exporting import graph

if TYPE_CHECKING:
    from zoo.core.signature import Signature
    from zoo.kinds.model import ZooModel

__all__ = ["concrete_functions", "write"]

_SCORED = {"x", "context"}


def write(model: ZooModel, signatures: Mapping[str, Signature], folder: Path) -> None:
    """Writes the SavedModel into the folder; the first signature is `serving_default` as well."""
    functions = concrete_functions(signatures)
    functions["serving_default"] = next(iter(functions.values()))
    root = tf.train.Checkpoint()
    root.variables = [variable.value for variable in model.variables]
    root.trainable_variables = [variable.value for variable in model.trainable_variables]
    root.regularization_losses = []
    scored = [s for s in signatures.values() if "x" in s.inputs and set(s.inputs) <= _SCORED]
    if scored:
        root.__call__ = _callable(model, scored[0])
    tf.saved_model.save(root, str(folder), signatures=functions)


def concrete_functions(
    signatures: Mapping[str, Signature], *, checks: bool = True
) -> dict[str, Any]:
    """name -> the signature's concrete function."""
    return {
        name: graph.traced(name, signature, checks=checks).get_concrete_function()
        for name, signature in signatures.items()
    }


def _callable(model: ZooModel, signature: Signature) -> Any:
    """`__call__(x, context=None, training=False)`, traced for both values of `training`."""
    specification = graph.specifications(signature.inputs)

    def traced(*, training: bool) -> Any:
        function = tf.function(lambda *inputs: model(*inputs, training=training), autograph=False)
        return function.get_concrete_function(*specification)

    # Saving traces `call` once more, which then costs nothing.
    inner = {training: traced(training=training) for training in (False, True)}

    def call(x: Any, context: Any = None, training: bool = False) -> Any:  # noqa: FBT001, FBT002 (its contract)
        return inner[training](*(value for value in (x, context) if value is not None))

    function = tf.function(call, autograph=False)
    for training in inner:
        function.get_concrete_function(*specification, training=training)
    return function
