"""The table of datasets of our own: which module builds each. Importable without TensorFlow.

A module has `VERSION`; `local_source(name)`, where on this machine its source files are, or None;
and `prepare(name, data_dir=, download=)`, which returns the prepared dataset's directory.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from zoo import extras

__all__ = ["OWN_DATASETS", "OwnDataset", "builder_module"]


class OwnDataset(NamedTuple):
    """module: of `zoo.data`.   extra: of the package, that brings the source files; "" for none."""

    module: str
    extra: str = ""


OWN_DATASETS = {
    "binarized_mnist14": OwnDataset("binarized_mnist14"),
    "bsds300": OwnDataset("bsds300"),
    "bsds300_extra": OwnDataset("bsds300"),
    "digits": OwnDataset("digits", extra="digits"),
    "eight_gaussians": OwnDataset("eight_gaussians"),
    "gas": OwnDataset("maf_tables"),
    "hepmass": OwnDataset("maf_tables"),
    "magic": OwnDataset("magic", extra="magic"),
    "mushroom": OwnDataset("mushroom", extra="magic"),
    **{f"mushroom_fold{fold}": OwnDataset("mushroom", extra="magic") for fold in range(5)},
    "miniboone": OwnDataset("maf_tables"),
    "optdigits": OwnDataset("optdigits", extra="magic"),
    "power": OwnDataset("maf_tables"),
}


def builder_module(name: str) -> Any:
    """The module that builds a dataset of our own; importing it makes TFDS know the builders.

    Raises MissingExtraError without TFDS.
    """
    extras.tensorflow_datasets()
    return importlib.import_module(f"zoo.data.{OWN_DATASETS[name].module}")
