"""Class weights of Keras' `fit`, as sample weights of the rows with these labels.

Keras counts classes by an argmax where labels are rows of several numbers, and does not say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.errors import InvalidInputError

__all__ = ["is_array", "table_of", "weigh_classes"]


def is_array(x: Any) -> bool:
    """Whether Keras takes `fit`'s x for an array of rows."""
    return (hasattr(x, "shape") and hasattr(x, "__len__")) or isinstance(x, list)


def table_of(classes: Any, labels: int) -> np.ndarray:
    """The weights of labels 0, 1, ...: float32 [labels].

    Raises InvalidInputError for what is no table of labels, and weights that cannot count.
    """
    if not labels:
        raise InvalidInputError(
            "class_weight is of labels, and this model is unconditional: give sample_weight."
        )
    known = isinstance(classes, Mapping) and all(
        isinstance(key, int | np.integer) and 0 <= key < labels for key in classes
    )
    if not known:
        raise InvalidInputError(
            f"class_weight must be {{label: weight}} of labels 0..{labels - 1}; got {classes!r}."
        )
    table = np.ones(labels, np.float32)
    for label, weight in classes.items():
        table[label] = weight
    if not (np.isfinite(table).all() and (table >= 0.0).all() and table.any()):
        raise InvalidInputError(
            f"Class weights must be finite, at least 0 and not all 0; got {classes!r}."
        )
    return table


def weigh_classes(arguments: dict[str, Any], table: np.ndarray) -> None:
    """Gives the arguments the sample weights of their rows' labels.

    Raises InvalidInputError for rows without labels, and for sample weights beside class weights.
    """
    if arguments.get("sample_weight") is not None:
        raise InvalidInputError("Give sample_weight or class_weight, not both.")
    x, y = arguments.get("x"), arguments.get("y")
    if isinstance(x, tf.data.Dataset):
        specification = x.element_spec
        if not _is_labelled(specification):
            raise InvalidInputError(
                "class_weight needs elements (x, labels), labels [batch]; got "
                f"{specification}. Give (x, context, weights) instead."
            )
        weights = tf.constant(table)
        arguments["x"] = x.map(lambda rows, label: (rows, label, tf.gather(weights, label)))
        return
    if y is None or not is_array(x):
        raise InvalidInputError("class_weight needs labels: give y, or elements (x, labels).")
    values = np.asarray(y)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InvalidInputError(
            f"class_weight is of labels, integers [batch]; got {values.dtype} "
            f"{list(values.shape)}: give sample_weight."
        )
    if values.size and not (values.min() >= 0 and values.max() < len(table)):
        raise InvalidInputError(
            f"Labels must be in 0..{len(table) - 1}; got {values.min()}..{values.max()}."
        )
    arguments["sample_weight"] = table[values]


def _is_labelled(specification: Any) -> bool:
    return (
        isinstance(specification, tuple)
        and len(specification) == 2
        and isinstance(specification[1], tf.TensorSpec)
        and specification[1].shape.rank == 1
        and specification[1].dtype.is_integer
    )
