"""A model card: a checkpoint's own files and the registry's entry, as Markdown.

A section is there where the model can do, or is of, what the section needs (`Checkpoint.have`), and
where the files have something to say in it.
"""

from __future__ import annotations

from collections.abc import Callable

from zoo.publishing.card_data import data, licences, limits, samples, target
from zoo.publishing.card_results import certificate, results, speed
from zoo.publishing.card_studies import studies
from zoo.publishing.card_summary import summary
from zoo.publishing.card_training import by_hand, checksums, training
from zoo.publishing.card_use import use
from zoo.publishing.checkpoint import Checkpoint
from zoo.publishing.front_matter import front_matter, to_yaml

__all__ = ["CARD_FILE", "SECTIONS", "card_body", "render_card"]

CARD_FILE = "card.md"


def title(checkpoint: Checkpoint) -> str:
    """Title, what a hand did to the weights, description."""
    entry = checkpoint.entry
    parts = [f"# {entry.title}", by_hand(checkpoint), entry.description]
    return "\n\n".join(part for part in parts if part)


def facts(checkpoint: Checkpoint) -> str:
    """Name, paper, shape and size."""
    entry, config = checkpoint.entry, checkpoint.config
    count = config.get("num_parameters")
    shape = checkpoint.values.get("event_shape", [])
    link = f", [arXiv:{entry.arxiv}](https://arxiv.org/abs/{entry.arxiv})" if entry.arxiv else ""
    rows = [
        f"- Name: `{entry.name}`, family `{entry.family}`",
        f"- Paper: {entry.paper}{link}",
        f"- Rows: {' x '.join(map(str, shape))}",
    ]
    if count is not None:
        rows.append(f"- Parameters: {count:,}, stored as {config.get('storage_dtype', 'float32')}")
    return "\n".join(rows)


Section = Callable[[Checkpoint], str]

# (needs, section), in their order on the card; a section that has nothing to say is left out.
SECTIONS: tuple[tuple[frozenset[str], Section], ...] = (
    (frozenset(), title),
    (frozenset({"Samples"}), samples),
    (frozenset(), summary),
    (frozenset(), facts),
    (frozenset(), results),
    (frozenset(), studies),
    (frozenset({"audio", "Samples"}), speed),
    (frozenset(), use),
    (frozenset({"target"}), target),
    (frozenset(), data),
    (frozenset(), training),
    (frozenset({"Bijective"}), certificate),
    (frozenset(), limits),
    (frozenset(), licences),
    (frozenset(), checksums),
)


def card_body(checkpoint: Checkpoint) -> str:
    """The card as Markdown, from its title on."""
    texts = [section(checkpoint) for needs, section in SECTIONS if needs <= checkpoint.have]
    return "\n\n".join(text for text in texts if text) + "\n"


def render_card(checkpoint: Checkpoint) -> str:
    """The card.md of a checkpoint: front matter that the Hugging Face Hub reads, then the card."""
    return f"---\n{to_yaml(front_matter(checkpoint))}---\n\n{card_body(checkpoint)}"
