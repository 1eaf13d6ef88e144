"""What training on many devices asks for, and what the input pipeline gives.

    python tools/scaling.py            two tables
    python tools/scaling.py --write    also replaces them in CONTRIBUTING.md

The first table plans a recipe on a TPU v5e-256 and on 8 machines of 8 GPUs, from the recipe, the
model's weights and the FLOP that `tools/aot_check.py` counted; what a device can do are its
vendor's figures, and the share of it that is reached is an assumption. The second one measures a
simulation of weak scaling: the part of one machine in batches that grow with the number of
machines, on this processor.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from zoo import registry
from zoo.data import pipeline, sources

ROOT = Path(__file__).resolve().parent.parent
NAME = "realnvp_cifar_paper"
TRAIN_ROWS = 45_000  # of CIFAR-10, as the recipe splits it
GLOBAL_BATCH = 1024
REACHED = 0.3  # of the peak: an assumption
HOSTS = (1, 2, 8, 64)
ROWS_A_HOST = 64


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Machines and devices, with their vendors' figures: FLOP/s and bytes/s of one device."""

    name: str
    hosts: int
    devices: int
    peak: float
    link: float


LAYOUTS = (
    # Cloud TPU documentation, "TPU v5e": 197 TFLOP/s in bfloat16, 1,600 Gbit/s between chips.
    Layout(name="TPU v5e-256", hosts=64, devices=256, peak=197e12, link=200e9),
    # NVIDIA H100 SXM data sheet: 989 TFLOP/s in bfloat16, dense; one 400 Gbit/s adapter a GPU.
    Layout(name="8 x 8 H100", hosts=8, devices=64, peak=989e12, link=50e9),
)


def counted_flop(name: str, text: str) -> float:
    """FLOP a row of the recipe's step, from the table of `tools/aot_check.py`."""
    found = re.search(rf"\| `{name}` \| \w+ \| (\d+) \| ([\d.]+) \|", text)
    if found is None:
        raise SystemExit(f"CONTRIBUTING.md has no row of {name}: run tools/aot_check.py --write.")
    return float(found.group(2)) * 1e12 / int(found.group(1))


def ring_bytes(gradient: float, replicas: int) -> float:
    """Bytes that a replica sends in a ring all-reduce: 2 (n - 1) / n of the gradient's."""
    return 2.0 * (replicas - 1) / replicas * gradient


def plan(name: str, text: str) -> list[str]:
    """The first table's lines."""
    from zoo.layers.norms import RunningMoments
    from zoo.models import build
    from zoo.training.replicas import has_collectives

    recipe = registry.get(name).recipe
    model = build(recipe.family, recipe.config)
    weights = sum(math.prod(v.shape) for v in model.trainable_variables)
    layers = model._flatten_layers()
    moments = sum(isinstance(layer, RunningMoments) for layer in layers)
    kinds = [type(layer).__name__ for layer in layers]
    # Forward: two moments a bijector, three sums a layer of Keras'; the gradient as many again.
    inside = 2 * (2 * moments + 3 * kinds.count("BatchNormalization"))
    assert bool(inside) == has_collectives(model)
    flop = counted_flop(name, text)
    row_bytes = math.prod(recipe.config["event_shape"])
    factor = math.sqrt(GLOBAL_BATCH / recipe.training.batch_size)
    rate = recipe.training.optimizer.learning_rate
    copies = 3 + bool(recipe.training.ema_decay)  # the weights, two moments, averages
    columns = []
    for layout in LAYOUTS:
        own = GLOBAL_BATCH / layout.devices
        compute = own * flop / (REACHED * layout.peak)
        sent = ring_bytes(4.0 * weights, layout.devices)
        step = compute + sent / layout.link
        rows = GLOBAL_BATCH / step
        columns.append(
            {
                "devices (machines)": f"{layout.devices} ({layout.hosts})",
                "global batch = rows a device x devices": f"{own:g} x {layout.devices}"
                f" = {GLOBAL_BATCH}",
                f"learning rate {rate:g} x sqrt({GLOBAL_BATCH} / {recipe.training.batch_size})": (
                    f"{rate * factor:g}"
                ),
                f"steps an epoch, {TRAIN_ROWS:,} rows": f"{TRAIN_ROWS // GLOBAL_BATCH}",
                f"ms of compute: rows x {flop / 1e9:.1f} GFLOP / ({REACHED:g} x peak)": (
                    f"{1e3 * compute:.2f}"
                ),
                f"MB all-reduced a step: 4 bytes x {weights:,} weights": f"{4e-6 * weights:.1f}",
                "MB that a device sends: 2 (n - 1) / n of it": f"{1e-6 * sent:.1f}",
                "ms for it at the vendor's rate, nothing overlapped": (
                    f"{1e3 * sent / layout.link:.2f}"
                ),
                "small collectives of batch norm a step": f"{inside}",
                "rows a second, a machine": f"{rows / layout.hosts:,.0f}",
                "MB of rows a second, a machine": f"{1e-6 * rows * row_bytes / layout.hosts:.1f}",
                f"MB of state.npz: {copies} x 4 bytes x weights": f"{4e-6 * copies * weights:.1f}",
                "seconds an epoch": f"{TRAIN_ROWS // GLOBAL_BATCH * step:.2f}",
            }
        )
    head = ["quantity", *(layout.name for layout in LAYOUTS)]
    lines = [f"| {' | '.join(head)} |", "| --- | ---: | ---: |"]
    return lines + [
        f"| {label} | {' | '.join(column[label] for column in columns)} |" for label in columns[0]
    ]


def weak_scaling(batches: int = 40, repeats: int = 3) -> list[str]:
    """The second table's lines: the first machine's part, the batch growing with the machines."""
    rng = np.random.default_rng(0)
    rows = sources.Arrays(rng.integers(0, 256, (TRAIN_ROWS, 32, 32, 3), dtype=np.uint8))
    lines = [
        "| machines | global batch | ms a batch, one machine | rows a second, one machine |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for hosts in HOSTS:
        seconds = min(_seconds(rows, hosts, batches) for _ in range(repeats))
        lines.append(
            f"| {hosts} | {hosts * ROWS_A_HOST:,} | {1e3 * seconds:.2f} | "
            f"{ROWS_A_HOST / seconds:,.0f} |"
        )
    return lines


def _seconds(rows: Any, hosts: int, batches: int) -> float:
    """Seconds a batch, over epochs as short as they come, their permutations included."""
    done, epoch, began = 0, 0, time.perf_counter()
    while done < batches:
        for _ in pipeline.batches_in_memory(
            rows, batch_size=hosts * ROWS_A_HOST, seed=0, epoch=epoch, num_shards=hosts, shard=0
        ):
            done += 1
            if done == batches:
                break
        epoch += 1
    return (time.perf_counter() - began) / batches


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="the tables of CONTRIBUTING.md")
    options = parser.parse_args(arguments)
    path = ROOT / "CONTRIBUTING.md"
    text = path.read_text(encoding="utf-8")
    tables = {"plan": plan(NAME, text), "weak-scaling": weak_scaling()}
    for lines in tables.values():
        print("\n".join([*lines, ""]))
    if options.write:
        for marker, lines in tables.items():
            text = _between(text, marker, "\n".join(lines))
        path.write_text(text, encoding="utf-8")
    return 0


def _between(text: str, marker: str, content: str) -> str:
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"CONTRIBUTING.md has no {begin} … {end} to write the table between.")
    return f"{before}{begin}\n{content}\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main())
