"""Datasets: TFDS by pinned version, builders of our own, batches, sample rows of the package.

Importing this package is light: TensorFlow Datasets is not imported. Whenever it is, before or
after, the zoo's own builders (`zoo.data.builders`) are registered with it, so that
`tfds.load("magic")` works.
"""

from __future__ import annotations

import logging
from typing import Any

import wrapt

from zoo.data.builders import OWN_DATASETS, builder_module
from zoo.data.samples import sample_labels, sample_names, samples

__all__ = ["sample_labels", "sample_names", "samples"]


def _register_builders(_: Any) -> None:
    """Import the builders of our own; defining one registers it.

    What TFDS says of its own use of a field of its own is not passed on: no caller can mend it.
    """
    logging.getLogger("absl").addFilter(
        lambda record: ".dtype` is deprecated" not in str(record.msg)
    )
    for name in OWN_DATASETS:
        builder_module(name)


wrapt.register_post_import_hook(_register_builders, "tensorflow_datasets")
