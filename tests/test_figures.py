"""Grids pixel by pixel, interpolations against hand-made arcs, images read as they are."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import zoo
from zoo.errors import InvalidInputError
from zoo.media import console, pictures


class TestGrid:
    def test_pixels(self) -> None:
        images = np.array([[[[10]], [[20]]], [[[30]], [[40]]], [[[50]], [[60]]]], np.uint8)
        w = 255
        expected = [
            [w, w, w, w, w, w, w, w],
            [w, w, w, w, w, w, w, w],
            [w, w, 10, w, w, 30, w, w],
            [w, w, 20, w, w, 40, w, w],
            [w, w, w, w, w, w, w, w],
            [w, w, w, w, w, w, w, w],
            [w, w, 50, w, w, w, w, w],
            [w, w, 60, w, w, w, w, w],
            [w, w, w, w, w, w, w, w],
            [w, w, w, w, w, w, w, w],
        ]
        np.testing.assert_array_equal(pictures.grid(images)[..., 0], expected)

    @pytest.mark.parametrize(
        ("count", "columns", "shape"),
        [(5, 0, (2, 3)), (9, 0, (3, 3)), (1, 0, (1, 1)), (5, 2, (3, 2)), (2, 8, (1, 2))],
    )
    def test_layout(self, count: int, columns: int, shape: tuple[int, int]) -> None:
        picture = pictures.grid(np.zeros([count, 6, 4, 3], np.uint8), columns=columns)
        assert picture.shape == (2 + 8 * shape[0], 2 + 6 * shape[1], 3)
        assert (picture == 0).all(axis=-1).sum() == count * 24

    @pytest.mark.parametrize(
        ("images", "columns", "message"),
        [
            (np.zeros([3, 5], np.uint8), 0, "got \\[3, 5\\]"),
            (np.zeros([3, 5, 5, 2], np.uint8), 0, "1 or 3 channels"),
            (np.zeros([0, 5, 5, 1], np.uint8), 0, "needs images"),
            (np.zeros([3, 5, 5, 1], np.float32), 0, "uint8; got float32"),
            (np.zeros([3, 5, 5, 1], np.uint8), -1, "columns"),
        ],
    )
    def test_refusals(self, images: np.ndarray, columns: int, message: str) -> None:
        with pytest.raises(InvalidInputError, match=message):
            pictures.grid(images, columns=columns)

    def test_stack_of_grey_and_colour(self) -> None:
        grey = np.full([2, 3, 1], 7, np.uint8)
        colour = np.broadcast_to(np.array([1, 2, 3], np.uint8), [1, 5, 3])
        picture = pictures.stack([grey, colour])
        assert picture.shape == (3, 5, 3)
        assert (picture[:2, :3] == 7).all()
        assert (picture[:2, 3:] == 255).all()
        assert (picture[2] == [1, 2, 3]).all()
        with pytest.raises(InvalidInputError, match="Nothing to stack"):
            pictures.stack([])


class TestFiles:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_written_and_read_back(self, tmp_path: Path, rng, channels: int) -> None:
        image = rng.integers(0, 256, [5, 4, channels], dtype=np.uint8)
        path = pictures.save_png(tmp_path / "new" / "image.png", image)
        np.testing.assert_array_equal(
            pictures.read_image(path, (5, 4, channels)), image[np.newaxis]
        )

    def test_scale(self, tmp_path: Path) -> None:
        image = np.array([[[1], [2]]], np.uint8)
        path = pictures.save_png(tmp_path / "image.png", image, scale=2)
        with Image.open(path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), [[1, 1, 2, 2], [1, 1, 2, 2]])

    def test_a_palette_is_colour_and_black_and_white_is_grey(self, tmp_path: Path) -> None:
        image = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
        Image.fromarray(image).quantize(2).save(tmp_path / "palette.png")
        np.testing.assert_array_equal(
            pictures.read_image(tmp_path / "palette.png", (1, 2, 3)), image[np.newaxis]
        )
        Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
        found = pictures.read_image(tmp_path / "bits.png", (1, 2, 1))
        np.testing.assert_array_equal(found[0, :, :, 0], [[255, 0]])

    @pytest.mark.parametrize("mode", ["RGBA", "I;16", "CMYK"])
    def test_other_kinds_of_pixels_are_refused(self, tmp_path: Path, mode: str) -> None:
        path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
        Image.new(mode, (4, 4)).save(path)
        with pytest.raises(InvalidInputError, match="expected 8 bits of grey or RGB"):
            pictures.read_image(path, (4, 4, 3))

    def test_a_truncated_file_is_refused(self, tmp_path: Path, rng) -> None:
        image = rng.integers(0, 256, [32, 32, 3], dtype=np.uint8)
        path = pictures.save_png(tmp_path / "image.png", image)
        path.write_bytes(path.read_bytes()[:400])
        with pytest.raises(InvalidInputError, match="cannot be read as an image"):
            pictures.read_image(path, (32, 32, 3))

    @pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_images_are_turned_as_they_say(
        self, tmp_path: Path, suffix: str, orientation: int
    ) -> None:
        seen = np.repeat(
            np.repeat(np.arange(0, 240, 40, dtype=np.uint8).reshape(2, 3), 16, 0), 16, 1
        )
        # The EXIF standard: what row 0 and column 0 of the stored pixels show.
        stored = {
            1: seen,
            2: seen[:, ::-1],
            3: seen[::-1, ::-1],
            4: seen[::-1],
            5: seen.T,
            6: np.rot90(seen),
            7: seen[::-1, ::-1].T,
            8: np.rot90(seen, -1),
        }[orientation]
        path, exif = tmp_path / f"image.{suffix}", Image.Exif()
        exif[0x0112] = orientation
        picture = Image.fromarray(np.ascontiguousarray(np.stack([stored] * 3, -1)))
        options = {"lossless": True} if suffix == "webp" else {}
        picture.save(path, exif=exif, **options)
        found = pictures.read_image(path, (32, 48, 3))[0].astype(int)
        assert np.abs(found - seen[..., np.newaxis]).max() <= (4 if suffix == "jpg" else 0)

    @pytest.mark.parametrize("suffix", ["gif", "png", "tif", "webp"])
    def test_further_frames_are_not_dropped(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"image.{suffix}"
        frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "green")]
        frames[0].save(path, save_all=True, append_images=frames[1:])
        with pytest.raises(InvalidInputError, match=r"holds 3 pictures; expected one.*\[0\]"):
            pictures.read_image(path, (4, 4, 3))

    def test_sizes_of_an_icon_are_not_dropped(self, tmp_path: Path) -> None:
        Image.new("RGB", (32, 32)).save(tmp_path / "image.ico", sizes=[(16, 16), (32, 32)])
        with pytest.raises(InvalidInputError, match=r"holds 2 pictures|pixels of kind"):
            pictures.read_image(tmp_path / "image.ico", (32, 32, 3))

    @pytest.mark.parametrize(("mode", "clear"), [("P", 0), ("L", 7), ("RGB", (7, 7, 7))])
    def test_transparency_is_not_dropped(self, tmp_path: Path, mode: str, clear: object) -> None:
        path = tmp_path / "image.png"
        pixels = np.full([4, 4, 3] if mode == "RGB" else [4, 4], 7, np.uint8)
        picture = Image.fromarray(pixels)
        if mode == "P":
            picture = picture.convert("RGB").quantize(2)
        picture.save(path, transparency=clear)
        shape = (4, 4, 1) if mode == "L" else (4, 4, 3)
        with pytest.raises(InvalidInputError, match=r"transparent in places.*-alpha remove"):
            pictures.read_image(path, shape)
        if mode != "P":  # a colour that no pixel has
            picture.save(path, transparency=9 if mode == "L" else (9, 9, 9))
            assert (pictures.read_image(path, shape) == 7).all()

    @pytest.mark.parametrize("suffix", ["png", "ppm"])
    def test_16_bits_a_channel_are_refused(self, tmp_path: Path, suffix: str) -> None:
        rows = b"".join(b"\0" + bytes(range(12)) for _ in range(2))
        header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        png = b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
        path = tmp_path / f"image.{suffix}"
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n" + png if suffix == "png" else b"P6 2 2 65535\n" + bytes(24)
        )
        with pytest.raises(InvalidInputError, match=r"16 bits a channel; expected 8.*-depth 8"):
            pictures.read_image(path, (2, 2, 3))

    def test_other_colours_than_those_of_srgb_are_refused(self, tmp_path: Path) -> None:
        path, picture = tmp_path / "image.png", Image.new("RGB", (4, 4), (1, 2, 3))
        srgb, lab = (
            ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()
            for name in ("sRGB", "XYZ")
        )
        picture.save(path, icc_profile=srgb)
        assert (pictures.read_image(path, (4, 4, 3)) == [1, 2, 3]).all()
        picture.save(path, icc_profile=lab)
        with pytest.raises(InvalidInputError, match=r"expected sRGB.*-strip"):
            pictures.read_image(path, (4, 4, 3))
        picture.save(path, icc_profile=b"no profile")
        with pytest.raises(InvalidInputError, match="a profile that cannot be read"):
            pictures.read_image(path, (4, 4, 3))


class TestInterpolation:
    def test_a_quarter_circle(self) -> None:
        start, end = np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]])
        for fraction in (0.0, 1 / 3, 0.5, 1.0):
            angle = fraction * np.pi / 2
            np.testing.assert_allclose(
                pictures.spherical(start, end, fraction),
                [[2 * np.cos(angle), 2 * np.sin(angle)]],
                atol=1e-12,
            )

    @pytest.mark.parametrize("end", [[[3.0, 6.0]], [[-1.0, -2.0]], [[0.0, 0.0]]])
    def test_parallel_and_zero_vectors_are_joined_by_a_line(self, end) -> None:
        start = np.array([[1.0, 2.0]])
        found = pictures.spherical(start, np.array(end), 0.25)
        # Zero has no direction: arccos(0) is a right angle, and the sine weights apply.
        if np.any(end):
            np.testing.assert_allclose(found, 0.75 * start + 0.25 * np.array(end))
        assert np.isfinite(found).all()

    def test_ends_are_the_rows_and_labels_are_repeated(self, rng) -> None:
        model = zoo.create("made", event_shape=(3,), hidden_units=(8,), context_size=2)
        for variable in model.trainable_variables:
            variable.assign(0.3 * rng.normal(size=variable.shape))
        x = rng.normal(size=[4, 3]).astype(np.float32)
        labels = np.array([1, 0], np.int32)
        path = pictures.interpolate(model, x[:2], x[2:], steps=5, context=labels)
        assert path.shape == (10, 3)
        np.testing.assert_allclose(path[[0, 5]], x[:2], atol=1e-5)
        np.testing.assert_allclose(path[[4, 9]], x[2:], atol=1e-5)
        middle = pictures.spherical(
            model.encode(x[:2], labels).numpy(), model.encode(x[2:], labels).numpy(), 0.5
        )
        np.testing.assert_allclose(path[[2, 7]], model.decode(middle, labels), atol=1e-5)

    def test_one_step_is_no_path(self) -> None:
        with pytest.raises(InvalidInputError, match="at least 2"):
            pictures.interpolate(None, None, None, steps=1)


class TestConsole:
    @pytest.mark.parametrize(
        ("value", "error", "text"),
        [
            (3.51234, 0.0123, "3.512 ± 0.012"),
            (1980.512, 1.93, "1980.5 ± 1.9"),
            (-1270.2, 25.0, "-1270.2 ± 25.0"),
            (1929.947, 10.29, "1929.9 ± 10.3"),
            (4.0, 0.0995, "4.00 ± 0.10"),
            (4.36254, None, "4.36254"),
            (4.36254, 0.0, "4.36254"),
        ],
    )
    def test_a_figure_has_two_digits_of_its_error_or_more(self, value, error, text: str) -> None:
        assert console.figure({"value": value, "two_standard_errors": error}) == text

    def test_columns(self) -> None:
        lines = [("a", "b", "c"), ("long", "1", ""), ("x", "100", "y")]
        assert console.columns(lines, right={1}, indent=" ") == (
            " a       b  c\n long    1\n x     100  y"
        )
