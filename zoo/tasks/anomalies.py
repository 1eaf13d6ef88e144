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

    A log-density that is NaN, of values which overflow on their way to the latents, counts as -inf.
    p is 1 / (1 + m) at least: level < 1 / (1 + m) flags nothing.

    Raises InvalidInputError without reference rows.
    """
    if len(reference_log_prob) == 0:
        raise InvalidInputError("Expected at least one reference row; got none.")
    nats, reference = (
        np.where(np.isnan(values), -np.inf, np.asarray(values, np.float64))
        for values in (log_prob, reference_log_prob)
    )
    ordered = np.sort(reference)
    below = np.searchsorted(ordered, nats, side="right")
    return (1.0 + below) / (1.0 + len(ordered))
