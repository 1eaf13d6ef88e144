"""`zoo sample` and `zoo score`."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import SUFFIXES, refused, run, run_ok
from PIL import Image

import zoo
from zoo.media import pictures
from zoo.registry import datasets


class TestSample:
    @pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".png"])
    def test_the_rows_are_those_of_the_model(self, suffix: str) -> None:
        path = Path("out") / f"drawn{suffix}"
        options = ("-n", 5, "--seed", 3, "--temperature", 0.5)
        assert run_ok("sample", "tiny_images", *options, "-o", path) == f"{path}\n"
        expected = zoo.load("tiny_images").sample(5, seed=3, temperature=0.5).numpy()
        assert expected.std() > 0
        if suffix == ".npy":
            np.testing.assert_array_equal(np.load(path), expected)
        elif suffix == ".npz":
            with np.load(path) as stored:
                np.testing.assert_array_equal(stored["x"], expected)
        elif suffix == ".csv":
            header, *lines = csv.reader(path.read_text().splitlines())
            assert header == [f"x{i}" for i in range(16)]
            assert np.array_equal(np.array(lines, dtype=int), expected.reshape(5, 16))
        else:
            with Image.open(path) as picture:
                np.testing.assert_array_equal(np.asarray(picture), pictures.grid(expected)[..., 0])

    def test_features_and_a_label(self) -> None:
        run_ok("sample", "tiny_labels", "-n", 6, "--seed", 1, "--context", 2, "-o", "x.npy")
        expected = zoo.load("tiny_labels").sample(6, seed=1, context=2)
        np.testing.assert_array_equal(np.load("x.npy"), expected)

    def test_every_label_in_turn(self) -> None:
        run_ok("sample", "tiny_labels", "-n", 6, "--seed", 1, "--all-contexts", "-o", "x.npy")
        expected = zoo.load("tiny_labels").sample(6, seed=1, context=np.array([0, 1, 2, 3, 0, 1]))
        np.testing.assert_array_equal(np.load("x.npy"), expected)

    def test_a_folder_in_place_of_a_name(self, published: Path) -> None:
        run_ok("sample", published / "tiny_features", "-n", 2, "--seed", 1, "-o", "x.npy")
        assert np.load("x.npy").shape == (2, 5)

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["tiny_images", "-o", "x.gif"], "Expected a .png, .npy, .npz, .csv, .wav, .flac file"),
            (["tiny_features", "-o", "x.png"], "rows of 5 numbers, not images"),
            (["tiny_images", "-o", "x.npy", "--temperature", "-1"], "temperature must be"),
            (["tiny_images", "-o", "x.npy", "--context", "1"], "unconditional"),
            (["tiny_labels", "-o", "x.npy"], "give context"),
            (["tiny_labels", "-o", "x.npy", "--all-contexts", "--context", "1"], "either"),
            (["tiny_images", "-o", "x.npy", "--all-contexts"], "no labels"),
            (["tiny_labels", "-o", "x.npy", "--context", "4"], "Labels must be in 0..3"),
        ],
    )
    def test_bad_input(self, args: list[str], message: str) -> None:
        assert message in refused(2, "sample", *args)
        assert not list(Path().iterdir())

    def test_no_rows_is_bad_usage(self) -> None:
        assert run("sample", "tiny_images", "-n", 0, "-o", "x.npy").exit_code == 2

    def test_no_weights(self) -> None:
        assert "no published weights" in refused(1, "sample", "tiny_recipe", "-o", "x.npy")

    def test_a_place_that_cannot_be_written(self) -> None:
        Path("file").touch()
        assert "file" in refused(1, "sample", "tiny_images", "-o", "file/x.npy")


class TestScore:
    def score(self, *args: object) -> list[dict]:
        return json.loads(run_ok("score", *args, "--json"))["files"]

    def test_scalars_are_no_rows(self, images: np.ndarray) -> None:
        np.savez("d.npz", x=images, context=7)
        text = refused(2, "score", "tiny_images", "d.npz")
        assert f"d.npz: expected one label a row: {len(images)}; got shape []" in text
        np.save("d.npy", np.uint8(3))
        text = refused(2, "score", "tiny_images", "d.npy")
        assert "d.npy: Expected x of shape [batch, 4, 4, 1]; got []" in text
        text = refused(2, "score", "tiny_images", "d.npy", "--context", 1)
        assert "unconditional: leave out --context" in text

    def test_npy_npz_and_png_in_batches(self, images: np.ndarray) -> None:
        np.save("a.npy", images)
        np.save("one.npy", images[0])
        np.savez("b.npz", x=images, other=np.zeros(3))
        np.savez("c.npz", anything=images)
        pictures.save_png("d.png", images[2])
        files = ["a.npy", "one.npy", "b.npz", "c.npz", "d.png"]
        found = self.score("tiny_images", *files, "--batch-size", 3)
        model = zoo.load("tiny_images")
        nats = model.log_prob(images).numpy()
        bits = model.bits_per_dim(images).numpy()
        expected = [slice(0, 7), slice(0, 1), slice(0, 7), slice(0, 7), slice(2, 3)]
        for result, file, chosen in zip(found, files, expected, strict=True):
            assert result["file"] == file
            assert result["count"] == len(nats[chosen])
            np.testing.assert_allclose(result["log_prob"], nats[chosen], rtol=1e-5)
            np.testing.assert_allclose(result["bits_per_dim"], bits[chosen], rtol=1e-5)
            assert result["mean_log_prob"] == pytest.approx(nats[chosen].mean(), rel=1e-5)

    def test_that_it_takes_long_is_said_first(self, images: np.ndarray, monkeypatch) -> None:
        np.save("a.npy", images)
        assert "minutes" not in run("score", "tiny_images", "a.npy").stderr
        monkeypatch.setattr("zoo.cli.use.SLOW_EVENT_SIZE", 1)
        monkeypatch.setattr("zoo.models.flows.nice.NICE.slow_direction", "density")
        result = run("score", "tiny_images", "a.npy")
        assert result.exit_code == 0
        assert "passes of each network: this takes minutes." in result.stderr

    def test_the_seed_names_the_noise(self, images: np.ndarray) -> None:
        np.save("a.npy", images)
        fixed, again = self.score("tiny_images", "a.npy"), self.score("tiny_images", "a.npy")
        other = self.score("tiny_images", "a.npy", "--seed", 5)
        assert fixed == again
        assert fixed != other
        expected = zoo.load("tiny_images").log_prob(images, seed=5)
        np.testing.assert_allclose(other[0]["log_prob"], expected, rtol=1e-5)

    def test_labels_of_the_file_or_of_the_option(self, rows: np.ndarray) -> None:
        x, labels = rows[:, :3], np.array([0, 1, 2, 3, 0, 1, 2])
        np.save("x.npy", x)
        np.savez("labels.npz", x=x, context=labels)
        model = zoo.load("tiny_labels")
        found = self.score("tiny_labels", "labels.npz", "--batch-size", 2)[0]
        np.testing.assert_allclose(found["log_prob"], model.log_prob(x, labels), rtol=1e-5)
        found = self.score("tiny_labels", "x.npy", "--context", 3)[0]
        expected = model.log_prob(x, np.full(7, 3))
        np.testing.assert_allclose(found["log_prob"], expected, rtol=1e-5)
        assert "--context" in refused(2, "score", "tiny_labels", "labels.npz", "--context", 3)
        assert "give context" in refused(2, "score", "tiny_labels", "x.npy")

    def test_the_table_is_cut_and_all_shows_it_whole(self, rng: np.random.Generator) -> None:
        x = rng.normal(size=[25, 5]).astype(np.float32)
        np.save("x.npy", x)
        nats = zoo.load("tiny_features").log_prob(x).numpy()
        lines = run_ok("score", "tiny_features", "x.npy").splitlines()
        assert lines[0] == "x.npy"
        assert lines[2].split() == [
            "0",
            f"{nats[0]:.3f}",
            f"{-nats[0] / (5 * math.log(2)):.4f}",
        ]
        assert [line.split()[0] for line in lines[2:]] == [*map(str, range(20)), "mean", "the"]
        assert lines[22].split()[1] == f"{nats.astype(float).mean():.3f}"
        lines = run_ok("score", "tiny_features", "x.npy", "--all").splitlines()
        assert [line.split()[0] for line in lines[2:]] == [*map(str, range(25)), "mean"]

    @pytest.mark.parametrize(
        ("name", "file", "content", "message"),
        [
            ("tiny_images", "absent.npy", None, "No file absent.npy"),
            ("tiny_images", "absent.png", None, "No file absent.png"),
            ("tiny_images", "cut.npy", b"\x93NUMPY\x01\x00", "cannot be read as .npy"),
            ("tiny_images", "text.npz", b"PK no zip", "cannot be read as .npz"),
            ("tiny_images", "text.png", b"no picture", "cannot be read as an image"),
            ("tiny_images", "object.npy", np.array([{}], object), "cannot be read as .npy"),
            ("tiny_images", "keys.npz", {"a": np.zeros(2), "b": np.zeros(2)}, "under the key x"),
            ("tiny_images", "float.npy", np.full([2, 4, 4, 1], 0.5), "np.round(255 * x)"),
            ("tiny_images", "flat.npy", np.zeros([2, 16], np.uint8), "shape [batch, 4, 4, 1]"),
            ("tiny_images", "none.npy", np.zeros([0, 4, 4, 1], np.uint8), "an empty batch"),
            ("tiny_images", "scalar.npy", np.array(3, np.uint8), "shape [batch, 4, 4, 1]"),
            ("tiny_images", "large.png", np.zeros([5, 4, 1], np.uint8), "grey, 4 x 5"),
            ("tiny_images", "colour.png", np.zeros([4, 4, 3], np.uint8), "in colour, 4 x 4"),
            ("tiny_features", "nan.npy", np.full([2, 5], np.nan, np.float32), "NaN or infinity"),
            ("tiny_features", "text.npy", np.array([["a"] * 5]), "Expected numbers"),
            ("tiny_features", "image.png", np.zeros([5, 5, 1], np.uint8), "rows of shape [5]"),
        ],
        ids=lambda value: value if Path(str(value)).suffix in SUFFIXES else "",
    )
    def test_bad_files(self, name: str, file: str, content, message: str) -> None:
        path = Path(file)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, dict):
            np.savez(path, **content)
        elif content is not None and path.suffix == ".png":
            pictures.save_png(path, content)
        elif content is not None:
            np.save(path, content, allow_pickle=True)
        error = refused(2, "score", name, file)
        assert message in error
        assert file in error


class TestTables:
    def test_a_table_of_grey_levels_is_read_back(self) -> None:
        run_ok("sample", "tiny_images", "-n", 3, "--seed", 1, "-o", "a.csv")
        run_ok("sample", "tiny_images", "-n", 3, "--seed", 1, "-o", "a.npy")
        csv_, npy = (
            json.loads(run_ok("score", "tiny_images", f"a.{suffix}", "--json"))["files"]
            for suffix in ("csv", "npy")
        )
        assert csv_[0]["log_prob"] == npy[0]["log_prob"]
        Path("a.csv").write_text("0.5" + ",1" * 15 + "\n")
        assert "whole numbers in a.csv" in refused(2, "score", "tiny_images", "a.csv")

    def test_columns_have_the_names_of_the_dataset(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names = ("length", "width", "size", "alpha", "distance")
        about = dataclasses.replace(datasets.ABOUT["magic"], columns=names)
        monkeypatch.setitem(datasets.ABOUT, "magic", about)
        printed = run_ok("sample", "tiny_features", "-n", 3, "--seed", 1, "--csv")
        assert printed.splitlines()[0] == "length,width,size,alpha,distance"
        Path("a.csv").write_text(printed)
        turned = [",".join(line.split(",")[::-1]) for line in printed.splitlines()]
        Path("b.csv").write_text("\n".join(turned))
        first, second = (
            json.loads(run_ok("score", "tiny_features", file, "--json"))["files"][0]["log_prob"]
            for file in ("a.csv", "b.csv")
        )
        assert first == second
        Path("b.csv").write_text("\n".join(["length,width,size,alpha,x", *turned[1:]]))
        assert "lacks distance and has x" in refused(2, "score", "tiny_features", "b.csv")
        assert "columns      length, width" in run_ok("info", "tiny_features")

    def test_what_is_no_table(self) -> None:
        Path("a.txt").write_text("1,2,3,4,5\n")
        assert "is no .csv, .npy or .npz" in refused(2, "score", "tiny_features", "a.txt")
        with zipfile.ZipFile("a.npz", "w") as archive:
            archive.writestr("notes", "no array")
        assert "a.npz holds no array" in refused(2, "score", "tiny_features", "a.npz")
