"""The machine-readable head of a card, by the Hugging Face Hub's specification of model cards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from zoo.publishing.card_results import metric_label
from zoo.publishing.checkpoint import Checkpoint

__all__ = ["front_matter", "to_yaml"]


def front_matter(checkpoint: Checkpoint) -> dict[str, Any]:
    """The head's values."""
    entry, dataset = checkpoint.entry, checkpoint.dataset.name
    measured = checkpoint.metrics.get("metrics", {})
    tags = ["normalizing-flows", "density-estimation", "tensorflow-probability", entry.family]
    matter: dict[str, Any] = {
        "library_name": "keras",
        "license": entry.weights_licence.lower(),
        "datasets": [dataset],
        "metrics": list(entry.metrics or measured),
        "tags": [*tags, *([f"arxiv:{entry.arxiv}"] if entry.arxiv else [])],
    }
    if checkpoint.metrics:
        results = [
            {"type": metric, "name": metric_label(metric, value), "value": value["value"]}
            for metric, value in measured.items()
        ]
        result = {
            "task": {"type": "density-estimation", "name": "Density estimation"},
            "dataset": {
                "type": dataset,
                "name": checkpoint.metrics["dataset"],
                "split": checkpoint.metrics["split"],
            },
            "metrics": results,
        }
        matter["model-index"] = [{"name": entry.name, "results": [result]}]
    return matter


def to_yaml(value: Any, indent: int = 0) -> str:
    """Plain values as block YAML; scalars are written as JSON, which YAML includes."""
    pad = "  " * indent
    lines = []
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(item, Mapping | list) and item:
                lines.append(f"{pad}{key}:\n{to_yaml(item, indent + 1)}")
            else:
                lines.append(f"{pad}{key}: {json.dumps(item, ensure_ascii=False)}\n")
        return "".join(lines)
    for item in value:
        if isinstance(item, Mapping):
            body = to_yaml(item, indent + 1)
            lines.append(f"{pad}- {body.lstrip()}")
        else:
            lines.append(f"{pad}- {json.dumps(item, ensure_ascii=False)}\n")
    return "".join(lines)
