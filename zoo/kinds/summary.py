"""What a model says of itself in a line, and the shapes in Keras' `summary`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from zoo.core.capabilities import Scores

__all__ = ["described", "layer_shapes", "shown_shapes"]


def described(model: Any) -> str:
    """<NICE nice_mnist, version 1: uint8 [28, 28, 1], 19,158,352 parameters, log_prob …>."""
    data, context, release = model.data, model.context, model.release
    levels = f" below {context.levels}" if context is not None and context.levels else ""
    condition = "" if context is None else f" given {context.dtype} {list(context.shape)}{levels}"
    facts = [
        f"{data.dtype} {list(data.shape)}{condition}",
        f"{model.count_params():,} parameters",
        *([release.figure] if release is not None and release.figure else []),
    ]
    name = "" if release is None else f" {release.name}"
    return f"<{type(model).__name__}{name}: {', '.join(facts)}>"


def layer_shapes(model: Any) -> dict[str, Any]:
    """layer name -> the shape that it gives, None for the batch.

    Of layers that are called while a density is computed, that of the call; of those that hold
    parameters of a bijector, the shapes of these.
    """
    shapes: dict[str, Any] = {}
    for layer in model.layers:
        held = list(dict.fromkeys(tuple(variable.shape) for variable in layer.variables))
        shapes[layer.name] = held[0] if len(held) == 1 else held
    with contextlib.ExitStack() as stack:
        for layer in model.layers:
            stack.enter_context(_recorded(layer, shapes))
        if isinstance(model, Scores):
            _trace(model)
    return shapes


def _trace(model: Any) -> None:
    """Builds the graph of a score, of which nothing is computed."""
    spaces = [space for space in (model.data, model.context) if space is not None]
    rows = [tf.TensorSpec([None, *space.shape], space.dtype) for space in spaces]

    def score(x: Any, context: Any = None) -> Any:
        return model.score(model.checked_data(x), context, tf.constant([0, 0]))

    tf.function(score, autograph=False).get_concrete_function(*rows)


@contextlib.contextmanager
def _recorded(layer: Any, shapes: dict[str, Any]) -> Iterator[None]:
    call = layer.call

    def recording(*args: Any, **kwargs: Any) -> Any:
        given = call(*args, **kwargs)
        parts = [tuple(t.shape) for t in tf.nest.flatten(given)]
        shapes[layer.name] = parts[0] if len(parts) == 1 else parts
        return given

    object.__setattr__(layer, "call", recording)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")


def _given(shape: Any, input_shape: Any) -> Any:
    del input_shape
    return shape


@contextlib.contextmanager
def shown_shapes(model: Any) -> Iterator[None]:
    """Makes Keras' summary show `layer_shapes`, where it has "?" for layers of a subclass."""
    changed = []
    for name, shape in layer_shapes(model).items():
        layer = model.get_layer(name)
        if shape == []:  # neither called nor with parameters
            continue
        changed.append((layer, layer._build_shapes_dict))
        layer._build_shapes_dict = {"input_shape": None}
        object.__setattr__(layer, "compute_output_shape", functools.partial(_given, shape))
    try:
        yield
    finally:
        for layer, kept in changed:
            layer._build_shapes_dict = kept
            object.__delattr__(layer, "compute_output_shape")
