"""What the rows take as a compressed file.

compressed_bits_per_dim   8 * bytes / (rows * D) of the file that `zoo compress` makes of them;
its error is that of -log2 P(x) over the rows
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import tensorflow as tf

from zoo.evaluation.statistics import mean_with_error
from zoo.evaluation.task import Measured, Task
from zoo.ops.units import bits_per_dim_from_nats
from zoo.tasks.compression import compress

__all__ = ["coding_metrics"]


def coding_metrics(task: Task, names: Collection[str]) -> Measured:
    """The size of the rows' file, which was decoded and compared when it was made.

    Raises InvalidInputError for a model without exact masses and codes; MissingExtraError without
    constriction.
    """
    model, x = task.model, task.rows.x
    found = compress(model, x)
    nats = np.concatenate([model.log_prob(tf.constant(x[part])).numpy() for part in task.parts()])
    size = model.config.event_size
    figure = {
        **mean_with_error(bits_per_dim_from_nats(nats.astype(np.float64), size)),
        "value": 8 * len(found.content) / (found.rows * size),
        "bytes": len(found.content),
        "verbatim_rows": found.verbatim,
    }
    return Measured(dict.fromkeys(names, figure), "all rows as one compressed file, decoded again")
