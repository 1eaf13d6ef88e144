"""Keras' backend: the models are TensorFlow's, and say so before anything else fails."""

from __future__ import annotations

import os
import sys

from zoo.errors import BackendError

__all__ = ["require_tensorflow"]


def require_tensorflow() -> None:
    """Raises BackendError where Keras runs, or is about to run, on JAX, PyTorch or another one."""
    named = os.environ.get("KERAS_BACKEND", "")
    if named and "keras" not in sys.modules:  # which may not even be importable
        backend = named
    else:
        import keras

        backend = keras.config.backend()
    if backend == "tensorflow":
        return
    by_variable = named == backend
    where = f"KERAS_BACKEND={backend}" if by_variable else f'keras.json: "backend": "{backend}"'
    mend = "unset KERAS_BACKEND" if by_variable else "export KERAS_BACKEND=tensorflow"
    raise BackendError(
        f"The zoo's models are TensorFlow's, and Keras is to run on {backend} ({where}). Before "
        f"Python starts: {mend}; or, before anything imports Keras: "
        'os.environ["KERAS_BACKEND"] = "tensorflow".'
    )
