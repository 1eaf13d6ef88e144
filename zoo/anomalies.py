"""How unusual a row is: conformal p-values of its log-density.

    p(x) = (1 + #{reference rows r: log p(r) <= log p(x)}) / (1 + number of reference rows)

For a row of the same population as the reference rows, which the model was not trained on, p falls
below a level with a probability of at most that level, whatever the density is worth (Vovk et al.
2005; Laxhammar & Falkman 2010). What a poor density costs is power, never false alarms.
"""

from __future__ import annotations

import numpy as np

from zoo.errors import InvalidInputError

__all__ = ["p_values"]


def p_values(log_prob: np.ndarray, reference_log_prob: np.ndarray) -> np.ndarray:
    """p of each of the rows' log-densities [n] among those of the reference rows [m]: float64 [n].

    Raises InvalidInputError without reference rows.
    """
    if len(reference_log_prob) == 0:
        raise InvalidInputError("Expected at least one reference row; got none.")
    ordered = np.sort(np.asarray(reference_log_prob, np.float64))
    below = np.searchsorted(ordered, np.asarray(log_prob, np.float64), side="right")
    return (1.0 + below) / (1.0 + len(ordered))
