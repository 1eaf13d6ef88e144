"""Binarised MNIST at half its size, 14 x 14: a TFDS builder of our own.

The rows and the splits of `binarized_mnist` (Larochelle's, 50,000, 10,000 and 10,000), one pixel
for 2 x 2: on where at least two of the four are. Nothing is drawn. It is made from the prepared
dataset `binarized_mnist` 1.0.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from zoo.core.data import Rows
from zoo.data import building, sources

__all__ = ["NAME", "VERSION", "BinarizedMnist14", "halved", "local_source", "prepare"]

NAME, VERSION = "binarized_mnist14", "1.0.0"
SOURCE = Rows(
    name="binarized_mnist", version="1.0.0", train="train", validation="validation", test="test"
)


class BinarizedMnist14(tfds.core.GeneratorBasedBuilder):
    """TFDS builder: {"image": uint8 [14, 14, 1] of 0 and 1}."""

    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "On where two of four pixels are."}

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Binarised MNIST at half its size.",
            features=tfds.features.FeaturesDict(
                {"image": tfds.features.Image(shape=(14, 14, 1), encoding_format="png")}
            ),
            homepage="http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
            disable_shuffling=True,  # rows stay in the order of `binarized_mnist`
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager
        return {
            name: self._generate_examples(sources.load_arrays(SOURCE, name).x)
            for name in sources.SPLITS
        }

    def _generate_examples(self, images: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, image in enumerate(halved(images)):
            yield number, {"image": image}


def halved(images: np.ndarray) -> np.ndarray:
    """Binary images [rows, 2 h, 2 w, 1] at half their size: uint8 [rows, h, w, 1]."""
    rows, height, width, _ = images.shape
    counts = (images > 0).reshape(rows, height // 2, 2, width // 2, 2).sum((2, 4))
    found: np.ndarray = (counts >= 2).astype(np.uint8)[..., None]
    return found


def local_source(name: str = NAME) -> Path | None:
    """The prepared dataset that it is made from; None where there is none."""
    del name
    return sources.find_prepared(SOURCE)


def prepare(
    name: str = NAME, *, data_dir: str | Path | None = None, download: bool = False
) -> Path:
    """Prepares the dataset where it is absent; returns its directory. Raises DataError."""
    if download and local_source() is None:
        sources.open_builder(SOURCE, download=True)
    return building.prepare(
        BinarizedMnist14,
        name=name,
        version=VERSION,
        source="it is made from the prepared dataset binarized_mnist 1.0.0",
        data_dir=data_dir,
        download=local_source() is not None,
    )
