"""Units: nats and bits per dimension."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["bits_per_dim_from_nats"]


def bits_per_dim_from_nats(log_prob: Any, event_size: int) -> Any:
    """-log_prob / (D * log 2),  D = `event_size`.

    log_prob: [...] nats of the data as stored, so that a uniform density over 256 grey levels,
    log_prob = -D log 256, gives 8 bits.   returns: [...] bits per dimension.
    """
    return -log_prob / (event_size * math.log(2.0))
