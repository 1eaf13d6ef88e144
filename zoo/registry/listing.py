"""What a listing shows of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ModelInfo"]


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What is known of a model without building it.

    `num_parameters` is None, `metrics` is {} and `card` is "" until the model has a checkpoint on
    this machine; `metrics` is the content of its `metrics.json`, `version` that of its weights
    (0 without published weights), `columns` the names of a row's numbers, where they have any.
    """

    name: str
    family: str
    title: str
    description: str
    dataset: str
    paper: str
    arxiv: str
    event_shape: tuple[int, ...]
    columns: tuple[str, ...] = ()
    num_parameters: int | None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    licence: str
    limitations: str
    pretrained: bool
    version: int
    card: str = ""

    def __str__(self) -> str:
        """A few aligned lines; the card is left out."""
        count = "unknown" if self.num_parameters is None else f"{self.num_parameters:,}"
        weights = f"version {self.version}" if self.pretrained else "none published"
        rows = [
            ("title", self.title),
            ("family", self.family),
            ("paper", f"{self.paper} (arXiv:{self.arxiv})" if self.arxiv else self.paper),
            ("dataset", self.dataset),
            ("event shape", str(list(self.event_shape))),
            *([("columns", ", ".join(self.columns))] if self.columns else []),
            ("parameters", count),
            ("weights", weights),
            ("licence", self.licence),
        ]
        rows += [(name, _figure(value)) for name, value in self.metrics.get("metrics", {}).items()]
        width = max(len(label) for label, _ in rows)
        return "\n".join([self.name, *(f"  {label:<{width}}  {text}" for label, text in rows)])


def _figure(metric: Mapping[str, Any]) -> str:
    text = f"{metric['value']:.6g}"
    if "two_standard_errors" in metric:
        text += f" ± {metric['two_standard_errors']:.2g}"
    return text
