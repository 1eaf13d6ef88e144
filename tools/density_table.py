"""The density suite's table in docs/results.md: published figures, peers on the same rows, ours.

Ours are of the checkpoints' metrics.json and run.json, the peers' of `tools/benchmark_peers.py`
(benchmarks/peers_cpu.json); the papers' figures are the registry's. A dataset that nothing here was
trained on says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import benchmark_peers
import cold_start

from zoo import registry
from zoo.core.recipe import stages
from zoo.media.console import figure
from zoo.publishing.checkpoint import Checkpoint
from zoo.store.files import read_optional

PEERS_FILE = Path("benchmarks") / "peers_cpu.json"
INVERSION_FILE = Path("benchmarks") / "inversion_cpu.json"
COLD_FILE = Path("benchmarks") / "cold_start.json"


class Record(NamedTuple):
    """The highest exact log-likelihood of a flow or MADE that we know of, and its paper."""

    value: float
    source: str


RECORDS = {
    "power": Record(0.66, "RQ-NSF (AR), arXiv:1906.04032"),
    "gas": Record(13.14, "cubic splines, arXiv:1906.02145"),
    "hepmass": Record(-13.99, "UMNN-MAF, arXiv:1908.05164"),
    "miniboone": Record(-8.86, "NAF-DDSF, arXiv:1804.00779"),
    "bsds300": Record(157.98, "UMNN-MAF, arXiv:1908.05164"),
    "mnist": Record(-1038.5, "MADE MoG, arXiv:1705.07057"),
    "cifar10": Record(3049.0, "MAF(10), arXiv:1705.07057"),
}
NAMES = (
    "maf_power",
    "nsf_power",
    "maf_gas",
    "nsf_gas",
    "maf_hepmass",
    "nsf_hepmass",
    "maf_miniboone",
    "nsf_miniboone",
    "made_bsds300",
    "realnvp_bsds300",
    "maf_bsds300",
    "maf_mog_bsds300",
    "nsf_coupling_bsds300",
    "nsf_bsds300",
    "realnvp_vec_mnist",
    "maf_mnist",
    "maf_cond_mnist",
    "maf_mog_mnist",
    "maf_cifar",
    "maf_magic",
    "nsf_magic",
)


def density_table(checkpoints: Sequence[Checkpoint], root: Path) -> str:
    """Markdown: one row a model of the suite."""
    published = {checkpoint.name: checkpoint for checkpoint in checkpoints}
    peers = best_peers(read_optional(root / PEERS_FILE).get("results", []))
    lines = [
        "| dataset | model | paper | record | peer here | this model | of 8 symmetries | minutes |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in filter(registry.ENTRIES.__contains__, NAMES):
        entry, checkpoint = registry.get(name), published.get(name)
        dataset = entry.recipe.dataset.name
        record, peer = RECORDS.get(dataset), peers.get((dataset, entry.family))
        ours, symmetrised, minutes = "not run", "", ""
        if checkpoint is not None and checkpoint.metrics:
            # Without a paper's figure, in the space that the peers are measured in.
            metric = entry.paper_metric or "log_prob"
            ours = figure(checkpoint.metrics["metrics"][metric])
            if mixture := checkpoint.metrics["metrics"].get("log_prob_symmetrised"):
                symmetrised = figure(mixture)
            minutes = f"{60.0 * training_hours(name, published):.0f}"
        cells = [
            dataset,
            f"`{name}`",
            "" if entry.paper_value is None else f"{entry.paper_value:g}",
            "" if record is None else f"{record.value:g}",
            "" if peer is None else f"{peer['library']} {figure(peer)}",
            ours,
            symmetrised,
            minutes,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    sources = "; ".join(f"{dataset} {record.source}" for dataset, record in RECORDS.items())
    return "\n".join(lines) + (
        "\n\nNats, test split, ± two standard errors; `mnist` and `cifar10` in logit space, "
        "`magic` of the features as stored. "
        "Minutes of training on one or both of two CPU cores, those of the weights that a model "
        "starts from included. Peers had the same rows and a time "
        f"budget each (`tools/benchmark_peers.py --fit`). Records: {sources}. "
        "BSDS300's patches are drawn anew from the same photographs; `nsf_coupling_bsds300` had "
        "7,000,000 to train on, the papers' models and the others here 1,000,000. "
        "Of 8 symmetries: the exact density of the equal mixture of the model over the square's "
        "mirror images and quarter turns (`zoo.tasks.symmetrised`); the papers' figures are of "
        "single flows."
    )


def training_hours(name: str, published: Mapping[str, Checkpoint]) -> float:
    """Of all stages of a published model, and of the model whose weights the first went on from."""
    if name not in published:
        return 0.0
    run = published[name].run
    if lineage := run.get("lineage"):
        own = float(sum(stage["hours"] or 0.0 for stage in lineage))
    else:
        own = float(run.get("train_hours", 0.0))
    return own + training_hours(stages(registry.get(name).recipe)[0].start, published)


def speed_table(root: Path) -> str:
    """Markdown: rows a second of each library on the same job, the best in bold."""
    results = read_optional(root / PEERS_FILE).get("results", [])
    text = benchmark_peers.table([result for result in results if result["task"] == "speed"])
    if not text:
        return "Not measured in this checkout: `python tools/benchmark_peers.py`."
    return (
        f"{text}\n\nRows a second on 2 CPU cores, float32: 5 layers with two hidden layers (nsf: "
        "three) of 512 units (1024 for D = 784), batches of 1000 (100), each library as its "
        "documentation shows: zoo by `model.log_prob(x)`, `model.fit(x)` and `model.sample(n)` "
        "with nothing set, once it is warm (`tools/benchmark_peers.py`). An empty cell was not "
        "timed."
    )


def cold_table(root: Path) -> str:
    """Markdown: seconds and memory of the first calls of published models."""
    results = read_optional(root / COLD_FILE).get("results", [])
    if not results:
        return "Not measured in this checkout: `python tools/cold_start.py`."
    return (
        f"{cold_start.table(results)}\n\nA new process on 2 CPU cores, after `import tensorflow` "
        "(`tools/cold_start.py`)."
    )


def inversion_table(root: Path) -> str:
    """Markdown: rows a second of inversion by blocks and by TFP's loop."""
    results = read_optional(root / INVERSION_FILE).get("results", [])
    if not results:
        return "Not measured in this checkout: `python tools/inversion_benchmark.py`."
    lines = [
        "| model | direction | D | rows at once | whole passes (TFP) | by blocks | |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in results:
        lines.append(
            f"| {r['job']} | {r['direction']} | {r['size']} | {r['rows']} | {r['loop']:,.0f} | "
            f"**{r['blocks']:,.0f}** | {r['blocks'] / r['loop']:.1f}x |"
        )
    lines.append("")
    lines.append(
        "Rows a second on 2 CPU cores, float32, the same weights (`tools/inversion_benchmark.py`)."
    )
    return "\n".join(lines)


def best_peers(results: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """(dataset, family) -> the best fit of another library."""
    best: dict[tuple[str, str], Mapping[str, Any]] = {}
    for result in results:
        if result["task"] != "fit" or result["library"] == "zoo" or "error" in result:
            continue
        key = (result["dataset"], result["model"])
        if key not in best or result["value"] > best[key]["value"]:
            best[key] = result
    return best
