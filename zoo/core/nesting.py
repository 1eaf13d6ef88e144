"""JSON from strangers: how deep it is nested, found before it is parsed."""

from __future__ import annotations

import re

import numpy as np

__all__ = ["MAX_DEPTH", "depth"]

MAX_DEPTH = 32
"""Of lists and objects in each other, in any document of the zoo's."""

# To the end where it is not closed, so that every quote is looked at once.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # +1 and -1, as int8


def depth(document: bytes) -> int:
    """How deeply brackets lie in each other, outside strings."""
    brackets = _STRING.sub(b"", document).translate(None, _NO_BRACKETS)
    steps = np.frombuffer(brackets.translate(_STEPS), np.int8)
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))
