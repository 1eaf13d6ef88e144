"""Binary masks and autoregressive degrees, in NumPy: small enough to read by eye."""

from __future__ import annotations

import numpy as np

__all__ = ["checkerboard", "hidden_degrees", "made_mask"]


def checkerboard(height: int, width: int, *, even_first: bool = True) -> np.ndarray:
    """b[i, j, 0] = 1 where i + j is even (or odd, if not `even_first`).  RealNVP Sec. 3.4.

    returns: bool [height, width, 1].
    """
    even = (np.add.outer(np.arange(height), np.arange(width)) % 2) == 0
    return (even if even_first else ~even)[..., None]


def hidden_degrees(num_units: int, event_size: int, context_size: int = 0) -> np.ndarray:
    """Degrees of a hidden layer, sorted and spread evenly over 1..D-1.  MADE Sec. 4.1.

    A unit of degree m may depend on the inputs of degree 1..m. Deviation: the paper draws degrees
    at random; sorted ones make every mask block-triangular. With a context, degree 0 is used too
    (units that see the context alone), and so is it for D = 1.
    returns: int [num_units].
    """
    lowest = 0 if context_size or event_size == 1 else 1
    count = max(event_size - lowest, 1)
    return lowest + (np.arange(num_units) * count) // num_units


def made_mask(in_degrees: np.ndarray, out_degrees: np.ndarray, *, strict: bool) -> np.ndarray:
    """M[i, j] = out_degrees[j] >= in_degrees[i], or > if `strict` (the output layer).

    MADE Eq. 12-13.
    returns: bool [len(in_degrees), len(out_degrees)], laid out as a Keras kernel.
    """
    inputs, outputs = in_degrees[:, None], out_degrees[None, :]
    return outputs > inputs if strict else outputs >= inputs
