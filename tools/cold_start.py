"""Seconds and memory of the first call of published models, each in a new process.

    python tools/cold_start.py                          every case
    python tools/cold_start.py --models nsf_magic --out cold.json

What is timed starts after `import tensorflow`, which the zoo cannot shorten: `zoo.load`, with what
it imports; the first call, which traces the model's graph, and TensorFlow optimises; the same call
again. The medians of `--rounds` processes count. Memory is the process's peak, TensorFlow's own
included. Nothing else should run on the machine.

Writes `benchmarks/cold_start.json` and prints it as a table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CASES = {  # name: (call, rows)
    "nice_mnist": ("load", 0),
    "nsf_magic": ("sample", 16),
    "maf_mnist": ("sample", 16),
    "maf_mog_mnist": ("sample", 16),
    "realnvp_cifar": ("log_prob", 16),
}
SECONDS = ("load", "first", "again")
WORKER = """
import json, resource, sys, time
import tensorflow as tf
import numpy as np

name, call, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
marks = [time.perf_counter()]
import zoo

model = zoo.load(name)
marks.append(time.perf_counter())
if call == "sample":
    def called():
        return model.sample(rows, seed=1).numpy()
elif call == "log_prob":
    x = np.zeros((rows, *model.config.event_shape), model.data.dtype)
    def called():
        return model.log_prob(x).numpy()
else:
    def called():
        return None
for _ in range(2):
    called()
    marks.append(time.perf_counter())
seconds = dict(zip(("load", "first", "again"), np.diff(marks).tolist()))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({**seconds, "peak_gib": peak}))
"""


def main(arguments: list[str] | None = None) -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(CASES), help="names with commas")
    parser.add_argument("--rounds", type=int, default=3, help="processes; their medians count")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "cold_start.json")
    options = parser.parse_args(arguments)
    names = options.models.split(",")
    if unknown := [name for name in names if name not in CASES]:
        parser.error(f"no {', '.join(unknown)}; there are {', '.join(CASES)}")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    rounds = [[measure(name) for name in names] for _ in range(options.rounds)]
    results = [median(answers) for answers in zip(*rounds, strict=True)]
    report = {"cpu_count": os.cpu_count(), "rounds": options.rounds, "results": results}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, sort_keys=True) + "\n"
    options.out.write_text(text, encoding="utf-8")
    print(table(results))


def measure(name: str) -> dict[str, Any]:
    """One process of a case. Raises RuntimeError with its last line where it fails."""
    call, rows = CASES[name]
    done = subprocess.run(
        [sys.executable, "-c", WORKER, name, call, str(rows)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(f"{name}: {lines[-1]}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    return {"model": name, "call": call, "rows": rows, **answer}


def median(answers: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """Of several processes of a case: the medians, to the hundredth."""
    figures = (*SECONDS, "peak_gib")
    medians = {key: round(statistics.median(a[key] for a in answers), 2) for key in figures}
    return {**answers[0], **medians}


def table(results: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| model | call | load | first call | again | peak memory |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for r in results:
        call = f"`{r['call']}` of {r['rows']} rows" if r["rows"] else ""
        first, again = (f"{r[key]:.2f} s" if r["rows"] else "" for key in ("first", "again"))
        lines.append(
            f"| `{r['model']}` | {call} | {r['load']:.2f} s | {first} | {again} | "
            f"{r['peak_gib']:.1f} GiB |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
