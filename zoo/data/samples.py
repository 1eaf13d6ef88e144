"""Real test rows that ship in the package, so that a model can score data before any download.

The first rows of each dataset's test split, as stored (`tools/make_samples.py` wrote them):
mnist, fashion_mnist and binarized_mnist 64 uint8 images [28, 28, 1] each, cifar10 32 uint8 images
[32, 32, 3], digits and optdigits (binary) 64 [8, 8, 1], binarized_mnist14 64 [14, 14, 1], magic 256
float32 rows [10], mushroom 128 uint8 rows [23], eight_gaussians 256 [2], spoken_digit 8 int16 clips
[6144], energy_u1 to energy_u4 64 float32 points [2]. Needs NumPy alone.
Licences are listed in zoo/assets/README.md.
"""

from __future__ import annotations

import difflib
from importlib import resources

import numpy as np

from zoo.errors import DataError

__all__ = ["sample_labels", "sample_names", "samples"]

_SUFFIX = "_test.npz"


def sample_names() -> list[str]:
    """The datasets of which the package holds rows, in alphabetical order."""
    names = (item.name for item in resources.files("zoo").joinpath("assets").iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


def samples(name: str) -> np.ndarray:
    """Test rows of a dataset: [rows, ...event shape], of the dataset's own dtype.

    Raises DataError for a dataset of which the package holds none; the message names close ones.
    """
    return _read(name, "x")


def sample_labels(name: str) -> np.ndarray:
    """The labels of `samples(name)`: int32 [rows]. Raises DataError for a dataset without any."""
    return _read(name, "label")


def _read(name: str, key: str) -> np.ndarray:
    path = resources.files("zoo").joinpath("assets", f"{name}{_SUFFIX}")
    names = sample_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise DataError(f"The package holds no rows of {name!r}.{hint} It has {', '.join(names)}.")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        if key not in stored.files:
            raise DataError(f"{name} has no labels.")
        rows: np.ndarray = stored[key]
    return rows
