"""BSDS300 patches: TFDS builders of our own.

The density benchmark of natural images that RNADE (Uria, Murray & Larochelle 2013, arXiv:1306.0186,
Sec. 5.2) and MAF (arXiv:1705.07057) use, drawn again from the photographs of the Berkeley
segmentation dataset (Martin et al., ICCV 2001; 200 train and 100 test images):

1. 8 x 8 patches of the grey image at random places: of train images for train and validation, of
   test images for test;
2. uniform noise in [0, 1) added to the grey levels 0..255, divided by 256;
3. the patch's mean subtracted, the last pixel, which the others determine, dropped: 63 columns.

1,000,000 train, 50,000 validation and 250,000 test rows, float32. They are other patches than those
of the papers' file, from the same images by the same protocol: figures compare closely, not
exactly. `bsds300_extra` has 6,000,000 train rows more, of the same photographs by another seed: a
figure of a model that was trained on them as well is of more patches than MAF's file has.

Every image is drawn from with the same probability, and every place in it. Draws and noise come
from one seed a split; grey is Pillow's "L", ITU-R 601-2 luma.

Source: the folder `$ZOO_RAW_DATA/bsds300` with `train/*.jpg` and `test/*.jpg`, else the archive at
Berkeley (`URL`). It publishes no checksum; the numbers of images and their sizes are checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from zoo.data import building
from zoo.errors import DataError

__all__ = [
    "EXTRA_NAME",
    "NAME",
    "URL",
    "VERSION",
    "Bsds300",
    "Bsds300Extra",
    "draw_patches",
    "local_source",
    "prepare",
    "read_images",
    "to_rows",
]

NAME = "bsds300"
EXTRA_NAME = "bsds300_extra"
VERSION = "1.0.0"
URL = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/BSDS300-images.tgz"
SIDE = 8
COLUMNS = SIDE**2 - 1
SOURCE = "the photographs, as train/*.jpg and test/*.jpg"

_IMAGES = {"train": 200, "test": 100}
_SIZES = ((321, 481), (481, 321))
# Of each dataset's splits the images, the number of rows, the seed.
_SPLITS = {
    NAME: {
        "train": ("train", 1_000_000, 0),
        "validation": ("train", 50_000, 1),
        "test": ("test", 250_000, 2),
    },
    EXTRA_NAME: {"train": ("train", 6_000_000, 3)},
}
_CHUNK = 10_000


class Bsds300(tfds.core.GeneratorBasedBuilder):
    """TFDS builder: {"features": float32 [63]}."""

    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "1,000,000, 50,000 and 250,000 patches."}

    def _info(self) -> Any:
        return building.rows_info(
            self,
            columns=COLUMNS,
            description="8 x 8 grey patches of natural images, dequantised, without their means.",
            homepage="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/",
            licence="for non-commercial research and education; cite Martin et al. 2001",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        folder = building.raw_folder(NAME)
        if folder is None:
            folder = Path(dl_manager.download_and_extract(URL)) / "BSDS300" / "images"
        images = {name: read_images(folder / name, count) for name, count in _IMAGES.items()}
        return {
            split: self._generate_examples(images[name], rows, seed)
            for split, (name, rows, seed) in _SPLITS[self.name].items()
        }

    def _generate_examples(
        self, images: Sequence[np.ndarray], rows: int, seed: int
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        rng = np.random.default_rng(seed)
        patches = draw_patches(images, rows, rng)  # uint8: 0.4 GB at most
        for start in range(0, rows, _CHUNK):
            yield from building.numbered_rows(to_rows(patches[start : start + _CHUNK], rng), start)


class Bsds300Extra(Bsds300):
    """TFDS builder of further rows like the train rows of `Bsds300`: {"features": float32 [63]}."""

    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "6,000,000 patches of train photographs."}


def read_images(folder: Path, count: int) -> list[np.ndarray]:
    """The grey images of a folder in the order of their names: uint8 [321, 481] or [481, 321].

    Raises DataError where there are not `count`, or one cannot be read or has another size.
    """
    from PIL import Image

    paths = sorted(folder.glob("*.jpg"))
    if len(paths) != count:
        raise DataError(f"Expected {count} photographs *.jpg in {folder}; {len(paths)} are there.")
    images = []
    for path in paths:
        try:
            with Image.open(path) as image:
                grey = np.asarray(image.convert("L"))
        except OSError as error:
            raise DataError(f"{path} cannot be read as an image: {error}.") from error
        if grey.shape not in _SIZES:
            raise DataError(
                f"Expected {path} to have 321 x 481 or 481 x 321 pixels; it has "
                f"{grey.shape[0]} x {grey.shape[1]}."
            )
        images.append(grey)
    return images


def draw_patches(images: Sequence[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` patches, uint8 [count, 64], each of a random image at a random place."""
    chosen = rng.integers(len(images), size=count)
    places = rng.random([count, 2])
    patches = np.empty([count, SIDE**2], np.uint8)
    for number, image in enumerate(images):
        rows = np.flatnonzero(chosen == number)
        windows = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE))
        top, left = (places[rows] * windows.shape[:2]).astype(np.int64).T
        patches[rows] = windows[top, left].reshape(-1, SIDE**2)
    return patches


def to_rows(patches: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 [n, 63] of uint8 [n, 64]: (grey + u) / 256 less its mean, without the last pixel."""
    values = (patches + rng.random(patches.shape)) / 256.0
    values -= values.mean(1, keepdims=True)
    return values[:, :-1].astype(np.float32)


def local_source(name: str = NAME) -> Path | None:
    """`$ZOO_RAW_DATA/bsds300` with the photographs, which both datasets are drawn from, or None."""
    del name
    return building.raw_folder(NAME)


def prepare(
    name: str = NAME, *, data_dir: str | Path | None = None, download: bool = False
) -> Path:
    """Prepares either dataset where it is absent; returns its directory (`building.prepare`)."""
    return building.prepare(
        {NAME: Bsds300, EXTRA_NAME: Bsds300Extra}[name],
        name=name,
        version=VERSION,
        raw=NAME,
        source=SOURCE,
        data_dir=data_dir,
        download=download,
    )
