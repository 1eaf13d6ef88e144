"""A network's function in float64, over the weights that it has at the time of the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = ["in_float64"]


def in_float64(network: Any) -> Callable[[Any], Any]:
    """x -> network(x) of a built layer, computed in float64, dropout off.

    What is rounded afterwards seldom depends on the program then. The weights stay the network's: a
    copy of its layers, whose own weights are never read, computes with the cast values.
    """
    with tf.init_scope():  # outside of any graph that is being traced
        copy = type(network).from_config({**network.get_config(), "dtype": "float64"})
        copy.build_from_config(network.get_build_config())

    def call(x: Any) -> Any:
        pairs = zip(copy.variables, network.variables, strict=True)
        values = {id(own): tf.cast(tf.convert_to_tensor(w), own.dtype) for own, w in pairs}
        trained, others = (
            [values[id(v)] for v in variables]
            for variables in (copy.trainable_variables, copy.non_trainable_variables)
        )
        return copy.stateless_call(trained, others, x)[0]

    return call
