"""The card's first lines: what the model is for, what it is bad at, what a number is worth."""

from __future__ import annotations

from zoo.publishing.checkpoint import Checkpoint

__all__ = ["SCORES", "summary"]

_ROWS = {
    "image": "images",
    "audio": "clips",
    "features": "rows",
    "points": "points",
    "tokens": "sequences",
}
# What log_prob is, of (measure, precision).
SCORES = {
    ("density", "exact"): "an exact density",
    ("mass", "exact"): "an exact probability",
    ("mixed", "exact"): "an exact density, or probability where columns are discrete,",
    ("volume", "exact"): "an exact density on its surface",
    ("density", "bound"): "a lower bound of the density",
    ("mass", "bound"): "a lower bound of the probability",
    ("density", "estimate"): "an estimate of the density",
    ("mass", "estimate"): "an estimate of the probability",
}
_SLOW = {
    "sampling": "Draws are slow: up to one pass of the network per dimension.",
    "density": "Scores are slow: up to one pass of the network per dimension.",
}


def summary(checkpoint: Checkpoint) -> str:
    """Three short paragraphs, made of what the model can do and of its metrics."""
    texts = (part(checkpoint) for part in (_good, _bad, _worth))
    return "\n\n".join(text for text in texts if text)


def _good(checkpoint: Checkpoint) -> str:
    have, dataset = checkpoint.have, checkpoint.dataset.name
    rows = next((word for medium, word in _ROWS.items() if medium in have), "rows")
    does = []
    if "Scores" in have:
        does.append(f"gives {rows} like those of `{dataset}` {SCORES[checkpoint.scores]}")
    if "Samples" in have:
        by = " of a given class or speaker" if "conditional" in have and "audio" in have else ""
        by = by or (" of a given class" if "conditional" in have else "")
        does.append(f"draws new ones{by}")
    if "Infers" in have:
        does.append("takes them to a few latents and back")
    elif "Encodes" in have:
        does.append("takes them to latents and back without loss")
    if "AnyOrder" in have:
        does.append("fills in what is missing of them by exact draws")
    elif "Imputes" in have:
        does.append("fills in missing cells")
    return f"**What it is for.** It {_listed(does)}."


def _bad(checkpoint: Checkpoint) -> str:
    parts = [checkpoint.entry.limitations]
    parts.append(_SLOW.get(checkpoint.metrics.get("slow_direction", "none"), ""))
    told = " ".join(part for part in parts if part)
    return f"**What it is bad at.** {told}" if told else ""


def _worth(checkpoint: Checkpoint) -> str:
    metrics = checkpoint.metrics
    if not metrics:
        return "**How far to trust a number.** It has not been evaluated."
    text = (
        f"**How far to trust a number.** Figures are means over {metrics['count']:,} rows that it "
        "was not trained on; ± is two standard errors of that mean, for these weights: another "
        "training run differs by more."
    )
    return f"{text} A score of rows unlike `{checkpoint.dataset.name}` says little, high or low."


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
