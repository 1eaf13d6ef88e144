"""Sample and class weights of Keras' `fit` and its like, in a form that Keras hands to a step.

Keras drops the weights of rows that have no labels, and counts classes by an argmax where labels
are rows of several numbers: neither says so.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.core.checks import WEIGHTS_ALONE, checked_weights, refuse_mask
from zoo.core.row_checks import check_finite
from zoo.errors import InvalidInputError

__all__ = ["check_rows", "is_array", "named", "with_weights"]


def named(method: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call of Keras' method, by name. Raises TypeError as a call would."""
    names = list(inspect.signature(method).parameters)[1:]
    if len(args) > len(names) or set(names[: len(args)]) & kwargs.keys():
        raise TypeError(f"{method.__name__}() got too many arguments, or one of them twice.")
    return {**dict(zip(names, args, strict=False)), **kwargs}


def with_weights(arguments: dict[str, Any], *, labels: int) -> dict[str, Any]:
    """The arguments, with weights where Keras does not lose them.

    labels: of the model, 0 for none.   Raises InvalidInputError for weights that cannot count.
    """
    arguments = dict(arguments)
    classes = arguments.pop("class_weight", None)
    if classes is not None:
        _weigh_classes(arguments, _table(classes, labels))
    weights = arguments.get("sample_weight")
    x: Any = arguments.get("x")
    if weights is not None:
        if not is_array(x):
            raise InvalidInputError(
                "sample_weight goes with arrays; a dataset's elements hold their weights: "
                "(x, None, weights), or (x, context, weights)."
            )
        weights = _of_rows(weights, len(x), "sample_weight")
        arguments["sample_weight"] = weights
        if arguments.get("y") is None:
            arguments.update(y={WEIGHTS_ALONE: weights}, sample_weight=None)
    else:
        arguments["x"] = _without_none(x)
    validation = _without_none(arguments.get("validation_data"))
    if validation is not None:
        arguments["validation_data"] = validation
    if isinstance(validation, tuple | list) and len(validation) == 3 and validation[2] is not None:
        rows, context, weights = validation
        weights = _of_rows(weights, len(rows), "The sample weights of validation_data")
        whole = (rows, context, weights)
        arguments["validation_data"] = (
            (rows, {WEIGHTS_ALONE: weights}) if context is None else whole
        )
    return arguments


def check_rows(arguments: Mapping[str, Any], *, may_miss: bool = False) -> None:
    """Raises InvalidInputError, with row and column, for NaN and infinity in arrays.

    arguments: of `with_weights`.   may_miss: NaN is a missing cell, and passes.
    Warns of a batch_size above the number of rows.
    """
    x: Any = arguments.get("x")
    validation: Any = arguments.get("validation_data")
    if not isinstance(validation, tuple | list):
        validation = (validation,)
    parts = [("rows", x), ("contexts of the rows", arguments.get("y"))]
    parts += zip(("validation rows", "contexts of the validation rows"), validation, strict=False)
    for called, values in parts:
        if is_array(values):
            check_finite(np.asarray(values), called, InvalidInputError, may_miss=may_miss)
    size = arguments.get("batch_size")
    if size is not None and is_array(x) and size > len(x):
        warnings.warn(
            f"batch_size {size:,} is larger than the {len(x):,} rows there are: one step an epoch.",
            RuntimeWarning,
            stacklevel=4,
        )


def _without_none(elements: Any) -> Any:
    """A dataset of (x, None, weights) in a form that Keras takes; others as they are."""
    if isinstance(elements, keras.utils.PyDataset):
        return _Elements(elements)
    if not isinstance(elements, tf.data.Dataset):
        return elements
    found = elements.element_spec
    if not (
        isinstance(found, tuple) and len(found) == 3 and isinstance(found[1], tf.NoneTensorSpec)
    ):
        return elements
    return elements.map(lambda x, _, weights: (x, {WEIGHTS_ALONE: weights}))


class _Elements(keras.utils.PyDataset):
    """The elements of a PyDataset, (x, None, weights) in a form that Keras takes, masks refused."""

    def __init__(self, elements: keras.utils.PyDataset) -> None:
        super().__init__(
            workers=elements.workers,
            use_multiprocessing=elements.use_multiprocessing,
            max_queue_size=elements.max_queue_size,
        )
        self.elements = elements

    @property
    def num_batches(self) -> int | None:
        """Of the elements."""
        batches: int | None = self.elements.num_batches
        return batches

    def __getitem__(self, index: int) -> Any:
        element = self.elements[index]
        for part in element if isinstance(element, tuple) else (element,):
            refuse_mask(part, f"Batch {index}")
        if isinstance(element, tuple) and len(element) == 3 and element[1] is None:
            return element[0], {WEIGHTS_ALONE: element[2]}
        return element

    def on_epoch_begin(self) -> None:
        """Of the elements."""
        self.elements.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Of the elements."""
        self.elements.on_epoch_end()


def is_array(x: Any) -> bool:
    """Whether Keras takes `fit`'s x for an array of rows."""
    return (hasattr(x, "shape") and hasattr(x, "__len__")) or isinstance(x, list)


def _of_rows(weights: Any, rows: int, what: str) -> np.ndarray:
    values: np.ndarray = checked_weights(np.asarray(weights), rows, np.float32).numpy()
    if not values.any():
        raise InvalidInputError(f"{what} must be above 0 for some row; all {rows} are 0.")
    return values


def _table(classes: Any, labels: int) -> np.ndarray:
    """The weights of labels 0, 1, ...: float32 [labels]."""
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


def _weigh_classes(arguments: dict[str, Any], table: np.ndarray) -> None:
    """Gives the arguments the sample weights of their rows' labels."""
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
