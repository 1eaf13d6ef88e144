"""Samples a second of audio models: cached against naive WaveNet sampling, and the student.

    python tools/audio_benchmark.py [--models wavenet_digits] [--repeats 5]

For each published model of audio, or the ones named (with fresh weights where none are published):
whole clips at batches 1 and 16, the medians of `--repeats` calls after one that compiles; for
WaveNets the naive loop beside them, which computes the whole receptive field for every sample,
timed over `NAIVE_SAMPLES` samples. real_time: seconds of sound in a second at batch 1. Beside the
wall's rates stand those per second of processor time, which other programs disturb less.

Nothing else should run on the machine. Writes a table and `benchmarks/audio_cpu.json`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from zoo import loading, registry
from zoo.models.audio import wavenet_sampling
from zoo.store import pins
from zoo.store.files import write_json_atomic
from zoo.store.folder import software_versions

ROOT = Path(__file__).resolve().parent.parent
BATCHES = (1, 16)
NAIVE_SAMPLES = 24


def main(arguments: list[str] | None = None) -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="", help="names, by commas; all published ones without")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "audio_cpu.json")
    options = parser.parse_args(arguments)
    published = [n for n in pins.pins() if registry.get(n).recipe.dataset.feature == "audio"]
    names = options.models.split(",") if options.models else published
    results = [measure(name, repeats=options.repeats) for name in names]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "hardware": f"{os.cpu_count()} CPU cores",
        "load_average": round(os.getloadavg()[0], 1),
        "software": software_versions(),
        "models": results,
    }
    write_json_atomic(options.out, report)
    for result in results:
        print(result)


def measure(name: str, *, repeats: int) -> dict[str, Any]:
    """The rates of a model, in samples a second over all rows of a batch."""
    model = loading.load(name, weights=name in pins.pins())
    size, rate = model.data.size, model.data.rate
    result: dict[str, Any] = {
        "model": name,
        "published": name in pins.pins(),
        "parameters": int(model.count_params()),
        "sample_rate": rate,
    }
    for batch in BATCHES:
        labels = np.arange(batch, dtype=np.int32) % max(model.config.context_size, 1)
        wall, processor = median_seconds(lambda: _draw(model, batch, labels), repeats)  # noqa: B023
        result[f"samples_per_second_batch_{batch}"] = round(batch * size / wall, 1)
        result[f"samples_per_cpu_second_batch_{batch}"] = round(batch * size / processor, 1)
    result["real_time"] = round(result["samples_per_second_batch_1"] / rate, 2)
    if model.family == "wavenet":
        wall, processor = median_seconds(naive_call(model), max(1, repeats // 2))
        result["naive_samples_per_second"] = round(NAIVE_SAMPLES / wall, 2)
        result["naive_samples_per_cpu_second"] = round(NAIVE_SAMPLES / processor, 2)
        ratio = result["samples_per_second_batch_1"] / result["naive_samples_per_second"]
        result["cached_over_naive"] = round(ratio, 1)
    return result


def _draw(model: Any, batch: int, labels: np.ndarray) -> Any:
    return model.sample(batch, seed=1, context=labels).numpy()


def naive_call(model: Any) -> Callable[[], Any]:
    """A call of the naive loop under XLA, of one row."""
    naive = tf.function(
        lambda seed: wavenet_sampling.naive_sample(
            model,
            1,
            tf.constant([0]) if model.config.context_size else None,
            seed,
            tf.constant(1.0),
            steps=model.config.event_shape[0],
            drawn=NAIVE_SAMPLES,
        ),
        autograph=False,
        jit_compile=True,
    )
    return lambda: naive(tf.constant([0, 1])).numpy()


def median_seconds(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Of `repeats` calls, after one that compiles: by the wall clock and of processor time."""
    call()
    wall, processor = [], []
    for _ in range(repeats):
        started, used = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return statistics.median(wall), statistics.median(processor)


if __name__ == "__main__":
    main()
