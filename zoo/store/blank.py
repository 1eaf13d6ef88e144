"""Models built without random starts, for weights that a file gives at once.

Drawing a start takes longer than reading the weights that replace it.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

__all__ = ["blank_weights"]


@contextlib.contextmanager
def blank_weights() -> Iterator[None]:
    """Within the block and this thread, Keras' variables of floats begin as zeros.

    Integers, which hold the states of generators, begin as always. Keras hands TensorFlow a
    function without arguments that holds the variable; where it should hold none, nothing changes.
    """
    import keras
    import tensorflow as tf

    def create(next_creator: Any, **kwargs: Any) -> Any:
        start = kwargs.get("initial_value")
        held = inspect.getclosurevars(start).nonlocals if inspect.isfunction(start) else {}
        variable = held.get("self")
        if isinstance(variable, keras.Variable) and "float" in variable.dtype:
            kwargs["initial_value"] = tf.zeros(variable.shape, variable.dtype)
        return next_creator(**kwargs)

    with tf.variable_creator_scope(create):
        yield
