"""The row of the table of models, and the datasets that its recipes share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from zoo.core.recipe import Recipe, Rows

__all__ = [
    "BINARIZED_MNIST",
    "BSDS300",
    "CIFAR10",
    "GAS",
    "HEPMASS",
    "LJSPEECH",
    "MAGIC",
    "MINIBOONE",
    "MNIST",
    "POWER",
    "SPOKEN_DIGIT",
    "SVHN",
    "Entry",
]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One named model.

    paper_metric, paper_value: the figure to compare with, as `metrics.json` names it; empty and
    None where no paper has one.
    """

    name: str
    family: str
    title: str
    paper: str
    arxiv: str
    recipe: Recipe
    description: str
    limitations: str
    metrics: tuple[str, ...]
    paper_metric: str = ""
    paper_value: float | None = None
    paper_source: str = ""
    licence: str = "Apache-2.0"
    weights_licence: str = "Apache-2.0"


MNIST = Rows(
    name="mnist", version="3.0.1", train="train[:50000]", validation="train[50000:]", test="test"
)
BINARIZED_MNIST = Rows(
    name="binarized_mnist", version="1.0.0", train="train", validation="validation", test="test"
)
CIFAR10 = Rows(
    name="cifar10", version="3.0.2", train="train[:45000]", validation="train[45000:]", test="test"
)
SVHN = Rows(
    name="svhn_cropped",
    version="3.1.0",
    train="train[:65000]",
    validation="train[65000:]",
    test="test",
)
MAGIC = Rows(
    name="magic",
    version="1.0.0",
    train="train",
    validation="validation",
    test="test",
    feature="features",
)
BSDS300, POWER, GAS, HEPMASS, MINIBOONE = (
    dataclasses.replace(MAGIC, name=name)
    for name in ("bsds300", "power", "gas", "hepmass", "miniboone")
)
SPOKEN_DIGIT = Rows(
    name="spoken_digit",
    version="1.0.9",
    train="recordings[7:]",
    validation="recordings[5:7]",
    test="recordings[:5]",
    feature="audio",
    context="digit_speaker",
)
LJSPEECH = Rows(
    name="ljspeech",
    version="1.1.1",
    train="train[1000:]",
    validation="train[500:1000]",
    test="train[:500]",
    feature="speech",
    context="mel",
)
