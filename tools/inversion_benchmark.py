"""Inverting autoregressive flows: by blocks, and by the loop of whole passes that TFP has.

    python tools/inversion_benchmark.py                          all jobs, some minutes
    python tools/inversion_benchmark.py --jobs maf_6 --seconds 0.1 --out /tmp/inversion.json

TFP's `MaskedAutoregressiveFlow` inverts by D passes of its network in a `tf.while_loop`. Here the
same bijectors with the same weights are inverted by that loop and by `zoo.networks.blockwise`: MAFs
that sample, IAFs that score. Published models have their weights; the others, of 5 layers with two
hidden layers, random ones, as trained flows are not close to the identity. The greatest difference
between the two is of rows in the model's own units. Medians of `--repeats` timings, each of as many
calls as last `--seconds`. Nothing else should run on the machine.

Writes `benchmarks/inversion_cpu.json`, of which `tools/render_cards.py` makes a table of
docs/speed.md.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from peer_worker import rate

from zoo import loading, models
from zoo.bijectors.autoregressive import AutoregressiveFlow
from zoo.store.files import write_json_atomic

ROOT = Path(__file__).resolve().parent.parent


def by_loop(flow: AutoregressiveFlow, z: Any) -> tuple[Any, Any]:
    """`forward_and_log_det` with TFP's loop; the log-det, of one more pass, is pruned if unused."""
    x = tfp.bijectors.MaskedAutoregressiveFlow._forward(flow, z)
    return x, tf.reduce_sum(flow._scalar_map.forward(z, flow._conditioner(x))[1], -1)


class Job(NamedTuple):
    """A model and how many rows at once; size 0 for a published one.

    units: of each of two hidden layers.
    """

    family: str
    size: int
    units: int
    rows: int


JOBS = {
    "maf_6": Job("maf", 6, 512, 1000),
    "maf_43": Job("maf", 43, 512, 1000),
    "maf_784": Job("maf", 784, 1024, 100),
    "iaf_6": Job("iaf", 6, 512, 1000),
    "iaf_43": Job("iaf", 43, 512, 1000),
    "iaf_784": Job("iaf", 784, 1024, 100),
    "maf_magic": Job("maf", 0, 0, 1000),
    "maf_mnist": Job("maf", 0, 0, 100),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", default=",".join(JOBS), help="names with commas")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="that each timing lasts")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "inversion_cpu.json")
    options = parser.parse_args(arguments)
    names = options.jobs.split(",")
    if unknown := sorted(set(names) - set(JOBS)):
        parser.error(f"no such jobs: {', '.join(unknown)}; there are {', '.join(JOBS)}.")
    results = []
    for name in names:
        results.append(measure(name, options.repeats, options.seconds))
        print(
            f"{name}: {results[-1]['blocks']:,.0f} rows/s, {results[-1]['loop']:,.0f} by the loop"
        )
    write_json_atomic(options.out, {"cpu_count": os.cpu_count(), "results": results})


def measure(name: str, repeats: int, seconds: float) -> dict[str, Any]:
    """Rows a second of a job by both ways, and how far apart their results are."""
    job = JOBS[name]
    model = loading.load(name) if not job.size else _random_model(job)
    rng = np.random.default_rng(1)
    rows = tf.constant(rng.normal(size=(job.rows, model.config.event_size)), tf.float32)
    function = model.decode if job.family == "maf" else _latents(model)
    found = {}
    for way in ("blocks", "loop"):
        method = by_loop if way == "loop" else AutoregressiveFlow.forward_and_log_det
        with mock.patch.object(AutoregressiveFlow, "forward_and_log_det", method):
            compiled = tf.function(lambda z: function(z, None), autograph=False)
            result = np.asarray(compiled(rows), np.float64)
        rows_a_second = rate(
            lambda: np.asarray(compiled(rows)),  # noqa: B023
            job.rows,
            repeats=repeats,
            seconds=seconds,
        )
        found[way] = (rows_a_second, result)
    difference = float(np.max(np.abs(found["blocks"][1] - found["loop"][1])))
    return {
        "job": name,
        "direction": "sample" if job.family == "maf" else "log_prob",
        "size": model.config.event_size,
        "rows": job.rows,
        "blocks": found["blocks"][0],
        "loop": found["loop"][0],
        "difference": difference,
    }


def _latents(model: Any) -> Callable[[Any, Any], Any]:
    """Both parts of a density: z and the log-det, [rows, D + 1]."""

    def density(x: Any, context: Any) -> Any:
        z, log_det = model.bijector(context).inverse_and_log_det(x)
        return tf.concat([z, log_det[:, None]], 1)

    return density


def _random_model(job: Job) -> Any:
    model = models.create(
        job.family, event_shape=(job.size,), num_layers=5, hidden_units=(job.units, job.units)
    )
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        deviation = 0.1 if len(variable.shape) < 2 else 0.3 / np.sqrt(variable.shape[0])
        variable.assign_add(rng.normal(0.0, deviation, variable.shape))
    return model


if __name__ == "__main__":
    main()
