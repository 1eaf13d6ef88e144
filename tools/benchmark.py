"""Rows a second of log_prob, sample and a training step, and the share of the matmul rate.

    python tools/benchmark.py                             every published model, and maf_43
    python tools/benchmark.py --models maf_magic,maf_43 --repeats 9
    python tools/benchmark.py --models maf_tiny --quick   does it run? (its figures say nothing)

Measured for graphs with and without XLA and for conditioners in float32 and mixed_bfloat16;
medians of `--repeats` timings, each of as many calls as last `--seconds`. Published models score
200 and draw 64 rows with their weights, and train on batches of their recipe; `maf_43` is the MAF
that other libraries are compared on: D = 43, 5 x [512, 512], batches of 1000, random weights;
`vae_dense` and `planar_vae_dense` are VAEs of gated dense layers, batches of 100, the second with
10 planar flows. What is timed as log_prob is the ELBO of a VAE.

    share = rows/s of a training step * 6 * multiplications a row / (operations/s of matmul)

A multiplication comes with an addition, and a step is three times the work of a density: 2 * 3.
They are counted in the graph of `log_prob`, from the shapes of matrix products and convolutions:
MADE's masks are paid for as far as its blocks multiply them. The matmul rate is measured here, for
square matrices, in the dtype of the conditioners. Nothing else should run on the machine.

Writes a table to the terminal and `benchmarks/cpu.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import rich.console
import rich.progress
import rich.table
import tensorflow as tf

from zoo import loading, registry
from zoo.core.capabilities import Infers
from zoo.core.recipe import SGD, Recipe, Rows, stages, variant
from zoo.data.samples import sample_names, samples
from zoo.errors import UnknownModelError
from zoo.models import build
from zoo.store import pins
from zoo.store.files import write_json_atomic
from zoo.store.folder import software_versions
from zoo.store.weights import WEIGHTS_FILE, load_weights
from zoo.training import TrainingStep

ROOT = Path(__file__).resolve().parent.parent
DTYPES = ("float32", "mixed_bfloat16")
MATMUL_DTYPES = {"float32": tf.float32, "mixed_bfloat16": tf.bfloat16}
SCORED_ROWS, SAMPLED_ROWS = 200, 64
TOTAL_STEPS = 1_000_000  # the schedule's; no run comes near

# Called with a number that is another one every time: seeds and steps.
Call = Callable[[int], Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A recipe's model at three batch sizes; with its weights if `published`, else random ones."""

    name: str
    recipe: Recipe
    scored_rows: int
    sampled_rows: int
    published: bool = False


def _maf(name: str, size: int, hidden_units: list[int], num_layers: int, rows: int) -> Case:
    recipe = Recipe(
        family="maf",
        config={
            "event_shape": [size],
            "num_layers": num_layers,
            "hidden_units": hidden_units,
            "normalization": "batch_norm",
        },
        data=Rows(name="normal", version="", train="", validation="", test=""),
        training=SGD(batch_size=rows, max_epochs=1),
    )
    return Case(name=name, recipe=recipe, scored_rows=rows, sampled_rows=rows)


def _vae(name: str, family: str, config: dict[str, Any]) -> Case:
    recipe = stages(registry.get("vae_mnist").recipe)[0]
    sizes = {key: recipe.config[key] for key in ("event_shape", "preprocessing")}
    recipe = dataclasses.replace(
        recipe, family=family, config={**sizes, "hidden_units": [300, 300], **config}
    )
    return Case(name=name, recipe=recipe, scored_rows=SCORED_ROWS, sampled_rows=SAMPLED_ROWS)


MADE_UP = {
    "vae_dense": _vae("vae_dense", "vae", {}),
    "planar_vae_dense": _vae("planar_vae_dense", "planar_vae", {"num_flows": 10}),
    "maf_43": _maf("maf_43", 43, [512, 512], 5, 1000),
    "maf_tiny": _maf("maf_tiny", 4, [8], 1, 16),
}


def main(arguments: list[str] | None = None) -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="", help="names with commas; default: all but maf_tiny")
    parser.add_argument("--repeats", type=int, default=5, help="timings of which the median counts")
    parser.add_argument("--seconds", type=float, default=1.0, help="that each timing lasts")
    parser.add_argument("--quick", action="store_true", help="one call a timing, small matmuls")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "cpu.json")
    options = parser.parse_args(arguments)
    if options.repeats < 1 or options.seconds <= 0.0:
        parser.error("--repeats must be at least 1 and --seconds positive")
    names = options.models.split(",") if options.models else default_models()
    cases = [find_case(name) for name in names]
    seconds = 0.0 if options.quick else options.seconds
    size = 128 if options.quick else 2048

    console = rich.console.Console()
    matmul = {
        dtype: matmul_rate(MATMUL_DTYPES[dtype], size, options.repeats, seconds) for dtype in DTYPES
    }
    results: list[dict[str, Any]] = []
    work = [(case, dtype, xla) for case in cases for dtype in DTYPES for xla in (False, True)]
    for case, dtype, xla in rich.progress.track(work, "Measuring", console=console, transient=True):
        results.append(measure(case, dtype, xla=xla, repeats=options.repeats, seconds=seconds))
        rate = results[-1]["training_step"]["rows_per_second"]
        operations = 6.0 * results[-1]["multiplications_per_row"] * rate
        results[-1]["share_of_matmul_rate"] = significant(operations / matmul[dtype])
    report = {
        "cpu_count": os.cpu_count(),
        "software": software_versions(),
        "repeats": options.repeats,
        "seconds_per_timing": seconds,
        "matmul": {
            "size": size,
            "gflop_per_second": {dtype: significant(matmul[dtype] / 1e9) for dtype in DTYPES},
        },
        "results": results,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(options.out, report)
    console.print(table(report))
    console.print(f"Written to {options.out}")


def default_models() -> list[str]:
    """The published models of rows, and the made-up ones but for the tiny one.

    Models of audio are timed by `tools/audio_benchmark.py`, in samples a second.
    """
    rows = [n for n in pins.pins() if registry.get(n).recipe.dataset.feature != "audio"]
    return [*rows, "maf_43", "vae_dense", "planar_vae_dense"]


def find_case(name: str) -> Case:
    """The case of a made-up model or a published one. Raises UnknownModelError for others."""
    if name in MADE_UP:
        return MADE_UP[name]
    recipe = registry.get(name).recipe
    if name not in pins.pins():
        raise UnknownModelError(
            f"{name} has no published weights to sample with. Benchmarks: "
            f"{', '.join([*pins.pins(), *MADE_UP])}."
        )
    return Case(
        name=name,
        recipe=recipe,
        scored_rows=SCORED_ROWS,
        sampled_rows=SAMPLED_ROWS,
        published=True,
    )


def measure(case: Case, dtype: str, *, xla: bool, repeats: int, seconds: float) -> dict[str, Any]:
    """The three rates of a case in one mode, and the multiplications that they stand for."""
    model = model_of(case, dtype)
    multiplications = count_multiplications(model)
    calls = {
        "log_prob": (log_prob_call(model, case, xla=xla), case.scored_rows),
        "sample": (sample_call(model, case, xla=xla), case.sampled_rows),
        # Last: it changes the weights.
        "training_step": (
            training_call(model, case, dtype, xla=xla),
            case.recipe.training.batch_size,
        ),
    }
    result: dict[str, Any] = {
        "model": case.name,
        "conditioner_dtype": dtype,
        "xla": xla,
        "parameters": int(model.count_params()),
        "multiplications_per_row": multiplications,
    }
    for name, (call, rows) in calls.items():
        timings = time_calls(call, repeats=repeats, seconds=seconds)
        result[name] = {
            "batch": rows,
            "rows_per_second": significant(rows / statistics.median(timings)),
            "slowest": significant(rows / max(timings)),
            "fastest": significant(rows / min(timings)),
        }
    return result


def model_of(case: Case, dtype: str) -> Any:
    """The case's model with conditioners of that dtype: published weights, or random ones."""
    recipe = case.recipe
    model = build(
        recipe.family,
        recipe.config,
        conditioner_dtype="" if dtype == "float32" else dtype,
        name=case.name,
    )
    if case.published:
        load_weights(model, loading.resolve(case.name) / WEIGHTS_FILE)
        return model
    # A fresh MAF is close to the identity, and sampling would stop after a pass or two.
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if len(variable.shape) == 2:
            fan_in = math.sqrt(variable.shape[0])
            variable.assign(rng.normal(size=variable.shape) / fan_in)
    return model


def rows_of(case: Case, count: int) -> Any:
    """Rows for the case's model: shipped ones, repeated; normal ones for made-up models."""
    if case.recipe.dataset.name in sample_names():
        shipped = samples(case.recipe.dataset.name)
        return tf.constant(shipped[np.arange(count) % len(shipped)])
    size = [count, *case.recipe.config["event_shape"]]
    return tf.constant(np.random.default_rng(1).normal(size=size).astype("float32"))


def labels_of(model: Any, count: int) -> Any:
    """Labels for a conditional model, else None."""
    size = model.config.context_size
    return tf.range(count, dtype=tf.int32) % size if size else None


def density_of(model: Any) -> Any:
    """The model's log_prob, or the ELBO of one that has no other density in one pass."""
    return model.elbo if isinstance(model, Infers) else model.log_prob


def log_prob_call(model: Any, case: Case, *, xla: bool) -> Call:
    """Scores a batch; the seed varies."""
    x, context = rows_of(case, case.scored_rows), labels_of(model, case.scored_rows)
    density = density_of(model)
    function = tf.function(
        lambda seed: density(x, context, seed=seed), autograph=False, jit_compile=xla
    )
    return lambda number: function(tf.constant([0, number])).numpy()


def sample_call(model: Any, case: Case, *, xla: bool) -> Call:
    """Draws a batch; the seed varies."""
    context = labels_of(model, case.sampled_rows)
    function = tf.function(
        lambda seed: model.sample(case.sampled_rows, seed=seed, context=context),
        autograph=False,
        jit_compile=xla,
    )
    return lambda number: function(tf.constant([0, number])).numpy()


def training_call(model: Any, case: Case, dtype: str, *, xla: bool) -> Call:
    """The recipe's own training step on one batch: loss, gradient, clipping, Adam, averages."""
    recipe = variant(case.recipe, conditioner_dtype=dtype, jit_compile=xla)
    step = TrainingStep(model, recipe, TOTAL_STEPS)
    x, context = (
        rows_of(case, recipe.training.batch_size),
        labels_of(model, recipe.training.batch_size),
    )
    function = tf.function(step, autograph=False, jit_compile=xla)
    return lambda number: function(x, context, tf.constant(number))["nats"].numpy()


def matmul_rate(dtype: Any, size: int, repeats: int, seconds: float) -> float:
    """Floating point operations a second of [size, size] @ [size, size] in a graph, the median."""
    rng = np.random.default_rng(0)
    left, right = (tf.cast(rng.normal(size=[size, size]), dtype) for _ in range(2))
    product = tf.function(tf.matmul, autograph=False)
    # One entry comes back: a copy of the product would be timed with it.
    timings = time_calls(
        lambda _: product(left, right)[0, 0].numpy(), repeats=repeats, seconds=seconds
    )
    return 2.0 * size**3 / statistics.median(timings)


def time_calls(call: Call, *, repeats: int, seconds: float) -> list[float]:
    """Seconds a call, `repeats` times, each the mean over as many calls as last `seconds`."""
    call(0)  # traces and compiles
    start = time.perf_counter()
    call(1)
    calls = max(1, math.ceil(seconds / (time.perf_counter() - start)))
    timings, numbers = [], itertools.count(2)
    for _ in range(repeats):
        start = time.perf_counter()
        for number in itertools.islice(numbers, calls):
            call(number)
        timings.append((time.perf_counter() - start) / calls)
    return timings


def count_multiplications(model: Any) -> int:
    """Multiplications a row of the matrix products and convolutions in the graph of `log_prob`."""
    config = model.config
    x = tf.TensorSpec([1, *config.event_shape], tf.as_dtype(model.data.dtype))
    context = tf.zeros([1], tf.int32) if config.context_size else None
    density = density_of(model)
    function = tf.function(lambda x: density(x, context, seed=0), autograph=False)
    total = 0
    for operation in function.get_concrete_function(x).graph.get_operations():
        if operation.type in ("MatMul", "BatchMatMulV2"):
            left = operation.inputs[0].shape
            flag = "transpose_a" if operation.type == "MatMul" else "adj_x"
            summed = left[-2] if operation.get_attr(flag) else left[-1]
        elif operation.type == "Conv2D":
            height, width, channels, _ = operation.inputs[1].shape
            summed = height * width * channels
        else:
            continue
        total += operation.outputs[0].shape.num_elements() * summed
    return total


def significant(value: float, digits: int = 4) -> float:
    """Rounded to significant digits: a timing has no more."""
    return float(f"{value:.{digits}g}")


def table(report: dict[str, Any]) -> rich.table.Table:
    """The report as a table."""
    rates = report["matmul"]["gflop_per_second"]
    matmuls = ", ".join(f"{dtype} {rates[dtype]:,.0f} GFLOP/s" for dtype in DTYPES)
    printed = rich.table.Table(
        title=f"Rows a second, {report['cpu_count']} CPU cores; matmul {matmuls}"
    )
    for heading in ("model", "conditioners", "graph"):
        printed.add_column(heading)
    for heading in ("log_prob", "sample", "training step", "share"):
        printed.add_column(heading, justify="right")
    for result in report["results"]:
        printed.add_row(
            result["model"],
            result["conditioner_dtype"],
            "XLA" if result["xla"] else "plain",
            *(
                f"{result[name]['rows_per_second']:,.0f}"
                for name in ("log_prob", "sample", "training_step")
            ),
            f"{result['share_of_matmul_rate']:.0%}",
        )
    return printed


if __name__ == "__main__":
    main()
