"""Sample weights of Keras' `fit` and its like, in a form that Keras hands to a step.

Keras drops the weights of rows that have no labels, and does not say so.
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
from zoo.kinds.class_weights import is_array, table_of, weigh_classes

__all__ = ["check_rows", "named", "with_weights"]


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
        weigh_classes(arguments, table_of(classes, labels))
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


def _of_rows(weights: Any, rows: int, what: str) -> np.ndarray:
    values: np.ndarray = checked_weights(np.asarray(weights), rows, np.float32).numpy()
    if not values.any():
        raise InvalidInputError(f"{what} must be above 0 for some row; all {rows} are 0.")
    return values
