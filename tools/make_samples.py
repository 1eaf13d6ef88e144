"""Writes zoo/assets/*_test.npz: the first test rows of each dataset, for `zoo.data.samples`.

    python tools/make_samples.py [NAME …]

Needs the prepared datasets (TFDS_DATA_DIR); one that is absent is reported and its file is left
as it is. The files are the same, byte for byte, whenever the rows are.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.recipe import Rows
from zoo.data.sources import available, load_arrays
from zoo.registry import energies
from zoo.registry.entry import SPOKEN_DIGIT

ASSETS = Path(__file__).resolve().parent.parent / "zoo" / "assets"
ENERGIES = {e.recipe.dataset.name: e.recipe.dataset for e in energies.ENTRIES}
LABELS = {
    "magic": "class",
    "mushroom": "class",
    **dict.fromkeys(("binarized_mnist", "binarized_mnist14", "eight_gaussians"), ""),
}
FEATURES = {
    "optdigits": "binary",
    **dict.fromkeys(("magic", "mushroom", "eight_gaussians"), "features"),
}
VERSIONS = {
    "binarized_mnist": "1.0.0",
    "mnist": "3.0.1",
    "fashion_mnist": "3.0.1",
    "cifar10": "3.0.2",
    "digits": "1.0.0",
    "optdigits": "1.0.0",
    "magic": "1.0.0",
    "mushroom": "1.0.0",
    "eight_gaussians": "1.0.0",
    "binarized_mnist14": "1.0.0",
    SPOKEN_DIGIT.name: SPOKEN_DIGIT.version,
    **{name: dataset.version for name, dataset in ENERGIES.items()},
}
ROWS = {
    "binarized_mnist": 64,
    "mnist": 64,
    "fashion_mnist": 64,
    "cifar10": 32,
    "digits": 64,
    "optdigits": 64,
    "magic": 256,
    "mushroom": 128,
    "eight_gaussians": 256,
    "binarized_mnist14": 64,
    "spoken_digit": 8,
    **dict.fromkeys(ENERGIES, 64),
}


def sample_dataset(name: str) -> Rows:
    """The dataset, with the sampled rows as its test split, or at that split's beginning."""
    if name == SPOKEN_DIGIT.name:  # split by the numbers of recordings
        return SPOKEN_DIGIT
    if name in ENERGIES:
        return ENERGIES[name]
    return Rows(
        name=name,
        version=VERSIONS[name],
        train="train",
        validation="",
        test=f"test[:{ROWS[name]}]",
        feature=FEATURES.get(name, "image"),
        context=LABELS.get(name, "label"),
    )


def npz_bytes(columns: dict[str, Any]) -> bytes:
    """A compressed .npz file whose bytes depend on the arrays alone (no time of writing)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, column in columns.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(column), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue(), compresslevel=9)
    return buffer.getvalue()


def main() -> None:
    """Write the files of the datasets named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(VERSIONS)}")
    names = parser.parse_args().names or list(VERSIONS)
    if unknown := set(names) - set(VERSIONS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(VERSIONS)}")
    for name in names:
        dataset = sample_dataset(name)
        if not available(dataset):
            print(f"{name}: not prepared, left as it is")
            continue
        arrays = load_arrays(dataset, "test").take(ROWS[name])
        labels = {} if arrays.context is None else {"label": arrays.context}
        content = npz_bytes({"x": arrays.x, **labels})
        (ASSETS / f"{name}_test.npz").write_bytes(content)
        print(f"{name}: {arrays.rows} rows, {len(content):,} bytes")


if __name__ == "__main__":
    main()
