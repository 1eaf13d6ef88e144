"""Rows of a model as data frames: named columns, with the values that its numbers stand for."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo import extras
from zoo.data.frames import frame_of

__all__ = ["as_rows_of", "sample"]


def as_rows_of(model: Any, rows: Any) -> Any:
    """Rows [n, D] of the model's as a data frame.

    Categories have pandas' dtype of them, truth values bool, integers int64, dates datetime64, all
    else float64 of a table of `zoo fit`; rows of plain numbers keep their dtype, under the names
    of the model's columns, else x0, x1, ….
    Raises InvalidInputError for rows of another shape.
    """
    rows = np.asarray(model.checked_data(rows))
    if model.data.columns:
        return frame_of(rows, model.data.columns)
    flat = rows.reshape([len(rows), -1])
    names = model.column_names or [f"x{i}" for i in range(flat.shape[1])]
    return extras.pandas().DataFrame(flat, columns=list(names))


def sample(model: Any, num_samples: int, **options: Any) -> Any:
    """`model.sample(num_samples, **options)` as a data frame. Raises what it raises."""
    return as_rows_of(model, model.sample(num_samples, **options))
