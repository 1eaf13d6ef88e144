"""The card's figures: metrics beside the paper's, the certificate, rates of sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.core.metric import METRICS
from zoo.media.console import error_text, figure
from zoo.publishing.checkpoint import Checkpoint

LENGTHS = (
    "A clip is scored given its label and the class of its own length, and the silence behind it "
    "is not scored; without the one and with the other it costs more bits. The baselines leave out "
    "the same silence."
)

__all__ = ["certificate", "metric_label", "results", "speed"]


def metric_label(metric: str, value: Mapping[str, Any]) -> str:
    """A metric with its unit: "log_prob_paper (nats, logit space)"."""
    unit = value.get("space") or (METRICS[metric].unit if metric in METRICS else "")
    if "num_importance_samples" in value:
        unit = f"nats, {value['num_importance_samples']} importance samples a row"
    if "log_normaliser" in value:
        unit = f"nats, log Z = {value['log_normaliser']:.4f}"
    if "of" in value:
        unit = f"of {value['of']} latents"
    return f"{metric} ({unit})" if unit else metric


def results(checkpoint: Checkpoint) -> str:
    """The metrics, the paper's figure and the protocol."""
    metrics = checkpoint.metrics
    if not metrics:
        return f"## Results\n\nNot evaluated yet: `zoo evaluate {checkpoint.name}`."
    paper = metrics.get("paper") or {}
    lines = ["| metric | this model | paper |", "| --- | ---: | ---: |"]
    for metric, value in metrics["metrics"].items():
        published = f"{paper['value']:g}" if paper.get("metric") == metric else ""
        lines.append(f"| {metric_label(metric, value)} | {figure(value)} | {published} |")
    text = (
        f"{metrics['count']:,} rows of the {metrics['split']} split of `{metrics['dataset']}`, "
        f"± two standard errors. Protocol: {metrics['protocol']}."
    )
    if paper.get("source"):
        text += f" The paper's figure: {paper['source']}."
    if {"audio", "Steps"} <= checkpoint.have:
        text += f" {LENGTHS}"
    return "## Results\n\n" + "\n".join(lines) + f"\n\n{text}" + _baselines(checkpoint)


def _baselines(checkpoint: Checkpoint) -> str:
    """Other models' figures on the same rows, by the tool that `baselines.json` names."""
    found = {n: b for n, b in checkpoint.baselines.items() if isinstance(b, Mapping)}
    if not found:
        return ""
    metric = next(key for key in METRICS if key in next(iter(found.values())))
    lines = [f"| {name.replace('_', ' ')} | {figure(b[metric])} |" for name, b in found.items()]
    tool = checkpoint.baselines.get("tool", "tools/audio_baselines.py")
    return (
        "\n\nBaselines fitted to the same training rows, scored on the same test rows "
        f"(`{tool}`):\n\n"
        f"| baseline | {metric} ({METRICS[metric].unit}) |\n| --- | ---: |\n" + "\n".join(lines)
    )


def certificate(checkpoint: Checkpoint) -> str:
    """How exactly the flow and its log-determinants invert."""
    found = checkpoint.metrics.get("certificate")
    if not found:
        return ""
    lines = [
        "| conditioners | max abs(x − g(f(x))), data units | max abs(sum of both log-dets), nats |",
        "| --- | ---: | ---: |",
    ]
    for dtype in ("float32", "bfloat16"):
        errors = found[dtype]
        lines.append(
            f"| {dtype} | {error_text(errors['invertibility'])} | {error_text(errors['log_det'])} |"
        )
    return (
        "## Certificate\n\n" + "\n".join(lines) + "\n\n"
        f"{found['rows']:,} rows of the {checkpoint.metrics['split']} split; f maps data "
        "to latents, g back; the flow and its log-determinants are float32 in both."
    )


def speed(checkpoint: Checkpoint) -> str:
    """Rates of sampling clips, by `tools/audio_benchmark.py`."""
    rates = checkpoint.audio_rates
    if not rates:
        return ""
    rows = []
    for batch in (1, 16):
        wall = rates[f"samples_per_second_batch_{batch}"]
        processor = rates[f"samples_per_cpu_second_batch_{batch}"]
        rows.append(f"| batch {batch} | {wall:,.0f} | {processor:,.0f} |")
    if "naive_samples_per_second" in rates:
        wall = rates["naive_samples_per_second"]
        processor = rates["naive_samples_per_cpu_second"]
        rows.append(f"| naive, batch 1 | {wall:,.0f} | {processor:,.0f} |")
    return (
        "## Speed\n\n"
        "| sampling | samples/s | samples per second of processor time |\n| --- | ---: | ---: |\n"
        + "\n".join(rows)
        + f"\n\n{rates['real_time']:g} times real time at batch 1. `tools/audio_benchmark.py`, "
        f"{rates['hardware']}, load average {rates['load_average']:g}; naive: the whole receptive "
        "field computed anew for every sample."
    )
