"""The card's sections about data: what was trained on, samples, limits and licences."""

from __future__ import annotations

import math

from zoo.core.columns import Column, column_of
from zoo.core.recipe import Table, Target
from zoo.publishing.checkpoint import SAMPLES_FILE, SOUND_FILE, Checkpoint
from zoo.registry.datasets import about, column_names

__all__ = ["data", "licences", "limits", "samples", "target"]

TRANSFORMS = {
    "unit": "scaled to [0, 1]",
    "symmetric": "scaled to [-1, 1]",
    "logit": "scaled to [alpha, 1 - alpha] and taken through the logit, alpha = {alpha:g}",
}
WHITENINGS = {
    "standardise": "standardised by the training set's mean and deviation of each dimension",
    "zca": "whitened by ZCA, fitted to the training set",
    "zca_cor": "standardised, then whitened by ZCA, fitted to the training set",
    "separable": "whitened along each axis of a row, fitted to the training set",
}
TARGET = (
    "The target is the density exp(-U) / Z of the energy U = `{energy}` "
    "(`zoo.data.targets.plane`). "
    "Training draws points from the model itself and asks the energy about them; the rows of the "
    "dataset, exact draws from the density that `zoo.data.energies` makes, only name the noise, "
    "and score the model from the other side."
)


def target(checkpoint: Checkpoint) -> str:
    """The density that the model was fitted to, in place of rows."""
    data = checkpoint.entry.recipe.data
    return "## Target\n\n" + TARGET.format(energy=data.energy) if isinstance(data, Target) else ""


def data(checkpoint: Checkpoint) -> str:
    """The splits, and what becomes of a row; "" beside a target."""
    if "target" in checkpoint.have:
        return ""
    if checkpoint.values.get("columns"):
        parts = (_splits(checkpoint), about(checkpoint.dataset.name).policy, _columns(checkpoint))
        return "\n\n".join(["## Data and preprocessing", *filter(None, parts)])
    text = next(text(checkpoint) for needs, text in _ROWS if needs <= checkpoint.have)
    size = math.prod(checkpoint.values["event_shape"])
    columns = column_names(checkpoint.dataset.name, size)
    named = f"\n\nThe columns of a row, in this order: {', '.join(columns)}." if columns else ""
    return f"## Data and preprocessing\n\n{_splits(checkpoint)}{named}\n\n{text}"


def _splits(checkpoint: Checkpoint) -> str:
    dataset = checkpoint.dataset
    more = dataset.more_train
    also = f" and on `{more}:{dataset.version}`" if more else ""
    source = "Rows of the publisher's own," if isinstance(dataset, Table) else "TFDS"
    return (
        f"{source} `{dataset.name}:{dataset.version}`: training on `{dataset.train}`{also}, "
        f"model selection on `{dataset.validation}`, figures from `{dataset.test}`."
    )


def _columns(checkpoint: Checkpoint) -> str:
    """The columns of a table, those of its context last, with what their values may be."""
    lines = ["| column | kind | values |", "| --- | --- | --- |"]
    for role in ("columns", "context_columns"):
        for values in checkpoint.values.get(role, ()):
            column = column_of(values)
            kind = f"{column.kind}, context" if role == "context_columns" else column.kind
            lines.append(f"| {column.name} | {kind} | {_values(column)} |")
    return (
        "\n".join(lines) + "\n\n`log_prob` is of the row as it is stored, in nats: a density of "
        "real, positive, bounded and circular columns, a probability of the others."
    )


def _values(column: Column) -> str:
    """What a column's values may be, in a few words."""
    words = []
    if column.categories:
        shown = ", ".join(column.categories[:8])
        words.append(shown + ("" if len(column.categories) <= 8 else ", …"))
    if column.kind == "bounded":
        words.append(f"between {column.minimum:g} and {column.maximum:g}")
    if column.kind == "circular":
        words.append(f"period {column.period:g} from {column.minimum or 0.0:g}")
    if column.heavy:
        words.append("heavy tails")
    if column.missing:
        words.append("cells may be missing")
    return "; ".join(words)


def _binary(checkpoint: Checkpoint) -> str:
    if checkpoint.entry.recipe.training.binarises:
        return "Pixels are drawn anew at every step, 1 with the probability of the grey level."
    return "Pixels are 0 and 1 as the dataset stores them: the static binarisation."


def _integers(checkpoint: Checkpoint) -> str:
    classes = checkpoint.values.get("num_classes", 0)
    levels = max(classes) if isinstance(classes, list) else classes
    policy = about(checkpoint.dataset.name).policy
    return (
        f"Integers 0 to {levels - 1} as the dataset stores them, without noise: `log_prob` is the "
        f"log of their probability, in nats. {policy}".rstrip()
    )


def _as_stored(checkpoint: Checkpoint) -> str:
    """The dataset's own policy, else the model's preprocessing."""
    if policy := about(checkpoint.dataset.name).policy:
        return policy.format(size=checkpoint.values["event_shape"][0])
    own = _own_files(checkpoint)
    if own and "audio" in checkpoint.have:
        return own
    values, steps = checkpoint.preprocessing, []
    if values.get("num_levels"):
        steps.append(
            f"grey levels 0 to {values['num_levels'] - 1} get uniform noise from [0, 1) and are "
            + TRANSFORMS[values["transform"]].format(alpha=values.get("alpha", 0.0))
        )
    if values.get("whitening", "none") != "none":
        steps.append(f"rows are {WHITENINGS[values['whitening']]}")
    text = "; ".join(steps) if steps else "none"
    return own + (
        f"Preprocessing, part of the model: {text}. Its log-determinant is included: `log_prob` is "
        "in nats of the data as stored."
    )


def _own_files(checkpoint: Checkpoint) -> str:
    """How a person's own files became rows, and their classes; "" of other rows."""
    dataset = checkpoint.dataset
    if not isinstance(dataset, Table) or not dataset.account:
        return ""
    names = ", ".join(f"{label} {name}" for label, name in enumerate(dataset.classes))
    return f"{dataset.account}\n\n" + (f"Labels: {names}.\n\n" if names else "")


# (needs, text): the first whose needs are met.
_ROWS = (
    (frozenset({"Infers", "binary"}), _binary),
    (frozenset({"Encodes", "integers"}), _integers),
    (frozenset({"AnyOrder"}), _integers),
    (frozenset[str](), _as_stored),
)


def samples(checkpoint: Checkpoint) -> str:
    """The pictures and sounds that lie in the folder."""
    if not (checkpoint.folder / SAMPLES_FILE).is_file():
        return ""
    picture = f"![Samples of {checkpoint.name}]({SAMPLES_FILE})"
    if not (checkpoint.folder / SOUND_FILE).is_file():
        return picture
    shown = about(checkpoint.dataset.name).shown or "holds the clips of the picture's last row."
    return f"{picture}\n\n[{SOUND_FILE}]({SOUND_FILE}) {shown}"


def limits(checkpoint: Checkpoint) -> str:
    """What the model is for, and scores of data that it was not trained on."""
    parts = [
        "## Intended use and limits",
        "For research and teaching: densities, latents and samples of this dataset.",
    ]
    other = checkpoint.metrics.get("other_data")
    if other:
        rows = [f"| {name} | {value:g} |" for name, value in other.items()]
        parts += [
            "A likelihood is no test for foreign data: simple images can score better than those "
            "that the model was trained on. Measured with this model (number of images):",
            "| images | bits/dim |\n| --- | ---: |\n" + "\n".join(rows),
        ]
    else:
        parts.append(
            "The density of other data says little, and high values do not mean that a row is "
            "typical."
        )
    return "\n\n".join(part for part in parts if part)


def licences(checkpoint: Checkpoint) -> str:
    """Of the code, the weights and the data."""
    entry, dataset = checkpoint.entry, checkpoint.dataset.name
    return (
        "## Licences\n\n"
        f"- Code: {entry.licence}\n- Weights: {entry.weights_licence}\n"
        f"- Data `{dataset}`: {about(dataset).licence}"
    )
