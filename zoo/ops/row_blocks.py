"""Functions of rows, computed for several parts of their rows at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = ["in_row_blocks"]


def in_row_blocks(
    function: Callable[..., Any], blocks: int, *, jit_compile: bool = True, whole: int = 0
) -> Callable[..., Any]:
    """`function` compiled, with its rows in `blocks` parts that are computed side by side.

        log_prob = in_row_blocks(model.log_prob, 2)
        log_prob(x)                                # [batch], as of model.log_prob

    y = concat(function(x_1), ..., function(x_blocks)) of x = concat(x_1, ..., x_blocks), parts of
    equal length or one apart. Rows must not depend on one another, as those of `log_prob`,
    `bits_per_dim`, `encode` and `decode` do not.

    On a CPU no core then waits for another within an operation, and a part's activations may fit
    its cache. What a function computes on its weights alone (masked networks) is done once a part.
    Models' own calls come to it by themselves (`zoo.kinds.compiled`); TensorFlow needs no setting.

    function: One or several tensors [batch, ...] -> tensors [batch, ...] in any structure.
    blocks: At least 1, which compiles `function` and no more. Of fewer rows each is a part; inside
        a function that was traced for any number of rows, some parts are then empty.
    jit_compile: By XLA, each part a program of its own; else as TensorFlow's graph.
    whole: How many of the last arguments have no rows: every part gets them as they are.

    Raises ValueError for a number of blocks that is no whole one of at least 1, and the compiled
    function, where there are several, for a scalar.
    """
    if not isinstance(blocks, int) or blocks < 1:
        raise ValueError(f"Expected at least 1 block, a whole number; got {blocks!r}.")
    compiled = tf.function(function, autograph=False, jit_compile=True) if jit_compile else function
    if blocks == 1:
        return compiled if jit_compile else tf.function(function, autograph=False)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def side_by_side(*arguments: Any) -> Any:
        tensors = [tf.convert_to_tensor(argument) for argument in arguments]
        batches, others = tensors[: len(tensors) - whole], tensors[len(tensors) - whole :]
        if any(x.shape.rank == 0 for x in batches):
            raise ValueError("Expected rows [batch, ...]; got a scalar.")
        rows, parts = batches[0].shape[0], blocks
        if rows is None:
            rows = tf.shape(batches[0])[0]
        else:
            parts = max(1, min(blocks, rows))  # models refuse batches without rows
        ends = [rows * part // parts for part in range(parts + 1)]
        sizes = [end - start for start, end in itertools.pairwise(ends)]
        split = zip(*(tf.split(x, sizes, num=parts) for x in batches), strict=True)
        outputs = [compiled(*part, *others) for part in split]
        return tf.nest.map_structure(lambda *values: tf.concat(values, 0), *outputs)

    return side_by_side
