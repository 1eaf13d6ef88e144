"""README's table of families: what each can do, and its best published entry."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from zoo import registry
from zoo.core.capabilities import capabilities_of
from zoo.core.metric import METRICS
from zoo.media.console import figure
from zoo.models import FAMILIES, model_class
from zoo.publishing.card_results import metric_label
from zoo.publishing.checkpoint import Checkpoint

__all__ = ["best_entry", "family_table"]

_ARXIV = re.compile(r"(?<=arXiv:)\d{4}\.\d+")
SLOW = {"density": "log_prob", "sampling": "sample"}
# First authors of papers that no entry cites.
AUTHORS = {"1803.05649": "van den Berg ", "1502.03509": "Germain "}


def family_table(checkpoints: Sequence[Checkpoint]) -> str:
    """One row a family: paper, year, capabilities, best entry, its figure and the paper's."""
    lines = [
        "| family | paper | `log_prob` | `sample` | `encode` | one pass both ways | best entry "
        "| its figure | paper |",
        "| --- | --- | --- | :-: | :-: | :-: | --- | ---: | ---: |",
    ]
    lines += [f"| {' | '.join(_cells(family, checkpoints))} |" for family in FAMILIES]
    return "\n".join(lines)


def _cells(family: str, checkpoints: Sequence[Checkpoint]) -> list[str]:
    kind = model_class(family)
    can = capabilities_of(kind)
    precision = kind.precision if "Scores" in can else ""
    cells = [
        f"`{family}`",
        _paper(family),
        {"bound": "lower bound", "estimate": "estimate"}.get(precision, precision),
        "yes" if "Samples" in can else "",
        ("yes" if "Encodes" in can else "posterior" if "Infers" in can else ""),
        f"slow {SLOW[kind.slow_direction]}" if kind.slow_direction in SLOW else _one_pass(can),
    ]
    best = best_entry([c for c in checkpoints if c.entry.family == family and c.metrics])
    if best is None:
        return [*cells, "", "", ""]
    metric, value = headline(best)
    paper = best.metrics.get("paper") or {}
    return [
        *cells,
        f"[`{best.name}`](checkpoints/{best.name}/card.md)",
        f"{figure(value)} {_unit(metric_label(metric, value))}",
        f"{paper['value']:g}" if paper.get("metric") == metric else "",
    ]


def _unit(label: str) -> str:
    """The unit that a metric's label has in brackets: "nats, pixels in [0, 1]"."""
    return label.partition(" (")[2].removesuffix(")")


def _one_pass(can: frozenset[str]) -> str:
    return "slow sample" if "Steps" in can else "yes" if "Encodes" in can else ""


def _paper(family: str) -> str:
    """First author and year with a link to arXiv; the link alone where no entry names authors."""
    entry = next((e for e in registry.ENTRIES.values() if e.family == family), None)
    if entry is None:
        document = sys.modules[model_class(family).__module__].__doc__ or ""
        found = _ARXIV.search(document)
        if found is None:
            return ""
        number, author = found[0], AUTHORS.get(found[0], "")
    else:
        number = entry.arxiv
        people = entry.paper.partition(":")[0]
        author = people.partition(",")[0].removesuffix(" et al.") + " "
    return f"[{author}20{number[:2]}](https://arxiv.org/abs/{number})"


def best_entry(checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """The checkpoint whose figure stands best beside its paper's; the first, where none has one."""

    def gain(checkpoint: Checkpoint) -> float:
        metric, value = headline(checkpoint)
        paper = checkpoint.metrics.get("paper") or {}
        if paper.get("metric") != metric:
            return -float("inf")
        sign = 1.0 if METRICS[metric].better == "higher" else -1.0
        return sign * (value["value"] - paper["value"]) / abs(paper["value"])

    return max(checkpoints, key=gain, default=None)


def headline(checkpoint: Checkpoint) -> tuple[str, dict[str, float]]:
    """The entry's first metric that has been evaluated, and its value."""
    values = checkpoint.metrics["metrics"]
    metric = next(metric for metric in checkpoint.entry.metrics if metric in values)
    return metric, values[metric]
