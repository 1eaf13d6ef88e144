"""The first rows of what Keras' `fit` is given, which stays as it was: arrays, or batches."""

from __future__ import annotations

import itertools
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from zoo.core.checks import unpacked
from zoo.kinds.class_weights import is_array

__all__ = ["FirstRows", "first_rows"]


class FirstRows(NamedTuple):
    """Rows to measure: x [rows, ...], context or None, weights [rows], all above 0, or None."""

    x: Any
    context: Any
    weights: Any


def first_rows(
    arguments: Mapping[str, Any], count: int, *, conditional: bool
) -> tuple[FirstRows | None, Any]:
    """(at most about `count` rows that count, `x` to hand on) of `fit`'s arguments.

    Of arrays, rows spread evenly over those to train on; of all else the first batches, which a
    generator then gives once more. None where there is nothing to look at before `fit` does.
    Raises InvalidInputError for elements that the model cannot learn from.
    """
    x = arguments.get("x")
    if is_array(x):
        return _of_arrays(arguments, count, conditional=conditional), x
    elements, x = _elements(x)
    parts: list[FirstRows] = []
    total = 0
    for element in elements:
        part = _counting(*unpacked(_whole(element), conditional=conditional))
        if parts and part.x.shape[1:] != parts[0].x.shape[1:]:  # clips of another length
            break
        parts.append(part)
        total += len(part.x)
        if total >= count:
            break
    if not total:
        return None, x
    columns = zip(*parts, strict=True)  # of x, of contexts, of weights
    return FirstRows(*(None if c[0] is None else np.concatenate(c) for c in columns)), x


def _of_arrays(arguments: Mapping[str, Any], count: int, *, conditional: bool) -> FirstRows:
    x: Any = arguments["x"]
    y, weights = arguments.get("y"), arguments.get("sample_weight")
    split = arguments.get("validation_split") or 0.0
    if arguments.get("validation_data") is not None:
        split = 0.0
    data = (x,) if y is None and weights is None else (x, y, weights)
    _, context, weights = unpacked(data, conditional=conditional)
    places = np.arange(int(len(x) * (1.0 - split)))
    if weights is not None:
        weights = np.asarray(weights, np.float32).reshape(len(x), -1)[:, 0]
        places = places[weights[: len(places)] > 0.0]
    if len(places) > count:
        places = places[np.linspace(0, len(places) - 1, count).astype(int)]
    parts = (None if v is None else np.asarray(v)[places] for v in (x, context, weights))
    return FirstRows(*parts)


def _elements(x: Any) -> tuple[Iterator[Any], Any]:
    """(elements of `x`, an `x` that still has them)."""
    if isinstance(x, types.GeneratorType):
        taken: list[Any] = []

        def taking() -> Iterator[Any]:
            for element in x:
                taken.append(element)
                yield element

        def again() -> Iterator[Any]:
            while taken:
                yield taken.pop(0)
            yield from x

        return taking(), again()
    if isinstance(x, keras.utils.PyDataset):
        numbers = itertools.count() if x.num_batches is None else range(x.num_batches)
        return (x[i] for i in numbers), x
    if isinstance(x, Iterable) and not isinstance(x, Iterator | Mapping | str | bytes):
        return iter(x), x
    return iter(()), x


def _whole(element: Any) -> Any:
    """An element on this machine, of one that is divided over the replicas of a strategy."""

    def whole(value: Any) -> Any:
        if not isinstance(value, tf.distribute.DistributedValues):
            return value
        return tf.concat(tf.distribute.get_strategy().experimental_local_results(value), 0)

    return tf.nest.map_structure(whole, element)


def _counting(x: Any, context: Any, weights: Any) -> FirstRows:
    """A batch without the rows of weight 0."""
    x, context = (None if v is None else np.asarray(v) for v in (x, context))
    if weights is None:
        return FirstRows(x, context, None)
    weights = np.asarray(weights, np.float32).reshape(len(x), -1)[:, 0]
    kept = weights > 0.0
    return FirstRows(x[kept], None if context is None else context[kept], weights[kept])
