"""Models built without random starts, for weights that a file gives at once.

Drawing a start takes longer than reading the weights that replace it.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["blank_weights", "variable_of"]


@contextlib.contextmanager
def blank_weights() -> Iterator[None]:
    """Within the block and this thread, Keras' variables of floats begin as zeros.

    Integers, which hold the states of generators, begin as always.
    """
    import tensorflow as tf

    def create(next_creator: Any, **kwargs: Any) -> Any:
        variable = variable_of(kwargs)
        if variable is not None and "float" in variable.dtype:
            kwargs["initial_value"] = tf.zeros(variable.shape, variable.dtype)
        return next_creator(**kwargs)

    with tf.variable_creator_scope(create):
        yield


def variable_of(kwargs: Mapping[str, Any]) -> Any:
    """The Keras variable that TensorFlow is to make by these arguments; None for another's.

    Keras hands TensorFlow a function without arguments that holds the variable.
    """
    import keras

    start = kwargs.get("initial_value")
    held = inspect.getclosurevars(start).nonlocals if inspect.isfunction(start) else {}
    variable = held.get("self")
    return variable if isinstance(variable, keras.Variable) else None
