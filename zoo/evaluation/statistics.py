"""Means with their standard errors, as `metrics.json` states them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["mean_with_error"]


def mean_with_error(values: np.ndarray) -> dict[str, Any]:
    """{"value": mean, "two_standard_errors": 2 s / sqrt(n)}.

    s is the sample deviation (0 for one row).
    """
    count = len(values)
    deviation = float(np.std(values, ddof=1)) if count > 1 else 0.0
    return {
        "value": round(float(np.mean(values)), 6),
        "two_standard_errors": round(2.0 * deviation / math.sqrt(count), 6),
    }
