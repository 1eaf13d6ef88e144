"""Integers in columns, coded by asymmetric numeral systems under a distribution a column.

    bits = sum_ij -log2 q_j(z_ij) + a few words,   q_j = frequencies_j / sum, in 24 bits

The coder is constriction's. Frequencies are whole numbers, so that machines whose floats differ in
the last bit nearly always make the same ones, and `digest` tells where they do not. No symbol has a
frequency of 0.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from zoo import extras

__all__ = ["CODER_VERSION", "decoded", "digest", "encoded", "frequencies"]

CODER_VERSION = 1
_TOTAL = 2.0**22


def frequencies(log_masses: np.ndarray) -> np.ndarray:
    """Whole numbers of at least 1 in proportion to the masses: float64 [columns, symbols].

    log_masses: nats [columns, symbols]; -inf for none.
    """
    shares = np.exp(log_masses - log_masses.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    whole: np.ndarray = np.rint(shares * _TOTAL) + 1.0
    return whole


def digest(table: np.ndarray) -> bytes:
    """Eight bytes that name a table of frequencies."""
    return hashlib.sha256(table.astype("<i4").tobytes()).digest()[:8]


def encoded(symbols: np.ndarray, table: np.ndarray) -> bytes:
    """The code of symbols [rows, columns], integers 0..table.shape[1] - 1.

    Raises MissingExtraError without constriction.
    """
    stream = extras.constriction().stream
    coder = stream.stack.AnsCoder()
    for column in reversed(range(len(table))):  # a stack: the last in is the first out
        values = np.ascontiguousarray(symbols[:, column], np.int32)
        coder.encode_reverse(values, _model(stream, table[column]))
    words: np.ndarray = coder.get_compressed()
    return words.astype("<u4").tobytes()


def decoded(content: bytes, rows: int, table: np.ndarray) -> np.ndarray:
    """The symbols of a code, int32 [rows, columns].

    Raises ValueError for a code of other symbols; MissingExtraError without constriction.
    """
    stream = extras.constriction().stream
    words = np.frombuffer(content, "<u4").astype(np.uint32)
    coder = stream.stack.AnsCoder(words) if len(words) else stream.stack.AnsCoder()
    symbols = np.empty((rows, len(table)), np.int32)
    for column, row in enumerate(table):
        symbols[:, column] = coder.decode(_model(stream, row), rows)
    if not coder.is_empty():
        raise ValueError("symbols are left over")
    return symbols


def _model(stream: Any, row: np.ndarray) -> Any:
    return stream.model.Categorical(row / row.sum(), perfect=False)
