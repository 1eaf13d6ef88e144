"""The card's studies: comparisons over seeds that the model's recipe is an arm of."""

from __future__ import annotations

from zoo import registry
from zoo.publishing.checkpoint import Checkpoint
from zoo.studies import tables

__all__ = ["studies", "study_text"]


def studies(checkpoint: Checkpoint) -> str:
    """Each with its claim, its protocol and its tables."""
    texts = [
        study_text(name, results, heading="###") for name, results in checkpoint.studies.items()
    ]
    return "\n\n".join(["## Studies", *texts]) if texts else ""


def study_text(name: str, results: tables.Results, *, heading: str) -> str:
    """A study of the registry and what was found, as Markdown."""
    study = registry.get_study(name)
    return (
        f"{heading} {study.title}\n\n{study.claim} {study.protocol} `zoo study {name}`.\n\n"
        f"{tables.markdown(study, results)}"
    )
