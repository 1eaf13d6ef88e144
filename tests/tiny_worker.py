"""One process of a training on several: what the tests of multi-worker training start and kill.

    TF_CONFIG='{...}' python tests/tiny_worker.py --out FOLDER [--resume] [...]

is `zoo train tiny --strategy multiworker ...` on the rows of `tiny_runs`. It prints a line a step
and, where the run was not stopped by an error, a digest of its final weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from typing import Any

import tiny_runs

from zoo import cli, registry
from zoo.core.recipe import Flips, variant
from zoo.data import sources

# XLA inside the replicas, flips and dequantisation noise; nothing that one replica draws otherwise.
RECIPE = variant(
    tiny_runs.RECIPES["nice"],
    config={**tiny_runs.RECIPES["nice"].config, "dropout": 0.0},
    max_epochs=25,
    jit_compile=True,
    augment=(Flips(),),
)


def main(*options: str) -> None:
    """The command with these options, on the tiny recipe."""
    from zoo.training import replicas, run

    sources.load_arrays = tiny_runs.load_arrays
    run.SAVE_SECONDS = 0.05
    entry = dataclasses.replace(registry.get("nice_mnist"), name="tiny", recipe=RECIPE)
    registry.ENTRIES["tiny"] = entry
    advance, record = replicas.ReplicatedRun._advance, replicas.ReplicatedRun._record

    def counted(self: Any, x: Any, context: Any, step: int) -> Any:
        result = advance(self, x, context, step)
        print("step", step + 1, flush=True)
        return result

    def digested(self: Any, reason: str) -> Any:
        digest = hashlib.sha256()
        for variable in self.model.trainable_variables:
            digest.update(variable.numpy().tobytes())
        print("weights", digest.hexdigest(), flush=True)
        return record(self, reason)

    replicas.ReplicatedRun._advance = counted
    replicas.ReplicatedRun._record = digested
    cli.app(["train", "tiny", "--strategy", "multiworker", *options])


if __name__ == "__main__":
    main(*sys.argv[1:])
