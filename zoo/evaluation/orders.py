"""What models of rows in any order say of the same rows under several orders.

    log_prob_orders    nats under an order, the mean over 10 uniform orders: of the rows, with
                       `sd_over_orders`, the deviation of the orders' own means
    log_prob_mixture   nats of the equal mixture of these orders, never below that mean
    order_spread       `sd_over_orders` on its own

The orders are named by the evaluation's seed, the same ones for every model of as many features.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.evaluation.statistics import mean_with_error
from zoo.evaluation.task import Measured, Task

__all__ = ["ORDERS", "order_metrics"]

ORDERS = 10


def order_metrics(task: Task, names: Collection[str]) -> Measured:
    """The named metrics on all rows, a batch at a time."""
    model, batches = task.model, []
    orders = model.drawn_orders(ORDERS, task.seed)
    for part in task.parts():
        x = tf.constant(task.rows.x[part])
        batches.append([model.ordered_log_prob(x, order).numpy() for order in orders])
    nats = np.concatenate(batches, axis=1).astype(np.float64)  # [orders, rows]
    spread = float(np.std(nats.mean(axis=1), ddof=1))
    mixture = np.logaddexp.reduce(nats, axis=0) - math.log(ORDERS)
    figures: dict[str, Any] = {
        "log_prob_orders": {
            **mean_with_error(nats.mean(axis=0)),
            "orders": ORDERS,
            "sd_over_orders": round(spread, 6),
        },
        "log_prob_mixture": {**mean_with_error(mixture), "orders": ORDERS},
        # Of a deviation from n numbers, by their normality.
        "order_spread": {
            "value": spread,
            "two_standard_errors": 2.0 * spread / math.sqrt(2.0 * (ORDERS - 1)),
        },
    }
    words = f"{ORDERS} uniform orders of the features, seed {task.seed}"
    return Measured({name: figures[name] for name in names}, words)
