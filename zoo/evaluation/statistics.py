"""Means with their standard errors, and figures as `metrics.json` rounds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["mean_with_error", "rounded"]


def mean_with_error(values: np.ndarray) -> dict[str, Any]:
    """{"value": mean, "two_standard_errors": 2 s / sqrt(n)}.

    s is the sample deviation (0 for one row).
    """
    count = len(values)
    deviation = float(np.std(values, ddof=1)) if count > 1 else 0.0
    return {
        "value": float(np.mean(values)),
        "two_standard_errors": 2.0 * deviation / math.sqrt(count),
    }


def rounded(figure: Mapping[str, Any], digits: int) -> dict[str, Any]:
    """A metric's entry with its value and error rounded to so many digits behind the point."""
    keys = ("value", "two_standard_errors")
    return {**figure, **{key: round(figure[key], digits) for key in keys if key in figure}}
