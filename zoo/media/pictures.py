"""Pictures of images and latents: grids, interpolations, files. NumPy and Pillow, no TensorFlow.

Images are uint8 [rows, height, width, channels] with one grey channel or three colours, as the
models take and return them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from zoo.errors import InvalidInputError

__all__ = [
    "as_grey",
    "grid",
    "interpolate",
    "labels_in_turn",
    "read_image",
    "save_png",
    "spherical",
    "stack",
]

GAP = 2  # pixels between images
BACKGROUND = 255  # white


def grid(images: Any, *, columns: int = 0) -> np.ndarray:
    """The images side by side, row by row, with gaps and a frame.

    images: uint8 [rows, height, width, channels], channels 1 or 3.   columns: 0 for the smallest
    square that holds them all.   returns: uint8 [grid height, grid width, channels].
    Raises InvalidInputError for anything else.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise InvalidInputError(
            "A picture needs images [rows, height, width, 1 or 3 channels]; got "
            f"{list(images.shape)}. Write rows of another kind to .npy, .npz or .csv."
        )
    if images.dtype != np.uint8:
        raise InvalidInputError(f"A picture needs grey levels as uint8; got {images.dtype}.")
    if columns < 0:
        raise InvalidInputError(f"columns must be 0 or more; got {columns}.")
    count, height, width, channels = images.shape
    across = min(columns, count) if columns else math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    canvas = np.full(
        [GAP + down * (height + GAP), GAP + across * (width + GAP), channels], BACKGROUND, np.uint8
    )
    for index, image in enumerate(images):
        top = GAP + index // across * (height + GAP)
        left = GAP + index % across * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    return canvas


def stack(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of any width under one another, left aligned, in colour.

    pictures: uint8 [height, width, 1 or 3] each.   returns: uint8 [sum of heights, widest, 3].
    """
    if not pictures:
        raise InvalidInputError("Nothing to stack: expected at least one picture.")
    widest = max(picture.shape[1] for picture in pictures)
    canvas = np.full([sum(p.shape[0] for p in pictures), widest, 3], BACKGROUND, np.uint8)
    top = 0
    for picture in pictures:
        height, width, _ = picture.shape
        canvas[top : top + height, :width] = picture
        top += height
    return canvas


def as_grey(rows: np.ndarray, levels: int) -> np.ndarray:
    """Rows of grey levels 0..levels - 1 as those of a picture, 0..255, if there are so few."""
    return rows * (255 // (levels - 1)) if 2 <= levels < 256 else rows


def labels_in_turn(number: int, labels: int) -> np.ndarray:
    """0, 1, ... labels - 1, over and over: int32 [number]."""
    return np.arange(number, dtype=np.int32) % labels


def save_png(
    path: str | Path, picture: np.ndarray, *, scale: int = 1, text: Mapping[str, str] | None = None
) -> Path:
    """Writes uint8 [height, width, 1 or 3] as a PNG, each pixel `scale` x `scale` large.

    text: what the file says of itself, key by key.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    enlarged = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    said = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        said.add_text(key, value)
    Image.fromarray(enlarged[..., 0] if enlarged.shape[-1] == 1 else enlarged).save(
        path, format="PNG", optimize=True, pnginfo=said
    )
    return path


def read_image(path: str | Path, event_shape: Sequence[int]) -> np.ndarray:
    """One image file as a row of a model: uint8 [1, *event_shape].

    It is turned as its orientation (EXIF) says. Nothing is resized and nothing thrown away: the
    file must have the model's size and kind, one frame, 8 bits, the colours of sRGB, and no pixel
    that is transparent. Raises InvalidInputError where it has not, or is no image.
    """
    path = Path(path)
    if len(event_shape) != 3:
        raise InvalidInputError(
            f"{path} is no .csv, .npy or .npz, and the model takes rows of shape "
            f"{list(event_shape)}."
        )
    height, width, channels = event_shape
    try:
        with Image.open(path) as stored:
            _refuse_more_than_a_picture(stored, path)
            image = ImageOps.exif_transpose(stored)
            grey = image.mode in ("1", "L")
            if image.size != (width, height) or grey != (channels == 1):
                raise InvalidInputError(
                    f"{path} is {'grey' if grey else 'in colour'}, {image.width} x {image.height}; "
                    f"the model takes {'grey' if channels == 1 else 'colour'} images of {width} x "
                    f"{height}. Convert it first."
                )
            pixels = np.asarray(image.convert("L" if grey else "RGB"), np.uint8)
    except FileNotFoundError as error:
        raise InvalidInputError(f"No file {path}.") from error
    except (
        OSError, EOFError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError
    ) as error:  # fmt: skip
        if isinstance(error, InvalidInputError):
            raise
        # The others are what Pillow raises.
        raise InvalidInputError(f"{path} cannot be read as an image ({error}).") from error
    return pixels.reshape([1, height, width, channels])


def _refuse_more_than_a_picture(image: Image.Image, path: Path) -> None:
    """Raises InvalidInputError for what a row of 8-bit pixels cannot hold of a file."""
    if image.mode not in ("1", "L", "RGB", "P"):
        raise InvalidInputError(
            f"{path} has pixels of kind {image.mode!r}; expected 8 bits of grey or RGB."
        )
    tiles: Any = getattr(image, "tile", ())  # how the file's format stores pixels
    bits = [str(argument) for tile in tiles for argument in np.ravel(tile[3])]
    if any(";16" in text or text == "65535" for text in bits):
        raise InvalidInputError(
            f"{path} has 16 bits a channel; expected 8. Convert it: `magick {path.name} -depth 8 "
            "out.png`."
        )
    frames = getattr(image, "n_frames", 1)
    sizes = len(image.info.get("sizes", ())) if image.format in ("ICO", "ICNS") else 1
    if max(frames, sizes) > 1:
        raise InvalidInputError(
            f"{path} holds {max(frames, sizes)} pictures; expected one. Take one of them, the "
            f"first: `magick '{path.name}[0]' out.png`."
        )
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise InvalidInputError(
            f"{path} is transparent in places; expected 8 bits of grey or RGB alone. Lay it on a "
            f"colour: `magick {path.name} -background white -alpha remove -alpha off out.png`."
        )
    colours = _colours(image)
    if colours:
        raise InvalidInputError(
            f"{path} has the colours of {colours!r}; expected sRGB. Convert it first, or remove "
            f"the profile to take its numbers as they are: `magick {path.name} -strip out.png`."
        )


def _colours(image: Image.Image) -> str:
    """The name of the file's colour space, where that is not known to be sRGB's or a grey's."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            opened = ImageCms.ImageCmsProfile(BytesIO(profile))
            name = ImageCms.getProfileDescription(opened).strip()
        except (ImageCms.PyCMSError, OSError):
            name = "a profile that cannot be read"
        grey = image.mode in ("1", "L") and "linear" not in name.lower()
        return "" if grey or "srgb" in name.lower() else name
    gamma = image.info.get("gamma", 1 / 2.2)
    if "srgb" not in image.info and abs(gamma - 1 / 2.2) > 0.02:
        return f"gamma {gamma:g}"
    return ""


def spherical(start: np.ndarray, end: np.ndarray, fraction: float) -> np.ndarray:
    """Points on the great circle from `start` (fraction 0) to `end` (1), rows of [..., D].

        z(t) = (sin((1 - t) a) start + sin(t a) end) / sin a,   a = the angle between them

    The radius stays where a base density in many dimensions has its mass, which a straight line
    would leave. Rows that are (nearly) parallel are joined by the straight line.
    """
    lengths = np.linalg.norm(start, axis=-1) * np.linalg.norm(end, axis=-1)
    cosine = np.sum(start * end, axis=-1) / np.maximum(lengths, np.finfo(np.float64).tiny)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))[..., np.newaxis]
    sine = np.sin(angle)
    straight = sine < 1e-4
    divisor = np.where(straight, 1.0, sine)
    first = np.where(straight, 1.0 - fraction, np.sin((1.0 - fraction) * angle) / divisor)
    second = np.where(straight, fraction, np.sin(fraction * angle) / divisor)
    return first * start + second * end


def interpolate(model: Any, start: Any, end: Any, *, steps: int = 8, context: Any = None) -> Any:
    """Data on the way from `start` to `end` through the model's latent space.

    encode both, walk the great circle (`spherical`), decode every point: the first and the last
    column are the rows themselves, as far as the model's rounding goes.

    start, end: [pairs, *event_shape].   context: labels [pairs] of a conditional model.
    returns: [pairs * steps, *event_shape], pair by pair, for `grid(..., columns=steps)`.
    """
    if steps < 2:
        raise InvalidInputError(f"steps must be at least 2, both ends; got {steps}.")
    left = np.asarray(model.encode(start, context), np.float64)  # [pairs, D]
    right = np.asarray(model.encode(end, context), np.float64)
    path = np.stack([spherical(left, right, t) for t in np.linspace(0.0, 1.0, steps)], axis=1)
    latents = path.reshape([-1, path.shape[-1]]).astype(np.float32)  # [pairs * steps, D]
    labels = None if context is None else np.repeat(context, steps)
    return np.asarray(model.decode(latents, labels))
