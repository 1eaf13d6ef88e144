"""What LiteRT and ONNX exports share: which signatures, and the proof that they agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from zoo.errors import ExportError, NotPortableError

if TYPE_CHECKING:
    from zoo.core.signature import Signature
    from zoo.core.space import Space

__all__ = ["TOLERANCE", "check_agreement", "portable_signatures", "random_batch"]

ROWS = 5
TOLERANCE = 1e-4  # of the largest answer; other kernels round in another order
GREY_LEVELS_OFF = 0.05  # part of the grey levels that may be the next one, where rounding decides

Arrays = Mapping[str, np.ndarray]


def portable_signatures(
    name: str, signatures: Mapping[str, Signature], format: str
) -> dict[str, Signature]:
    """The signatures that can leave TensorFlow. Raises NotPortableError where there are none."""
    found = {key: value for key, value in signatures.items() if value.portable}
    if not found:
        raise NotPortableError(
            f"No signature of {name} can be converted to {format}: "
            f"{', '.join(signatures)} need TensorFlow's seeded randomness or state."
        )
    return found


def random_batch(fields: Mapping[str, Space], rows: int, *, seed: int) -> dict[str, np.ndarray]:
    """Rows of random values in every field's range."""
    rng = np.random.default_rng(seed)
    batch = {}
    for key, field in fields.items():
        dtype = tf.as_dtype(field.dtype).as_numpy_dtype
        shape = [rows, *(n or 1 for n in field.shape)]
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            low = limits.min if field.minimum is None else int(field.minimum)
            high = limits.max if field.maximum is None else int(field.maximum)
            batch[key] = rng.integers(low, high, shape, dtype, endpoint=True)
        else:
            below = -np.inf if field.minimum is None else field.minimum
            above = np.inf if field.maximum is None else field.maximum
            batch[key] = rng.normal(size=shape).clip(below, above).astype(dtype)
    return batch


def check_agreement(
    signatures: Mapping[str, Signature],
    functions: Mapping[str, Any],
    run: Callable[[str, Arrays], Arrays],
    format: str,
) -> None:
    """Runs every signature in its new runtime, and in TensorFlow, on random rows.

    functions: name -> TensorFlow's function of keyword tensors.
    run: (name, inputs) -> the runtime's outputs.
    Raises ExportError where they differ.
    """
    for name, signature in signatures.items():
        batch = random_batch(signature.inputs, ROWS, seed=0)
        expected = functions[name](**{key: tf.constant(value) for key, value in batch.items()})
        actual = run(name, batch)
        for key, value in expected.items():
            error = _error(actual[key], value.numpy())
            if not error <= 1.0:
                raise ExportError(
                    f"{name} in {format} does not answer as in TensorFlow: {key} differs by "
                    f"{error:.2g} times what rounding explains. Nothing was written."
                )


def _error(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference in units of the tolerance; infinite for another shape or dtype."""
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return float("inf")
    difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    if np.issubdtype(expected.dtype, np.integer):
        return float(max(difference.max(), (difference > 0).mean() / GREY_LEVELS_OFF))
    return float(difference.max() / (TOLERANCE * max(1.0, np.abs(expected).max())))
