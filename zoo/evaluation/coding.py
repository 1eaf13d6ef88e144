"""What the rows take as a compressed file.

compressed_bits_per_dim   8 * bytes / (rows * D) of the file that `zoo compress` makes of them
"""

from __future__ import annotations

from collections.abc import Collection

from zoo.evaluation.task import Measured, Task
from zoo.tasks.compression import compress

__all__ = ["coding_metrics"]


def coding_metrics(task: Task, names: Collection[str]) -> Measured:
    """The size of the rows' file, which was decoded and compared when it was made.

    Raises InvalidInputError for a model without exact masses and codes; MissingExtraError without
    constriction.
    """
    found = compress(task.model, task.rows.x)
    task.report(found.rows, found.rows)
    bits = 8 * len(found.content) / (found.rows * task.model.config.event_size)
    figure = {"value": bits, "bytes": len(found.content), "verbatim_rows": found.verbatim}
    return Measured(dict.fromkeys(names, figure), "all rows as one compressed file, decoded again")
