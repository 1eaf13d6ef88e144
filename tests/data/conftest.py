"""A tiny prepared dataset, and the real ones where they are at hand."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from zoo.core.recipe import Rows
from zoo.data import sources
from zoo.registry import energies
from zoo.registry.any_order import BINARY_DIGITS
from zoo.registry.ddf import DDF_MNIST14, EIGHT_GAUSSIANS
from zoo.registry.dtf import MUSHROOM
from zoo.registry.entry import BINARIZED_MNIST, SPOKEN_DIGIT
from zoo.registry.idf import DIGITS

TRAIN_ROWS = 12
TEST_ROWS = 5

REAL = {
    "mnist": Rows(
        name="mnist",
        version="3.0.1",
        train="train[:50000]",
        validation="train[50000:]",
        test="test",
        context="label",
    ),
    "fashion_mnist": Rows(
        name="fashion_mnist",
        version="3.0.1",
        train="train[:50000]",
        validation="train[50000:]",
        test="test",
        context="label",
    ),
    "cifar10": Rows(
        name="cifar10",
        version="3.0.2",
        train="train[:45000]",
        validation="train[45000:]",
        test="test",
        context="label",
    ),
    "magic": Rows(
        name="magic",
        version="1.0.0",
        train="train",
        validation="validation",
        test="test",
        feature="features",
        context="class",
    ),
    "digits": dataclasses.replace(DIGITS, context="label"),
    "optdigits": dataclasses.replace(BINARY_DIGITS, context="label"),
    "spoken_digit": SPOKEN_DIGIT,
    "binarized_mnist": BINARIZED_MNIST,
    "binarized_mnist14": DDF_MNIST14.data,
    "eight_gaussians": EIGHT_GAUSSIANS,
    "mushroom": dataclasses.replace(MUSHROOM, context="class"),
    **{e.recipe.dataset.name: e.recipe.dataset for e in energies.ENTRIES},
}


def tiny_image(row: int) -> np.ndarray:
    """Image of a row: no two rows and no two pixels of a row are equal."""
    return (np.arange(4, dtype=np.uint8) + 4 * row).reshape(2, 2, 1)


class ZooTinyImages(tfds.core.GeneratorBasedBuilder):
    """12 train and 5 test images [2, 2, 1]; the label of row r is r % 3."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(2, 2, 1)),
            "label": tfds.features.ClassLabel(num_classes=3),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        rows = range(TRAIN_ROWS + TEST_ROWS)
        return {
            "train": self._generate_examples(rows[:TRAIN_ROWS]),
            "test": self._generate_examples(rows[TRAIN_ROWS:]),
        }

    def _generate_examples(self, rows):
        for row in rows:
            yield row, {"image": tiny_image(row), "label": row % 3}


TINY = Rows(
    name="zoo_tiny_images",
    version="1.0.0",
    train="train[:9]",
    validation="train[9:]",
    test="test",
    context="label",
)


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFDS directory that holds zoo_tiny_images 1.0.0; read it, do not write to it."""
    root = tmp_path_factory.mktemp("tfds")
    ZooTinyImages(data_dir=str(root)).download_and_prepare()
    return root


@pytest.fixture(scope="session")
def real_arrays() -> Callable[[str, str], sources.Arrays]:
    """Reads a split of a real dataset once; skips where it is absent."""
    known: dict[tuple[str, str], sources.Arrays] = {}

    def read(name: str, split: str) -> sources.Arrays:
        dataset = REAL[name]
        if not sources.available(dataset):
            pytest.skip(f"{name} {dataset.version} is not prepared: set TFDS_DATA_DIR")
        if (name, split) not in known:
            known[name, split] = sources.load_arrays(dataset, split)
        return known[name, split]

    return read


@pytest.fixture(scope="session")
def real_datasets() -> dict[str, Rows]:
    """The real datasets as the recipes name them."""
    return REAL


@pytest.fixture
def tiny() -> Rows:
    """The tiny dataset: train [:9] of 12 rows, validation [9:], test 5 rows; labels as context."""
    return TINY
