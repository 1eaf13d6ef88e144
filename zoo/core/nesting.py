"""JSON from strangers: how deep it is nested, found before it is parsed."""

from __future__ import annotations

import itertools
import re

__all__ = ["MAX_DEPTH", "depth"]

MAX_DEPTH = 32
"""Of lists and objects in each other, in any document of the zoo's."""

# To the end where it is not closed, so that every quote is looked at once.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # +1 and -1, as int8
_FEW = 10_000  # brackets that are counted without NumPy, whose import takes longer


def depth(document: bytes) -> int:
    """How deeply brackets lie in each other, outside strings."""
    steps = _STRING.sub(b"", document).translate(_STEPS, _NO_BRACKETS)
    if len(steps) <= _FEW:
        signs = (1 if step == 1 else -1 for step in steps)
        return max(itertools.accumulate(signs, initial=0))
    import numpy as np

    return int(np.cumsum(np.frombuffer(steps, np.int8), dtype=np.int32).max(initial=0))
