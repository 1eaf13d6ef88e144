"""How a model's calls are computed: as TensorFlow's graph, or by XLA, one block of rows a core.

A graph is traced once for any number of rows. XLA takes half to nine tenths of its time on dense
networks, and seconds to compile for every number of rows. So a number of rows is computed by the
graph until that has taken, by an estimate, as long as compiling would: whoever calls once waits for
no compiler, whoever calls often has the fast program, and nobody pays more than twice the best
choice in hindsight. Estimates are of sizes alone, no clock: the same calls are computed in the same
way again. Results differ by rounding.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from zoo.networks import blockwise
from zoo.ops.row_blocks import in_row_blocks

__all__ = [
    "FIT_COMPILING_SECONDS",
    "SLOW_PASSES",
    "Calls",
    "fit_seconds",
    "suits_xla",
    "traced_once",
]

# Of two cores of a server; another machine's figures differ by small factors, and so does the rule.
SECONDS_A_WEIGHT = 2e-11  # of a row that passes a weight of a dense network once
SECONDS_AN_OPERATION = 5e-6  # of a graph
COMPILING_SECONDS = 0.5  # of any program, and for each operation:
COMPILING_SECONDS_AN_OPERATION = 5e-4
SLOW_PASSES = 4  # of the weights, where an autoregressive flow is inverted
STEP_SECONDS = 3e-3  # of a training step of no work
UPDATE_SECONDS_A_WEIGHT = 4e-9  # of Adam and the gradient's norm
FIT_COMPILING_SECONDS = 4.0
UNKNOWN_STEPS, UNKNOWN_ROWS = 1000, 100
CHUNK, LARGEST = 2048, 4096  # rows: larger batches are cut into chunks
BLOCK_ROWS = 64  # that a block has at least
MOST_SIZES = 4  # numbers of rows that a function is compiled for


def suits_xla(weights: Sequence[Any], conditioner_dtype: str) -> bool:
    """Whether networks of these weights are faster by XLA, on a CPU.

    Dense ones in full precision are. Convolutions and bfloat16 are not: TensorFlow's graph has
    oneDNN's kernels for them. With an accelerator Keras' own choice stands.
    """
    dense = all(len(weight.shape) < 3 for weight in weights)
    return dense and not conditioner_dtype and not tf.config.list_physical_devices("GPU")


def fit_seconds(arguments: Mapping[str, Any], weights: int) -> float:
    """What Keras' `fit` of these arguments takes as a graph, by estimate: 0 without steps.

    A step is three times a density's products and a few passes over the weights. Datasets that do
    not tell their sizes are taken for `UNKNOWN_STEPS` of `UNKNOWN_ROWS`.
    """
    x: Any = arguments.get("x")
    rows, steps = int(arguments.get("batch_size") or 32), UNKNOWN_STEPS
    if isinstance(x, tf.data.Dataset):
        leading = [
            spec.shape[:1].as_list()
            for spec in tf.nest.flatten(x.element_spec)
            if isinstance(spec, tf.TensorSpec) and spec.shape.rank
        ]
        rows = (leading and leading[0][0]) or UNKNOWN_ROWS
        found = int(x.cardinality())
        steps = found if found >= 0 else UNKNOWN_STEPS
    elif hasattr(x, "num_batches"):
        rows, steps = UNKNOWN_ROWS, x.num_batches or UNKNOWN_STEPS
    elif hasattr(x, "__len__"):
        steps = -(-len(x) // rows)
    steps = arguments.get("steps_per_epoch") or steps
    epochs = int(arguments.get("epochs", 1)) - int(arguments.get("initial_epoch", 0))
    step = STEP_SECONDS + weights * (3.0 * SECONDS_A_WEIGHT * rows + UPDATE_SECONDS_A_WEIGHT)
    return max(0, epochs) * int(steps) * step


class Calls:
    """function(**arrays) of rows, as a graph or by XLA: see the module.

        calls = Calls(model.score, {"x": spec, "seed": spec}, {"context": None}, weights=10**6)
        calls([x, seed])

    signature: by argument, a batch each [None, ...] but for `seed`, which comes last.
    constants: further arguments.   weights: how many a row passes, mostly those of the model, some
    of them several times; 0 for the graph alone.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        signature: Mapping[str, tf.TensorSpec],
        constants: Mapping[str, Any],
        *,
        weights: int,
    ) -> None:
        names, specs = list(signature), list(signature.values())

        def in_a_loop(*values: Any) -> Any:
            with blockwise.in_a_loop():
                return function(**dict(zip(names, values, strict=True)), **constants)

        self._graph = traced_once(in_a_loop, specs)
        self._weights = weights
        self._whole = sum(name == "seed" for name in names)
        self._function, self._specs = in_a_loop, specs
        self._programs: dict[int, Callable[..., Any]] = {}  # by number of blocks
        self._spent: dict[int, float] = defaultdict(float)  # seconds, by number of rows
        self._compiled: set[int] = set()  # numbers of rows

    def __call__(self, values: Sequence[Any]) -> Any:
        """Of arrays in the order of the signature."""
        rows = values[0].shape[0]
        if not self._weights:
            return self._graph(*values)
        if rows <= LARGEST:
            return self._by_xla(values) if self._pays(rows) else self._graph(*values)
        chunks = rows // CHUNK
        if not self._pays(CHUNK, chunks):
            return self._graph(*values)
        batches, others = self._split(values)
        parts = [
            self._by_xla([*(x[i * CHUNK : (i + 1) * CHUNK] for x in batches), *others])
            for i in range(chunks)
        ]
        if rows % CHUNK:
            parts.append(self._graph(*(x[chunks * CHUNK :] for x in batches), *others))
        return tf.nest.map_structure(lambda *outputs: tf.concat(outputs, 0), *parts)

    def _split(self, values: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        """(batches, the others)."""
        return values[: len(values) - self._whole], values[len(values) - self._whole :]

    def _pays(self, rows: int, times: int = 1) -> bool:
        """Whether a batch of so many rows, once or several times more, is computed by XLA."""
        if rows in self._compiled:
            return True
        if len(self._compiled) == MOST_SIZES:
            return False
        operations = _operations(self._graph)
        once = SECONDS_AN_OPERATION * operations + SECONDS_A_WEIGHT * self._weights * rows
        compiling = COMPILING_SECONDS + COMPILING_SECONDS_AN_OPERATION * operations
        if self._spent[rows] + (times - 1) * once < compiling:
            self._spent[rows] += times * once
            return False
        self._compiled.add(rows)
        return True

    def _by_xla(self, values: Sequence[Any]) -> Any:
        """In blocks of equal length: the last row is repeated where they would not be."""
        batches, others = self._split(values)
        rows = batches[0].shape[0]
        blocks = max(1, min(len(os.sched_getaffinity(0)), rows // BLOCK_ROWS))
        if blocks not in self._programs:
            program = in_row_blocks(self._function, blocks, whole=self._whole)
            self._programs[blocks] = traced_once(program, self._specs)
        missing = -rows % blocks
        if not missing:
            return self._programs[blocks](*values)
        filled = [tf.concat([x, tf.repeat(x[-1:], missing, 0)], 0) for x in batches]
        outputs = self._programs[blocks](*filled, *others)
        return tf.nest.map_structure(lambda y: y[:rows], outputs)


def traced_once(function: Callable[..., Any], specs: Sequence[Any]) -> Any:
    """The function as a graph of arguments of these specifications, for sizes that are None too."""
    compiled = tf.function(function, input_signature=specs, autograph=False)
    # One trace a function: TensorFlow counts those of all models together and would warn.
    compiled._omit_frequent_tracing_warning = True
    return compiled


def _operations(function: Any) -> int:
    """How many operations the function's graph has, those of its loops once each."""
    graph = function.get_concrete_function().graph
    inner = (f.definition.node_def for f in graph._functions.values())
    return len(graph.get_operations()) + sum(len(nodes) for nodes in inner)
