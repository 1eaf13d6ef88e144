"""What `fit` measures on rows: a fresh model's start, and the moments of batch norm."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from zoo.core.row_checks import warn_of_columns
from zoo.kinds.first_rows import FirstRows, first_rows
from zoo.ops.row_weights import rows_weighted

__all__ = ["small_weights", "started"]

_LOGGER = logging.getLogger("zoo")
_SMALL = 1024  # numbers of a weight that is looked at


def small_weights(model: Any) -> list[np.ndarray]:
    """Biases, norms and the like: what no training leaves as it was."""
    return [w.numpy() for w in model.weights if np.prod(w.shape, dtype=int) <= _SMALL]


@contextlib.contextmanager
def started(model: Any, arguments: Mapping[str, Any], *, adapt: bool) -> Iterator[dict[str, Any]]:
    """`fit`'s arguments, the model adapted to the first of their rows if it is fresh.

    A callback sets batch norm's moments to those of these rows before every validation and at the
    end of every epoch: running ones lag behind the weights. A model that was trained before keeps
    its running ones where these rows are too few to replace them. Where `fit` is refused before
    its first step, a fresh model still is.
    """
    arguments = dict(arguments)
    adapt = adapt and model.is_fresh and model.objective.learns_from_rows
    compiled = getattr(model, "optimizer", None) is not None
    if not compiled or not (adapt or model.has_batch_norm):
        yield arguments
        return
    steps = model.optimizer.iterations.numpy()
    try:
        conditional = model.context is not None
        rows, arguments["x"] = first_rows(arguments, model.rows_to_start, conditional=conditional)
        if rows is not None and adapt:
            _adapt(model, rows, names=_columns(arguments["x"]))
        if rows is not None and model.has_batch_norm and (adapt or _suffice(model, rows)):
            arguments["callbacks"] = _with(Moments(rows), arguments.get("callbacks"))
        yield arguments
    except BaseException:
        if adapt and model.optimizer.iterations.numpy() == steps:
            model.note_start()
        raise


def _adapt(model: Any, rows: FirstRows, *, names: list[str] | None) -> None:
    x = np.asarray(rows.x)
    if "float" in model.data.dtype and x.dtype.kind in "fiu":
        with np.errstate(over="ignore"):  # of infinities `adapt` tells
            x = x.astype(model.data.dtype)
        warn_of_columns(x, "rows to fit", names=names, stacklevel=6)
    with rows_weighted(rows.weights):
        model.adapt(x, rows.context)
    _LOGGER.info(
        "%s starts from its data: whitening and norms fitted to %d rows.", model.name, len(x)
    )


def _suffice(model: Any, rows: FirstRows) -> bool:
    """Whether moments of these rows say more than running ones: ten rows a dimension, or all."""
    needed = min(10 * model.config.event_size, model.rows_to_start)
    return len(rows.x) >= needed


def _columns(x: Any) -> list[str] | None:
    """The names of a table's columns, of those that have them."""
    names = getattr(x, "columns", None)
    return None if names is None else [str(name) for name in names]


def _with(first: keras.callbacks.Callback, others: Any) -> Any:
    """The callbacks, one before all others, which then see what it did."""
    if isinstance(others, keras.callbacks.CallbackList):
        first.set_model(others.model)
        others.callbacks.insert(0, first)
        return others
    listed = others if isinstance(others, list | tuple) else [] if others is None else [others]
    return [first, *listed]


class Moments(keras.callbacks.Callback):
    """Sets the moments of batch norm to those of some rows, layer by layer."""

    def __init__(self, rows: FirstRows) -> None:
        super().__init__()
        self.rows = rows
        self.measured_at = -1

    def _measure(self) -> None:
        step = int(self.model.optimizer.iterations.numpy())
        if step == self.measured_at:
            return
        self.measured_at = step
        with rows_weighted(self.rows.weights):
            self.model.adapt_batch_norm(self.rows.x, self.rows.context)

    def on_test_begin(self, logs: Any = None) -> None:
        """Before a validation."""
        del logs
        self._measure()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Before any other callback saves the model."""
        del epoch, logs
        self._measure()
