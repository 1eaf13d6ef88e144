"""Every command by what it prints, writes and exits with, on a registry of tiny models."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoints
import tiny_steps
from PIL import Image
from typer.testing import CliRunner, Result

import zoo
from zoo import cli, exporting, loading, registry
from zoo.cli import doctor
from zoo.cli import train as train_command
from zoo.errors import ExportError, InvalidInputError, NotPortableError
from zoo.evaluation import golden
from zoo.evaluation.task import Measured
from zoo.media import pictures
from zoo.publishing import verify
from zoo.store import pins
from zoo.store.hashes import sha256_of, write_sha256sums
from zoo.store.weights import WEIGHTS_FILE, save_weights

SUFFIXES = (".npy", ".npz", ".png")
COMMANDS = (
    "list",
    "info",
    "sample",
    "score",
    "anomalies",
    "impute",
    "train",
    "evaluate",
    "plot",
    "export",
    "serve",
    "publish",
    "verify",
    "doctor",
)


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    root = tmp_path_factory.mktemp("master")
    return root, tiny_checkpoints.publish(root)


@pytest.fixture(autouse=True)
def published(master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny checkpoints under `$ZOO_CHECKPOINTS`; the working folder is empty."""
    root, pins = master
    tiny_checkpoints.register(pins, monkeypatch, install=tmp_path / "install")
    monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path / "published"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return Path(shutil.copytree(root, tmp_path / "published"))


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, [7, 4, 4, 1], dtype=np.uint8)


@pytest.fixture
def rows(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=[7, 5]).astype(np.float32)


def run(*args: object) -> Result:
    return CliRunner().invoke(cli.app, [str(arg) for arg in args])


def run_ok(*args: object) -> str:
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(code: int, *args: object) -> str:
    """The one line of an error, after checking its exit code and that nothing else was said."""
    result = run(*args)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("zoo: ")
    assert "Traceback" not in result.stderr
    return result.stderr


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


class TestStart:
    def test_list_and_help_import_nothing_heavy(self) -> None:
        code = f"""
import sys
from zoo import cli
for args in [["list"], ["list", "--json"], ["info", "nice_mnist"], ["--help"], *(
    [command, "--help"] for command in {COMMANDS}
)]:
    try:
        cli.app(args)
    except SystemExit as end:
        assert end.code == 0, (args, end.code)
heavy = ("tensorflow", "keras", "numpy", "h5py", "rich", "PIL", "pydantic", "requests")
print("heavy:", *(name for name in heavy if name in sys.modules))
"""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=Path(__file__).parent.parent,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "heavy:"

    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_documents_the_exit_codes(self, command: str) -> None:
        text = " ".join(run_ok(command, "--help").split())
        assert "Exit codes: 0 done; 1 a check failed" in text
        assert "2 bad usage or bad input" in text

    def test_these_are_all_the_commands(self) -> None:
        text = run_ok("--help").partition("Commands:")[2]
        listed = re.findall(r"^  (\w+)  ", text, flags=re.MULTILINE)
        assert tuple(listed) == COMMANDS

    def test_version(self) -> None:
        assert run_ok("--version") == f"{zoo.__version__}\n"

    def test_an_unknown_command_or_option_is_bad_usage(self) -> None:
        assert run("lst").exit_code == 2
        assert run("list", "--famly", "nice").exit_code == 2

    def test_debug_lets_the_error_through(self, tmp_path: Path) -> None:
        result = run("--debug", "score", "tiny_images", tmp_path / "absent.npy")
        assert isinstance(result.exception, InvalidInputError)


class TestList:
    def test_a_line_a_model(self) -> None:
        lines = run_ok("list").splitlines()
        assert [line.split()[0] for line in lines] == [
            "name",
            "tiny_features",
            "tiny_images",
            "tiny_labels",
            "tiny_recipe",
        ]
        assert (
            lines[2].split()[1:]
            == (
                f"nice mnist:3.0.1 {zoo.info('tiny_images').num_parameters} v1 "
                "4.363 ± 0.012 bits_per_dim"
            ).split()
        )
        assert lines[4].split()[1:] == ["nice", "mnist:3.0.1", "-"]

    @pytest.mark.parametrize(
        ("filters", "names"),
        [
            (["*_images"], ["tiny_images"]),
            (["--family", "made"], ["tiny_labels"]),
            (["--dataset", "magic"], ["tiny_features", "tiny_labels"]),
            (["--no-pretrained"], ["tiny_recipe"]),
            (["--pretrained", "--family", "nice"], ["tiny_features", "tiny_images"]),
            (["none_*"], []),
        ],
        ids=" ".join,
    )
    def test_filters(self, filters: list[str], names: list[str]) -> None:
        assert [row["name"] for row in json.loads(run_ok("list", *filters, "--json"))] == names

    def test_json_holds_the_figures(self) -> None:
        row = json.loads(run_ok("list", "tiny_features", "--json"))[0]
        assert row["metrics"] == tiny_checkpoints.metrics("tiny_features")["metrics"]
        assert row["event_shape"] == [5]
        assert row["pretrained"] is True
        assert row["version"] == 1

    def test_a_damaged_checkpoint_is_said_and_does_not_hide_the_others(self, published) -> None:
        flip(published / "tiny_images" / "metrics.json")
        text = run_ok("list")
        assert "checkpoint refused: IntegrityError" in text
        assert "-23.75 ± 0.25 log_prob" in text


class TestInfo:
    def test_facts_limits_and_card(self) -> None:
        text = run_ok("info", "tiny_images", "--card")
        for part in ("A tiny nice", "arXiv:1410.8516", "Of no use.", "# tiny_images"):
            assert part in text

    def test_json(self) -> None:
        values = json.loads(run_ok("info", "tiny_images", "--json"))
        assert values["event_shape"] == [4, 4, 1]
        assert values["metrics"]["count"] == 10000
        assert values["num_parameters"] == zoo.load("tiny_images").count_params()

    def test_an_unknown_name_gets_close_matches(self) -> None:
        assert "Did you mean 'tiny_images'" in refused(2, "info", "tiny_imges")


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
        for options in ((), ("--context", 1)):
            text = refused(2, "score", "tiny_images", "d.npy", *options)
            assert "d.npy: Expected x of shape [batch, 4, 4, 1]; got []" in text

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


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows in place of the datasets: 32 for training, 16 for each of the other splits."""
    from zoo.data import sources

    splits = {
        split: rng.integers(0, 256, [count, 4, 4, 1], dtype=np.uint8)
        for split, count in (("train", 32), ("validation", 16), ("test", 16))
    }
    monkeypatch.setattr(
        sources, "load_arrays", lambda dataset, split, **unused: sources.Arrays(splits[split])
    )
    return splits


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

    def test_what_is_no_table(self) -> None:
        Path("a.txt").write_text("1,2,3,4,5\n")
        assert "is no .csv, .npy or .npz" in refused(2, "score", "tiny_features", "a.txt")
        with zipfile.ZipFile("a.npz", "w") as archive:
            archive.writestr("notes", "no array")
        assert "a.npz holds no array" in refused(2, "score", "tiny_features", "a.npz")


class TestTrain:
    def test_train_score_and_resume(self, data, images: np.ndarray) -> None:
        options = ("--set", "max_epochs=1", "--set", "optimizer.learning_rate=0.002")
        result = run("train", "tiny_recipe", *options)
        assert result.exit_code == 0, result.output
        assert "finished after step 4 (epoch 1)" in result.stdout
        assert "weights, history and state in runs/tiny_recipe" in result.stdout
        assert "tiny_recipe: step 1 of 4, nats" in result.stderr
        recipe = json.loads(Path("runs/tiny_recipe/recipe.json").read_text())
        assert recipe["max_epochs"] == 1
        np.save("a.npy", images)
        assert "mean" in run_ok("score", "runs/tiny_recipe", "a.npy")
        assert "--resume" in refused(1, "train", "tiny_recipe")
        assert "finished after step 4 (epoch 1)" in run_ok("train", "tiny_recipe", "--resume")
        for more in (("--set", "max_epochs=2"), ()):  # the run's recipe, at another rate, goes on
            text = run_ok("train", "tiny_recipe", "--resume", *more)
            assert "finished after step 8 (epoch 2)" in text
        recipe = json.loads(Path("runs/tiny_recipe/recipe.json").read_text())
        assert recipe["max_epochs"] == 2
        assert recipe["optimizer"]["learning_rate"] == 0.002
        record = Path("runs/tiny_recipe/run.json")
        record.write_text(json.dumps({**json.loads(record.read_text()), "name": "another"}))
        text = refused(1, "train", "tiny_recipe", "--resume")
        assert "a recipe with other optimizer; a run resumes under its own recipe" in text
        record.unlink()  # killed before it ended once
        assert "with the --set that" in refused(1, "train", "tiny_recipe", "--resume")
        assert "epoch 2" in run_ok("train", "tiny_recipe", "--resume", *options[2:])

    def test_a_folder_of_another_model_is_not_resumed(self, data) -> None:
        run_ok("train", "tiny_recipe", "--max-seconds", 0, "--out", "one")
        text = refused(1, "train", "tiny_features", "--resume", "--out", "one")
        assert "belongs to a recipe with other" in text

    def test_a_run_is_plotted(self, data) -> None:
        run_ok("train", "tiny_recipe", "--set", "max_epochs=1")
        assert run_ok("plot", "runs/tiny_recipe") == "runs/tiny_recipe/history.png\n"
        assert Path("runs/tiny_recipe/history.png").read_bytes().startswith(b"\x89PNG")
        assert run_ok("plot", "runs/tiny_recipe", "-o", "a.png") == "a.png\n"
        assert "history.csv does not exist" in refused(1, "plot", "nowhere")

    def test_another_folder_and_a_time_limit(self, data) -> None:
        text = run_ok("train", "tiny_recipe", "--out", "elsewhere", "--max-seconds", 0)
        assert "time limit after step 1 " in text
        assert Path("elsewhere/state.npz").is_file()

    def test_from_the_weights_of_another_run(self, data) -> None:
        run_ok("train", "tiny_recipe", "--set", "max_epochs=1", "--out", "first")
        starts = []
        for start in ("first", "first/model.weights.h5"):
            out = Path(f"second-{len(starts)}")
            run_ok(
                "train", "tiny_recipe", "--set", "max_epochs=1", "--set",
                "optimizer.learning_rate=0", "--set", "ema_decay=0", "--from", start, "--out", out,
            )  # fmt: skip
            starts.append((out / WEIGHTS_FILE).read_bytes())
            origin = json.loads((out / "run.json").read_text())["started_from"]
            assert origin["sha256"] == sha256_of("first/model.weights.h5")
            assert origin["name"] == "first"
        assert json.loads(Path("first/run.json").read_text())["started_from"] is None
        assert starts == [Path("first", WEIGHTS_FILE).read_bytes()] * 2
        assert "no published weights" in refused(
            1, "train", "tiny_recipe", "--from", "tiny_recipe", "--out", "third"
        )
        assert "--from: no folder runs/typo" in refused(
            2, "train", "tiny_recipe", "--from", "runs/typo", "--out", "third"
        )

    def test_a_step_goes_out_and_its_run_comes_back(self, data, images: np.ndarray) -> None:
        pytest.importorskip("jax", reason="the extra 'portable' is not installed")
        if not tiny_steps.RUNNER.is_file():
            pytest.skip("tools/ is not part of an installation")
        text = run_ok(
            "train", "tiny_recipe", "--set", "max_epochs=1", "--export-step", "step",
            "--platforms", "cpu, cuda", "--reference-steps", 2, "--part-size", "0.0005",
        )  # fmt: skip
        assert text == "step\n"
        manifest = json.loads(Path("step/manifest.json").read_text())
        assert manifest["platforms"] == ["cpu", "cuda"]
        assert len(manifest["reference"]) == 2
        assert [part["size"] for part in manifest["data"]["train"]["parts"]] == [500, 12]
        command = [sys.executable, str(tiny_steps.RUNNER), "step", "--out", "back"]
        subprocess.run(command, check=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
        text = run_ok("train", "tiny_recipe", "--import-step", "back")
        assert "finished after step 4 (epoch 1)" in text
        np.save("a.npy", images)
        assert "mean" in run_ok("score", "runs/tiny_recipe", "a.npy")
        assert "is a run of tiny_recipe" in refused(
            1, "train", "tiny_images", "--import-step", "back"
        )

    def test_out_and_back_at_once_are_refused(self) -> None:
        both = ("--export-step", "step", "--import-step", "back")
        assert "not both" in refused(2, "train", "tiny_recipe", *both)
        assert "leave out --set" in refused(
            2, "train", "tiny_recipe", "--import-step", "back", "--set", "seed=1"
        )
        assert "its --out" in refused(1, "train", "tiny_recipe", "--import-step", "back")

    @pytest.mark.parametrize(
        ("options", "unused"),
        [
            (("--import-step", "a", "--resume", "--from", "b"), "--resume, --from"),
            (("--import-step", "a", "--max-seconds", 9, "--tpu", "b"), "--max-seconds, --tpu"),
            (("--import-step", "a", "--strategy", "mirrored"), "--strategy"),
            (("--export-step", "a", "--max-seconds", 9, "--replicas", 2), "--max-seconds, --repl"),
            (("--export-step", "a", "--strategy", "mirrored"), "--strategy"),
            (("--platforms", "cpu", "--part-size", 3), "--platforms, --part-size"),
            (("--resume", "--from", "nice_mnist"), "--from"),
        ],
    )
    def test_options_without_an_effect_are_refused(self, options, unused: str) -> None:
        assert f": leave out {unused}" in refused(2, "train", "tiny_recipe", *options)

    def test_bad_overrides_and_nothing_to_resume(self, data) -> None:
        assert "No field 'batch'" in refused(2, "train", "tiny_recipe", "--set", "batch=3")
        assert "must be of type int" in refused(
            2, "train", "tiny_recipe", "--set", "batch_size=many"
        )
        assert "Nothing to resume" in refused(1, "train", "tiny_recipe", "--resume")

    @pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
    def test_a_signal_is_the_exit_code(self, monkeypatch, name: str, code: int) -> None:
        from zoo import training

        stopped = training.TrainingResult(
            folder=Path("runs/x"),
            step=3,
            epoch=0,
            best_step=0,
            best_validation_nats=math.inf,
            seconds=1.0,
            reason=f"signal {name}",
        )
        monkeypatch.setattr(training, "train", lambda *args, **kwargs: stopped)
        result = run("train", "tiny_recipe")
        assert result.exit_code == code
        assert f"signal {name} after step 3" in result.stdout
        assert "best validation" not in result.stdout

    def test_the_strategy_is_made_and_trained_under(self, data, monkeypatch) -> None:
        from zoo import training
        from zoo.training import devices

        asked: list[Any] = []

        def create(*args: Any, **options: Any) -> str:
            asked.append((args, options))
            return "strategy"

        def train(*_: Any, **options: Any) -> Any:
            asked.append(options["strategy"])
            raise InvalidInputError("enough")

        monkeypatch.setattr(devices, "create", create)
        monkeypatch.setattr(training, "train", train)
        options = ("--strategy", "tpu", "--tpu", "v5", "--tpu-zone", "eu", "--worker-timeout", 9)
        assert refused(2, "train", "tiny_recipe", *options) == "zoo: enough\n"
        made = {"replicas": 0, "tpu": "v5", "zone": "eu", "worker_timeout": 9.0}
        assert asked == [(("tpu",), made), "strategy"]
        assert refused(2, "train", "tiny_recipe") == "zoo: enough\n"
        assert asked[2][0] == ("auto",)
        assert asked[2][1]["worker_timeout"] == devices.WORKER_TIMEOUT == 300.0

    def test_a_strategy_that_cannot_be_is_refused(self, data) -> None:
        text = refused(2, "train", "tiny_recipe", "--strategy", "all")
        assert "out of auto, one, mirrored, multiworker, tpu; got 'all'" in text

    def test_without_a_terminal_a_line_a_minute(self, monkeypatch, capsys) -> None:
        now = 100.0
        monkeypatch.setattr(train_command.time, "monotonic", lambda: now)
        with train_command._training_display("name") as progress:
            for step in range(1, 200):
                now = 100.0 + step
                progress(step, 500, {"nats": 2.5, "gradient_norm": 3.0})
        lines = capsys.readouterr().err.splitlines()
        assert [line.split()[2] for line in lines] == ["1", "61", "121", "181"]
        assert lines[0] == "name: step 1 of 500, nats 2.5, gradient norm 3"

    def test_on_a_terminal_a_bar_on_stderr(self, monkeypatch, capsys) -> None:
        monkeypatch.setattr(train_command, "interactive", lambda: True)
        monkeypatch.setattr("zoo.media.console.interactive", lambda: True)
        with train_command._training_display("name") as progress:
            progress(500, 500, {"nats": 2.5})
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "500/500" in captured.err


class TestEvaluate:
    def test_figures_file_and_paper(self, data) -> None:
        text = run_ok("evaluate", "tiny_images", "--out", "metrics.json")
        stored = json.loads(Path("metrics.json").read_text())
        bits = zoo.load("tiny_images").bits_per_dim(data["test"], seed=0).numpy().mean()
        assert stored["metrics"]["bits_per_dim"]["value"] == pytest.approx(float(bits), rel=1e-5)
        assert stored["count"] == 16
        assert "tiny_images on mnist:3.0.1, test, 16 rows" in text
        assert "paper: 1.25 bits_per_dim (table 1)" in text
        assert text.splitlines()[-1] == "written to metrics.json"

    def test_certify(self, data) -> None:
        text = run_ok("evaluate", "tiny_images", "--certify")
        assert "float32 conditioners: max |x - g(f(x))| " in text
        assert "bfloat16 conditioners: " in text
        assert "uniform noise (64): " in text

    def test_models_without_a_bijector_are_not_certified(self, data, monkeypatch) -> None:
        monkeypatch.setattr("zoo.evaluation.certificate.applies", lambda _: False)
        text = run_ok("evaluate", "tiny_images", "--certify")
        assert "not certified: no bijector between data and latents" in text

    def test_a_figure_that_is_no_number(self, data, monkeypatch) -> None:
        figures = {"bits_per_dim": {"value": math.nan}, "log_prob_paper": {"value": 1.0}}
        found = Measured(figures, "")
        monkeypatch.setattr("zoo.evaluation.density.density_metrics", lambda *_: found)
        text = refused(1, "evaluate", "tiny_images", "--out", "m.json")
        assert "bits_per_dim of tiny_images on mnist is nan" in text
        assert not Path("m.json").exists()

    def test_a_seed_out_of_range(self, data) -> None:
        result = run("evaluate", "tiny_images", "--seed", -1)
        assert result.exit_code == 2
        assert "-1 is not in the range 0<=x<=2147483647" in result.stderr

    def test_json_split_and_limit(self, data) -> None:
        options = ("--split", "validation", "--limit", 3, "--json")
        result = json.loads(run_ok("evaluate", "tiny_images", *options))
        bits = zoo.load("tiny_images").bits_per_dim(data["validation"][:3], seed=0).numpy().mean()
        assert result["metrics"]["bits_per_dim"]["value"] == pytest.approx(float(bits), rel=1e-5)

    def test_weights_of_a_run(self, data, published: Path) -> None:
        weights = published / "tiny_images"
        given = json.loads(run_ok("evaluate", "tiny_recipe", "--weights", weights, "--json"))
        named = json.loads(run_ok("evaluate", "tiny_images", "--json"))
        assert given["metrics"] == named["metrics"]

    def test_a_folder_in_place_of_a_name_on_evaluation(self, data, published: Path) -> None:
        text = run_ok("evaluate", published / "tiny_images")
        named = run_ok("evaluate", "tiny_images")
        assert text.splitlines()[:3] == named.splitlines()[:3]
        assert "paper: " in text

    def test_an_absent_dataset_and_a_split_that_is_none(self, monkeypatch, tmp_path) -> None:
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
        assert "mnist 3.0.1 is not prepared" in refused(2, "evaluate", "tiny_images")
        assert "got 'tset'" in refused(2, "evaluate", "tiny_images", "--split", "tset")


class TestExport:
    @pytest.fixture
    def exported(self, monkeypatch) -> list[tuple]:
        """(name, path, version, format, overwrite) of every export asked for; files appear."""
        from zoo import exporting

        calls: list[tuple] = []

        def export(name: str, path: str, version: int, *, format: str, overwrite: bool) -> str:
            calls.append((name, path, version, format, overwrite))
            if name == "broken":
                raise ExportError("no space left")
            folder = Path(path, name, str(version))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "saved_model.pb").touch()
            return str(folder)

        monkeypatch.setattr(exporting, "export", export)
        return calls

    def test_one_model(self, exported) -> None:
        assert run_ok("export", "tiny_images") == "export/tiny_images/1\n"
        run_ok("export", "tiny_images", "--path", "base", "--version", 4, "--overwrite")
        assert exported == [
            ("tiny_images", "export", 1, "savedmodel", False),
            ("tiny_images", "base", 4, "savedmodel", True),
        ]

    def test_the_configuration_of_a_server_lies_beside_the_models(self, exported, tmp_path) -> None:
        run_ok("export", "tiny_images", "--path", tmp_path)
        run_ok("export", "tiny_labels", "--path", tmp_path)
        (tmp_path / "README.md").write_text("mine")
        refused(2, "export", "broken", "--path", tmp_path)
        config = (tmp_path / "models.config").read_text()
        assert re.findall(r'name: "(\w+)"', config) == ["tiny_images", "tiny_labels"]
        assert (tmp_path / "docker-compose.yml").is_file()
        assert (tmp_path / "README.md").read_text() == "mine"

    @pytest.mark.parametrize("format", ["tflite", "onnx"])
    def test_other_formats(self, exported, tmp_path, format: str) -> None:
        run_ok("export", "tiny_images", "--path", tmp_path, "--format", format)
        assert exported == [("tiny_images", str(tmp_path), 1, format, False)]
        assert not (tmp_path / "models.config").exists()

    def test_all_have_the_version_of_their_weights(self, exported, monkeypatch, tmp_path) -> None:
        later = {**pins.pins()}
        later["tiny_labels"] = {**later["tiny_labels"], "version": 3}
        monkeypatch.setattr("zoo.store.pins.pins", lambda: later)
        run_ok("export", "--all", "--path", tmp_path)
        assert [call[::2] for call in exported] == [
            ("tiny_features", 1, False),
            ("tiny_images", 1, False),
            ("tiny_labels", 3, False),
        ]

    def test_all_leaves_versions_that_exist(self, exported, tmp_path) -> None:
        run_ok("export", "tiny_images", "--path", tmp_path)
        printed = run_ok("export", "--all", "--path", tmp_path)
        assert f"{tmp_path / 'tiny_images' / '1'} exists; --overwrite replaces it" in printed
        assert [call[0] for call in exported] == ["tiny_images", "tiny_features", "tiny_labels"]
        run_ok("export", "--all", "--path", tmp_path, "--overwrite")
        assert len(exported) == 6

    def test_all_passes_over_what_cannot_leave_tensorflow(
        self, exported, monkeypatch, tmp_path
    ) -> None:
        from zoo import exporting

        write = exporting.export

        def export(name: str, *args: Any, **options: Any) -> str:
            if name == "tiny_images":
                raise NotPortableError("No signature of tiny_images can be converted")
            return write(name, *args, **options)

        monkeypatch.setattr(exporting, "export", export)
        result = run("export", "--all", "--path", tmp_path, "--format", "onnx")
        assert result.exit_code == 0
        assert [call[0] for call in exported] == ["tiny_features", "tiny_labels"]
        assert result.stderr == "zoo: No signature of tiny_images can be converted\n"
        text = refused(2, "export", "tiny_images", "--path", tmp_path, "--format", "onnx")
        assert "can be converted" in text

    def test_nothing_exported_leaves_nothing(self, exported, tmp_path) -> None:
        refused(2, "export", "broken", "--path", tmp_path)
        assert list(tmp_path.glob("*.config")) == []

    def test_a_name_or_all(self, exported) -> None:
        assert "--all" in refused(2, "export")
        assert "--all" in refused(2, "export", "tiny_images", "--all")
        assert exported == []


class TestVerify:
    def test_all_published_models(self) -> None:
        lines = run_ok("verify").splitlines()
        assert [line.split()[0] for line in lines[1:]] == [
            "tiny_features",
            "tiny_images",
            "tiny_labels",
        ]
        assert lines[0].split() == ["name", "bytes", "files", "load", "golden"]
        assert all(line.split()[2:] == ["ok"] * 3 for line in lines[1:])

    @pytest.mark.parametrize("file", ["model.weights.h5", "card.md"])
    def test_a_flipped_byte_fails_and_the_others_are_still_checked(self, published, file) -> None:
        flip(published / "tiny_features" / file)
        result = run("verify", "--json", "--no-load")
        assert result.exit_code == 1
        found = {row["name"]: row for row in json.loads(result.stdout)}
        assert f"{file} has the SHA-256" in found["tiny_features"]["checks"][0]["detail"]
        assert [found[name]["ok"] for name in sorted(found)] == [False, True, True]

    def test_files_as_pinned_that_do_not_load_fail(self, published, monkeypatch) -> None:
        folder = published / "tiny_images"
        wrong = zoo.create("nice", event_shape=[4, 4, 1], hidden_units=[9], num_couplings=2)
        save_weights(wrong, folder / "model.weights.h5")
        files = write_sha256sums(folder)
        monkeypatch.setattr(
            "zoo.store.pins.pins", lambda: {"tiny_images": {"version": 1, "files": files}}
        )
        assert run("verify", "--no-load").exit_code == 0
        result = run("verify", "tiny_images")
        assert result.exit_code == 1
        assert "does not fit the model" in result.stdout

    def test_names(self) -> None:
        result = run("verify", "tiny_recipe")
        assert result.exit_code == 1
        assert "no published weights" in result.stdout
        assert "No model named" in refused(2, "verify", "tiny")
        assert "names, or --all" in refused(2, "verify", "tiny_images", "--all")
        assert "files alone" in refused(2, "verify", "--full", "--no-load")

    def test_other_answers_than_golden_fail(self, published, monkeypatch) -> None:
        folder = published / "tiny_images"
        answers = golden.read(folder)
        answers["log_prob"] = answers["log_prob"] * 1.01
        golden.write(folder, answers)
        files = write_sha256sums(folder)
        monkeypatch.setattr(
            "zoo.store.pins.pins", lambda: {"tiny_images": {"version": 1, "files": files}}
        )
        result = run("verify")
        assert result.exit_code == 1
        assert "tiny_images, golden failed: largest error" in result.stdout

    def test_an_answer_that_is_no_number_fails(self) -> None:
        for errors in ({"x": 0.1, "z": math.nan}, {"z": math.nan, "x": 3.0}):
            found = verify._judged(errors, "largest error")
            assert found == {
                "status": "failed",
                "detail": "largest error nan of the tolerance, in z",
            }
        assert verify._judged({"x": 1.0}, "")["status"] == "ok"

    def test_figures_and_export_come_again(self, published, data, monkeypatch) -> None:
        folder = published / "tiny_images"
        zoo.evaluate("tiny_images", out=folder / "metrics.json")

        def pins() -> dict[str, Any]:
            files = write_sha256sums(folder)
            return {"tiny_images": {"version": 1, "files": files}}

        monkeypatch.setattr("zoo.store.pins.pins", pins)
        lines = run_ok("verify", "--all").splitlines()
        assert lines[0].split()[2:] == ["files", "load", "golden", "metrics", "export"]
        assert lines[1].split()[2:] == ["ok"] * 5
        stored = json.loads((folder / "metrics.json").read_text())
        stored["metrics"]["bits_per_dim"]["value"] += 0.1
        (folder / "metrics.json").write_text(json.dumps(stored))
        result = run("verify", "tiny_images", "--full")
        assert result.exit_code == 1
        assert "tiny_images, metrics failed: largest change" in result.stdout

    @pytest.mark.parametrize(
        ("metric", "change", "status"),
        [
            ("bits_per_sample", 0.009, "ok"),
            ("bits_per_sample", 0.011, "failed"),
            ("recognised", 0.39, "ok"),  # of clips that another machine draws anew
            ("recognised", 0.41, "failed"),
        ],
    )
    def test_figures_of_drawn_clips_may_change_as_draws_do(
        self, metric: str, change: float, status: str, published, monkeypatch
    ) -> None:
        stored = {"split": "test", "metrics": {metric: {"value": 0.5, "two_standard_errors": 0.2}}}
        (published / "tiny_images" / "metrics.json").write_text(json.dumps(stored))
        found = {"metrics": {metric: {"value": 0.5 + change}}}
        monkeypatch.setattr("zoo.evaluation.evaluate", lambda *_: found)
        files = write_sha256sums(published / "tiny_images")
        pinned = {"tiny_images": {"version": 1, "files": files}}
        monkeypatch.setattr("zoo.store.pins.pins", lambda: pinned)
        checks = verify.verify("tiny_images", ("metrics",)).checks
        assert [check.status for check in checks] == [status]

    @pytest.mark.parametrize("has_golden_rows", [True, False])
    def test_the_export_of_a_conditional_model_is_scored(
        self, has_golden_rows: bool, published, monkeypatch
    ) -> None:
        folder = published / "tiny_labels"
        if not has_golden_rows:
            (folder / golden.GOLDEN_FILE).unlink()
            files = write_sha256sums(folder)
            pinned = {"tiny_labels": {"version": 1, "files": files}}
            monkeypatch.setattr("zoo.store.pins.pins", lambda: pinned)
        found = verify.verify("tiny_labels", ("export",))
        assert [(check.name, check.status) for check in found.checks] == [("export", "ok")]

    def test_the_export_of_what_only_speaks_is_decoded(self, monkeypatch, tmp_path) -> None:
        voice = zoo.create(
            "parallel_wavenet",
            event_shape=(64,),
            layers_per_flow=(2, 2),
            residual_channels=4,
            skip_channels=4,
        )
        export = exporting.export
        monkeypatch.setattr(exporting, "export", lambda _, folder: export(voice, folder))
        monkeypatch.setattr(loading, "load", lambda _: voice)
        monkeypatch.setattr(loading, "resolve", lambda _: tmp_path)
        pinned = {"tiny_voice": {"version": 1, "files": {}}}
        monkeypatch.setattr("zoo.store.pins.pins", lambda: pinned)
        entry = dataclasses.replace(registry.get("tiny_labels"), name="tiny_voice")
        monkeypatch.setitem(registry.ENTRIES, "tiny_voice", entry)

        def verified() -> verify.Check:
            return verify.verify("tiny_voice", ("export",)).checks[0]

        check = verified()
        assert (check.status, check.detail.split()[0]) == ("ok", "decode")
        other = zoo.create("parallel_wavenet", **{**voice.config.to_dict(), "first_log_scale": -3})
        monkeypatch.setattr(exporting, "export", lambda _, folder: export(other, folder))
        assert verified().status == "failed"

    def test_nothing_is_published(self, monkeypatch) -> None:
        monkeypatch.setattr("zoo.store.pins.pins", dict)
        assert "nothing to verify" in run_ok("verify")


class TestDoctor:
    def test_this_machine_passes(self) -> None:
        found = {check["name"]: check for check in json.loads(run_ok("doctor", "--json"))}
        for name in ("python", "tensorflow", "keras", "cores", "cache directory", "keras backend"):
            assert found[name]["status"] == "ok", found[name]
        assert found["tensorflow"]["found"] == "2.21.0"
        assert found["checkpoint tiny_images"]["status"] == "ok"

    @pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warning", 0), ("failed", 1)])
    def test_a_failed_check_is_the_exit_code(self, monkeypatch, status: str, code: int) -> None:
        check = doctor.Check(name="thing", status=status, found="that", advice="do this")
        monkeypatch.setattr(doctor, "run", lambda: [check])
        result = run("doctor")
        assert result.exit_code == code
        assert result.stdout == f"{status}  thing  that\nthing: do this\n"

    def test_another_version_and_an_absent_package_fail(self, monkeypatch) -> None:
        from importlib import metadata

        def version(name: str) -> str:
            if name == "h5py":
                raise metadata.PackageNotFoundError(name)
            return "1.0"

        monkeypatch.setattr(metadata, "version", version)
        checks = {r.name: doctor._package(r) for r in doctor.requirements()}
        assert checks["h5py"].status == "failed"
        assert checks["h5py"].found == "not installed"
        assert checks["tensorflow"].status == "failed"
        assert checks["tensorflow"].found == "1.0, tested with ==2.21.0"

    def test_what_cannot_be_imported_is_a_failed_check(self, monkeypatch) -> None:
        def broken() -> None:
            raise ImportError("no TensorFlow")

        def unavailable(_: Any) -> bool:
            raise ImportError("no TFDS")

        monkeypatch.setattr("zoo.cli.publish.import_tensorflow", broken)
        monkeypatch.setattr("zoo.data.sources.available", unavailable)
        monkeypatch.setattr("zoo.data.sources.find_prepared", lambda _: None)
        monkeypatch.setitem(sys.modules, "tensorflow_probability", None)
        result = run("doctor", "--json")
        assert result.exit_code == 1
        found = {check["name"]: check for check in json.loads(result.stdout)}
        assert found["imports"]["status"] == "failed"
        assert found["dataset mnist:3.0.1"]["found"] == "no TFDS"
        assert found["python"]["status"] == "ok"

    def test_folders_that_are_missing_are_warnings(self, monkeypatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
        monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "no cache"))
        first, mnist, *_ = doctor._datasets()
        assert (first.name, first.status) == ("data directories", "warning")
        assert (mnist.status, mnist.found) == ("warning", "not prepared")
        monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path))
        assert {check.status for check in doctor._checkpoints()} == {"warning"}
        monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path / "none"))
        assert {check.status for check in doctor._checkpoints()} == {"failed"}
        (tmp_path / "file").touch()
        monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))
        assert doctor._cache().status == "warning"
