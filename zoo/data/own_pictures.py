"""A folder of pictures as rows of one size: uint8 [rows, height, width, 1 or 3].

A picture is turned as its EXIF says, laid on white where it is transparent, resized so that it
covers the size and cropped at the centre; colours are brought to sRGB, 16 bits to 8. Of an
animation the first picture counts. The size, where none is given, is the pictures' own if all have
the same, of at most `LARGEST_OWN` pixels a side; else a square as large as the shorter side of the
middle one, at most `LARGEST` pixels, a multiple of 4. Rows are grey where no picture has a colour.
"""

from __future__ import annotations

import contextlib
import re
import statistics
import struct
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageCms, ImageOps

from zoo.data.folders import Files, read_files, several
from zoo.data.own_rows import Prepared
from zoo.errors import InvalidInputError

__all__ = ["LARGEST", "LARGEST_OWN", "Mode", "prepare"]

LARGEST, LARGEST_OWN = 32, 64
_SMALLEST = 2
_ALIKE = 2  # grey levels that the channels of a grey picture may differ by, as after JPEG
_TURNED = (5, 6, 7, 8)  # EXIF orientations with height and width exchanged
_PILLOW_ERRORS = (
    OSError, EOFError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError
)  # fmt: skip

Mode = Literal["auto", "grey", "rgb"]


def prepare(
    files: Files, *, size: str = "", mode: Mode = "auto", skip_broken: bool = False
) -> Prepared:
    """The pictures as rows.

    size: "32", or "WIDTHxHEIGHT"; "" for the rule of the module's docstring.
    Raises InvalidInputError for a size that is none, and for pictures that cannot be read.
    """
    wanted = _size_of(size)
    sizes, paths, broken = read_files(files, _stored_size, skip_broken=skip_broken)
    if not paths:
        raise InvalidInputError(f"None of the pictures can be read: {several(broken)}.")
    width, height = wanted or _common_size(sizes)
    readable = Files(folder=files.folder, kind=files.kind, paths=tuple(paths))
    pixels, paths, damaged = read_files(
        readable, lambda path: _pixels(path, width, height), skip_broken=skip_broken
    )
    if not paths:
        raise InvalidInputError(f"None of the pictures can be read: {several(damaged)}.")
    grey = mode == "grey" or (mode == "auto" and not any(map(_coloured, pixels)))
    x = np.stack([_grey(picture) for picture in pixels] if grey else pixels)
    return Prepared(
        x=x,
        labels=files.labels(paths),
        groups=tuple(row.tobytes() for row in x),
        account=_account(sizes, width, height, grey=grey),
        broken=(*broken, *damaged),
    )


def _size_of(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip().lower())
    numbers = (0, 0) if match is None else (int(match[1]), int(match[2] or match[1]))
    if min(numbers) < _SMALLEST:
        raise InvalidInputError(
            f"Expected --size 32 or --size WIDTHxHEIGHT, of at least {_SMALLEST} pixels; got "
            f"{text!r}."
        )
    return numbers


def _common_size(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """(width, height) by the rule."""
    first = sizes[0]
    if len(set(sizes)) == 1 and min(first) >= _SMALLEST and max(first) <= LARGEST_OWN:
        return first
    side = int(min(statistics.median_low([min(size) for size in sizes]), LARGEST))
    side = max(side // 4 * 4, 4)
    return side, side


def _stored_size(path: Path) -> tuple[int, int]:
    """(width, height) as the picture is seen; its pixels are not read."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) in _TURNED
            return (image.height, image.width) if turned else (image.width, image.height)
    except _PILLOW_ERRORS as error:
        raise InvalidInputError(f"{path} ({error})") from error


def _pixels(path: Path, width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3]."""
    try:
        with Image.open(path) as stored:
            profile = stored.info.get("icc_profile")
            stored.draft(None, (2 * max(width, height),) * 2)  # a JPEG is decoded small
            image = _flat(ImageOps.exif_transpose(stored))
            if image.size != (width, height):
                image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
            return np.asarray(_in_srgb(image, profile), np.uint8)
    except _PILLOW_ERRORS as error:
        raise InvalidInputError(f"{path} ({error})") from error


def _flat(image: Image.Image) -> Image.Image:
    """Without a palette, transparency or more than 8 bits."""
    if image.mode.startswith("I"):
        levels = np.asarray(image, np.float64) / 257.0  # 65,535 is 255
        return Image.fromarray(np.clip(np.round(levels), 0, 255).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floats, whose range is not known")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """In RGB, by the file's profile where it has one that can be used."""
    if profile and image.mode != "L":
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            image = image if converted is None else converted
    return image.convert("RGB")


def _grey(pixels: np.ndarray) -> np.ndarray:
    """uint8 [height, width, 1]: the luma of ITU-R BT.601, as Pillow's own."""
    return np.round(pixels @ np.array([0.299, 0.587, 0.114]))[..., None].astype(np.uint8)


def _coloured(pixels: np.ndarray) -> bool:
    values = pixels.astype(np.int16)
    return bool((values.max(-1) - values.min(-1)).max() > _ALIKE)


def _account(sizes: list[tuple[int, int]], width: int, height: int, *, grey: bool) -> str:
    """How pictures of these sizes became rows."""
    different = sorted(set(sizes), key=lambda size: size[0] * size[1])
    smallest, largest = (f"{w} x {h}" for w, h in (different[0], different[-1]))
    stored = f"of {len(different):,} sizes, {smallest} to {largest} pixels,"
    if len(different) == 1:
        stored = f"of {smallest} pixels,"
    if different != [(width, height)]:
        stored += f" resized and cropped at the centre to {width} x {height},"
    colours = "grey" if grey else "colour"
    return (
        f"{len(sizes):,} pictures {stored} in {colours}; turned as EXIF says, on white where "
        "transparent."
    )
