"""The same flows in other libraries: rows a second, and what a time budget reaches.

    python -m venv .venv-peers && .venv-peers/bin/pip install -r tools/peers-requirements.txt
    python tools/benchmark_peers.py --python .venv-peers/bin/python               rows a second
    python tools/benchmark_peers.py --python … --fit magic --budget 120           nats on a dataset
    python tools/benchmark_peers.py --python … --table                            the table again

Every measurement is a process of its own (`tools/peer_worker.py`), in the environment of its
library, one after the other: nothing else should run on the machine. The same sizes, batches and
precision for all: D of 6, 43 and 784, 5 layers with two hidden layers (splines three) of 512 units
(1024 for 784), float32, batches of 1000 (100 for 784), standard normal rows. Weights are fresh, but
zoo's, which are random: its sampling stops early where a flow is close to the identity.

Zoo is measured by its public calls and its defaults alone, `model.log_prob(x)`, `model.sample(n)`
and `model.fit(x)`, the others as they document themselves, compiled where they say how. Calls are
warm. Libraries take turns, `--rounds` times, and the medians count: machines waver. `--add` adds
rounds to those that the file has. A call draws as many rows as a batch has, or `--sampled`: splines
of 784 columns need minutes for 100 where every column takes a pass through the networks.

Results are added to `benchmarks/peers_cpu.json`; a run replaces those of its own jobs. A library
that fails has its error there in place of its figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
WORKER = ROOT / "tools" / "peer_worker.py"
LIBRARIES = ("zoo", "nflows", "normflows", "zuko", "flowjax")
MODELS = ("maf", "nsf", "coupling")
SIZES = (6, 43, 784)
# Splines: a first layer and a residual block of two, or as many plain ones.
HIDDEN = {"maf": 2, "nsf": 3, "coupling": 2}
RATES = ("log_prob", "fit", "sample")
STEPS = 30  # batches of a fit
KEY = ("task", "dataset", "model", "size", "library")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the peers")
    parser.add_argument("--libraries", default=",".join(LIBRARIES), help="names with commas")
    parser.add_argument("--models", default="maf", help=f"of {', '.join(MODELS)}, with commas")
    parser.add_argument("--sizes", default="6,43,784", help="numbers of coordinates, with commas")
    parser.add_argument("--rates", default=",".join(RATES), help="what to time, with commas")
    parser.add_argument("--repeats", type=int, default=5, help="timings of which the median counts")
    parser.add_argument("--seconds", type=float, default=1.0, help="that each timing lasts")
    parser.add_argument(
        "--rounds",
        type=int,
        default=0,
        help="of the speed jobs in turn; default: 3",
    )
    parser.add_argument("--add", action="store_true", help="keep the file's rounds of these jobs")
    parser.add_argument(
        "--sampled", type=int, default=0, help="rows that a call draws; 0: as many as a batch has"
    )
    parser.add_argument("--fit", default="", metavar="DATASET", help="train on it instead")
    parser.add_argument("--budget", type=float, default=120.0, help="seconds of training")
    parser.add_argument("--rate", type=float, default=1e-3, help="Adam's, of every library")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds a process may last")
    parser.add_argument("--table", action="store_true", help="print the table and measure nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "peers_cpu.json")
    options = parser.parse_args(arguments)
    libraries = _names(parser, options.libraries, LIBRARIES)
    models = _names(parser, options.models, MODELS)
    options.rates = _names(parser, options.rates, RATES)
    if options.fit and options.rounds:
        parser.error("--rounds is of speeds alone")
    options.rounds = options.rounds or (1 if options.fit else 3)
    if min(options.repeats, options.rounds) < 1 or options.seconds < 0.0 or options.budget <= 0.0:
        parser.error(
            "--repeats and --rounds must be at least 1, --seconds 0 or more, --budget positive"
        )
    if options.sampled < 0:
        parser.error(f"--sampled must be 0 or more; got {options.sampled}")
    results = read(options.out)
    if options.table:
        print(table(results))
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.fit:
            jobs = fit_jobs(options.fit, models, libraries, options, Path(folder))
        else:
            sizes = [int(size) for size in options.sizes.split(",")]
            jobs = speed_jobs(models, sizes, libraries, options)
        answers = [earlier_rounds(results, job) if options.add else [] for job in jobs]
        for job, earlier in list(zip(jobs, answers, strict=True)) * options.rounds:
            python = Path(sys.executable) if job["library"] == "zoo" else options.python
            print(f"{job['library']}: {job['model']}, D = {job['size']}", file=sys.stderr)
            earlier.append(run(python, job, timeout=options.timeout))
            results = merged(results, {**described(job), **median(earlier)})
            write(options.out, results)
    print(table(results))


def _names(parser: argparse.ArgumentParser, text: str, known: Sequence[str]) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"no {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def speed_jobs(
    models: Sequence[str], sizes: Sequence[int], libraries: Sequence[str], options: Any
) -> list[dict[str, Any]]:
    """One job for each model, size and library."""
    return [
        {
            "task": "speed",
            "library": library,
            "model": model,
            "size": size,
            "layers": 5,
            "units": 1024 if size > 100 else 512,
            "hidden": HIDDEN[model],
            "batch": (batch := 100 if size > 100 else 1000),
            "sampled": options.sampled or batch,
            "rates": options.rates,
            "steps": STEPS,
            "repeats": options.repeats,
            "seconds": options.seconds,
            "seed": 0,
        }
        for model in models
        for size in sizes
        for library in libraries
    ]


def fit_jobs(
    name: str, models: Sequence[str], libraries: Sequence[str], options: Any, folder: Path
) -> list[dict[str, Any]]:
    """One job for each model and library, on the rows of a registered dataset of features."""
    from zoo import registry
    from zoo.data import sources
    from zoo.errors import DataError

    datasets = {
        entry.recipe.dataset.name: entry.recipe.dataset for entry in registry.ENTRIES.values()
    }
    if name not in datasets or datasets[name].feature != "features":
        tables = sorted(n for n, d in datasets.items() if d.feature == "features")
        raise DataError(f"No table {name!r} in the registry; there are {', '.join(tables)}.")
    arrays = {split: sources.load_arrays(datasets[name], split).x for split in sources.SPLITS}
    np.savez(folder / "rows.npz", **arrays)
    rows, size = arrays["train"].shape
    units = 128 if rows < 100_000 else 512
    return [
        {
            "task": "fit",
            "dataset": name,
            "library": library,
            "model": model,
            "size": size,
            "layers": 5,
            "units": units,
            "hidden": HIDDEN[model],
            "batch": 256 if rows < 100_000 else 512,
            "rate": options.rate,
            "budget": options.budget,
            "cores": len(os.sched_getaffinity(0)),
            "data": str(folder / "rows.npz"),
            "seed": 0,
        }
        for model in models
        for library in libraries
    ]


def run(python: Path, job: dict[str, Any], *, timeout: float) -> dict[str, Any]:
    """The worker's answer, or {"error": its last line} where it fails or takes too long."""
    # zoo is imported from this checkout; the peers' environment sees nothing of it.
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if job["library"] == "zoo" else ""}
    try:
        done = subprocess.run(
            [str(python), str(WORKER)],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {timeout:g} s"}
    except OSError as error:
        return {"error": f"{python} cannot be run: {error}"}
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode != 0 or not lines:
        return {"error": lines[-1] if lines else f"exit code {done.returncode}"}
    return json.loads(lines[-1])


def median(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The last answer with the median of every rate over all, or the last that is an error.

    A machine whose speed wavers from minute to minute treats jobs alike that take turns. "rounds"
    has what the medians are of.
    """
    failed = [answer for answer in answers if "error" in answer]
    if failed:
        return failed[-1]
    rounds = {n: [a[n] for a in answers if n in a] for n in RATES}
    rounds = {name: values for name, values in rounds.items() if values}
    if not rounds:
        return answers[-1]
    rates = {name: statistics.median(values) for name, values in rounds.items()}
    return {**answers[-1], **rates, "rounds": rounds}


def earlier_rounds(results: Sequence[dict[str, Any]], job: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers of the rounds that a job has in the results."""
    key = [job.get(name) for name in KEY]
    found = [old for old in results if [old.get(name) for name in KEY] == key]
    answers: list[dict[str, Any]] = []
    for name, values in (found[0].get("rounds", {}) if found else {}).items():
        answers.extend({} for _ in range(len(values) - len(answers)))
        for answer, value in zip(answers, values, strict=False):
            answer[name] = value
    return answers


def described(job: dict[str, Any]) -> dict[str, Any]:
    """What of a job stands beside its figures."""
    return {key: value for key, value in job.items() if key not in ("data", "seed")}


def merged(results: list[dict[str, Any]], new: dict[str, Any]) -> list[dict[str, Any]]:
    """The results with `new` in the place of an older one of the same job, else at the end."""
    key = [new.get(name) for name in KEY]
    kept = [old for old in results if [old.get(name) for name in KEY] != key]
    return [*kept, new]


def read(path: Path) -> list[dict[str, Any]]:
    """The results in a file; none where there is no file."""
    return json.loads(path.read_text(encoding="utf-8"))["results"] if path.is_file() else []


def write(path: Path, results: list[dict[str, Any]]) -> None:
    """Writes the file anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"cpu_count": os.cpu_count(), "results": results}
    text = json.dumps(report, indent=1, sort_keys=True) + "\n"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def table(results: Sequence[dict[str, Any]]) -> str:
    """Two Markdown tables: rows a second, the best of each in bold, and nats.

    The last row of a model and a size is ours over the fastest of the others.
    """
    parts = []
    speeds = [result for result in results if result["task"] == "speed"]
    speeds.sort(key=lambda r: (r["model"], r["size"], LIBRARIES.index(r["library"])))
    if speeds:
        lines = ["| model | D | library | log_prob | fit | sample |"]
        lines.append("| --- | ---: | --- | ---: | ---: | ---: |")
        for index, result in enumerate(speeds):
            same = [
                r for r in speeds if (r["model"], r["size"]) == (result["model"], result["size"])
            ]
            cells = (
                [_cell(result, name, max(r.get(name, 0.0) for r in same)) for name in RATES]
                if "error" not in result
                else [result["error"].replace("|", "/"), "", ""]
            )
            heading = (result["model"], str(result["size"]), result["library"])
            lines.append(f"| {' | '.join([*heading, *cells])} |")
            if index + 1 == len(speeds) or speeds[index + 1] not in same:
                ratios = [_ratio(same, name) for name in RATES]
                heading = (*heading[:2], "zoo / fastest")
                lines.append(f"| {' | '.join([*heading, *ratios])} |")
        parts.append("\n".join(lines))
    fits = [result for result in results if result["task"] == "fit"]
    if fits:
        lines = ["| dataset | model | library | test nats | steps | seconds | cores |"]
        lines.append("| --- | --- | --- | ---: | ---: | ---: | ---: |")
        for result in fits:
            heading = (result["dataset"], result["model"], result["library"])
            if "error" in result:
                cells = [result["error"].replace("|", "/"), "", "", ""]
            else:
                nats = f"{result['value']:.2f} ± {result['two_standard_errors']:.2f}"
                times = (f"{result['steps']:,}", f"{result['seconds']:.0f}", f"{result['cores']}")
                cells = [nats, *times]
            lines.append(f"| {' | '.join([*heading, *cells])} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _ratio(same: Sequence[dict[str, Any]], name: str) -> str:
    """Ours over the fastest other library's; empty where either was not timed."""
    ours = [r[name] for r in same if r["library"] == "zoo" and name in r]
    others = [r[name] for r in same if r["library"] != "zoo" and name in r]
    return f"{ours[0] / max(others):.2f}x" if ours and others else ""


def _cell(result: dict[str, Any], name: str, best: float) -> str:
    if name not in result:
        return ""  # not timed
    text = f"{result[name]:,.0f}" if result[name] >= 10.0 else f"{result[name]:.2g}"
    if name == "sample" and result.get("sampled") != result.get("batch"):
        text += f" ({result['sampled']} a call)"
    return f"**{text}**" if result[name] == best else text


if __name__ == "__main__":
    main()
