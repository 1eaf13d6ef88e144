"""The categories of datasets of our own, by column. Importable without TensorFlow.

A row holds the place of each cell's text in its column's vocabulary; configs keep the texts, so
that a model takes and gives tables with the same letters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["MUSHROOM", "categorical_columns"]

MUSHROOM = {
    "cap-shape": "bcfksx",
    "cap-surface": "fgsy",
    "cap-color": "bcegnpwy",
    "bruises": "ft",
    "odor": "acflmnp",
    "gill-attachment": "af",
    "gill-spacing": "cw",
    "gill-size": "bn",
    "gill-color": "ghknpruwy",
    "stalk-shape": "et",
    "stalk-root": "bcer",
    "stalk-surface-above-ring": "fksy",
    "stalk-surface-below-ring": "fksy",
    "stalk-color-above-ring": "bcgnpwy",
    "stalk-color-below-ring": "bcgnpwy",
    "veil-type": "p",
    "veil-color": "wy",
    "ring-number": "not",
    "ring-type": "elnp",
    "spore-print-color": "hknruw",
    "population": "acnsvy",
    "habitat": "dglmpu",
    "class": "ep",
}
"""Of UCI 73, one letter a category, as its files have them."""


def categorical_columns(vocabularies: Mapping[str, str]) -> list[dict[str, Any]]:
    """Columns of a config (`zoo.core.columns`) of one-letter categories, as JSON."""
    return [
        {"name": name, "kind": "category", "categories": list(letters)}
        for name, letters in vocabularies.items()
    ]
