"""The card's code: what a person types first with such a model."""

from __future__ import annotations

from collections.abc import Callable

from zoo.data.samples import sample_names
from zoo.publishing.checkpoint import Checkpoint
from zoo.registry.datasets import about

__all__ = ["use"]


def use(checkpoint: Checkpoint) -> str:
    """Loading, scoring some rows, and what else the model can do."""
    load = f'model = zoo.load("{checkpoint.name}")'
    if not checkpoint.named:
        load = f'model = zoo.load("path/to/{checkpoint.name}")  # the folder of this card'
    scores = _scores(checkpoint) if "quick scores" in checkpoint.have else ([], [])
    imports, scored = scores
    lines = ["import zoo", *imports, "", load, *scored, *_more(checkpoint)]
    return "## Use\n\n```python\n" + "\n".join(lines) + "\n```"


def _scores(checkpoint: Checkpoint) -> tuple[list[str], list[str]]:
    """What is imported, and the lines that get rows and score them."""
    dataset, conditional = checkpoint.dataset.name, "conditional" in checkpoint.have
    levels = checkpoint.preprocessing.get("num_levels", 0)
    method = "bits_per_dim" if levels else "log_prob"
    unit = "bits/dim" if levels else "nats"
    if "Infers" in checkpoint.have:
        method, unit = "elbo", "nats"
    imports = []
    rows = ["rows = model.sample(16, seed=1)  # or your own, as the dataset stores them"]
    if dataset in sample_names():
        labels_too = "sample_labels, " if conditional else ""
        imports = [f"from zoo.data import {labels_too}samples"]
        rows = [f'rows = samples("{dataset}")  # real test rows, in the package']
    if "given" in checkpoint.have:
        imports = ["import numpy as np", *imports]
        zeros = "np.zeros((16, *model.context.shape), model.context.dtype)"
        rows = [
            f"contexts = {zeros}  # one a row: your own",
            "rows = model.sample(16, seed=1, context=contexts)  # or your own, with their contexts",
        ]
    if conditional:
        rows.append(f'labels = sample_labels("{dataset}")')
    return imports, [*rows, f"model.{method}(rows{_context(checkpoint)})  # [batch], {unit}"]


def _context(checkpoint: Checkpoint) -> str:
    if "given" in checkpoint.have:
        return ", context=contexts"
    return ", context=labels" if "conditional" in checkpoint.have else ""


def _more(checkpoint: Checkpoint) -> list[str]:
    """The lines of the first of `_LINES` whose needs are met."""
    return next(lines(checkpoint) for needs, lines in _LINES if needs <= checkpoint.have)


def _spoken(checkpoint: Checkpoint) -> list[str]:
    known = about(checkpoint.dataset.name)
    context = f", context={known.contexts}" if known.contexts else _context(checkpoint)
    lines = [f"clips = model.sample(2, seed=1{context})  # {known.meaning}int16"]
    if "Steps" in checkpoint.have:
        label = f", context={known.label}" if known.label else ""
        lines += [
            f"for chunk in model.sample_stream(1{label}, chunk_size=800):",
            "    chunk  # the next 100 ms",
        ]
    return lines


def _inferred(checkpoint: Checkpoint) -> list[str]:
    context = _context(checkpoint)
    return [
        f"model.log_prob(rows{context}, num_importance_samples=100)  # a tighter bound",
        *_drawn(checkpoint),
        f"model.reconstruct(rows{context})  # probabilities of a 1",
    ]


def _drawn(checkpoint: Checkpoint) -> list[str]:
    count = "len(rows)" if "conditional" in checkpoint.have else "16"
    return [f"model.sample({count}, seed=1{_context(checkpoint)})  # data units and dtype"]


def _encoded(checkpoint: Checkpoint) -> list[str]:
    context = _context(checkpoint)
    again = f"model.decode(model.encode(rows{context}){context})  # the rows again"
    return [*_drawn(checkpoint), again]


def _completed(checkpoint: Checkpoint) -> list[str]:
    if checkpoint.dataset.name not in sample_names():
        return [*_drawn(checkpoint), "model.impute(rows)  # what is NaN is drawn"]
    return [
        *_drawn(checkpoint),
        "known = rows == rows",
        "known[:, :3] = False  # the first three of a row are not observed",
        "model.impute(rows, observed=known, seed=1)  # exact draws of them",
        "model.log_prob(rows, num_orders=10, seed=1)  # of the mixture of ten orders",
    ]


_LINES: tuple[tuple[frozenset[str], Callable[[Checkpoint], list[str]]], ...] = (
    (frozenset({"audio", "Samples"}), _spoken),
    (frozenset({"Infers"}), _inferred),
    (frozenset({"Encodes", "quick scores"}), _encoded),
    (frozenset({"AnyOrder"}), _completed),
    (frozenset({"Samples"}), _drawn),
    (frozenset(), lambda _: []),
)
