"""Forked children of a process in which TensorFlow has computed: their calls would never end.

A fork copies one thread. TensorFlow's pools are left behind without theirs, and what is handed to
them waits for ever. `multiprocessing` forks by default on Linux before Python 3.14, and so do
gunicorn's workers after `--preload`. Say spawn, or forkserver, or load the model in the child.
"""

from __future__ import annotations

import os

from zoo.errors import ForkedProcessError

__all__ = ["check", "claim"]

_computes_in: int | None = None  # the process in which the first model was built


def claim() -> None:
    """Told where a model is built, which computes its first weights.

    Raises ForkedProcessError in a child.
    """
    global _computes_in
    check()
    _computes_in = os.getpid()


def check() -> None:
    """Raises ForkedProcessError in a child of the process in which models were built."""
    if _computes_in not in (None, os.getpid()):
        raise ForkedProcessError(
            f"This process was forked from {_computes_in}, in which TensorFlow has computed; its "
            "threads are not here, and a model's call would wait for them for ever. Start "
            'processes by multiprocessing.get_context("spawn"), or load the model in the child '
            "alone (gunicorn without --preload)."
        )
