"""`zoo fit` of folders: pictures and clips become rows, and a run that every command takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner

import zoo
import zoo.serving.repository
from zoo.cli import app, serve
from zoo.core.recipe_json import from_dict
from zoo.data import own_clips, own_pictures, own_rows, splitting
from zoo.data.folders import files_in
from zoo.errors import InvalidInputError, TrainingError
from zoo.training import pacing
from zoo.training.own_recipes import recipe_of_clips, recipe_of_pictures
from zoo.training.pacing import epochs_within
from zoo.training.records import TrainingResult

TINY_NICE = ["config.hidden_units=[8]", "config.num_couplings=2", "max_epochs=2"]
TINY_WAVENET = [
    *("config.num_stacks=1", "config.layers_per_stack=2", "config.residual_channels=4"),
    *("config.skip_channels=4", "max_epochs=2", "jit_compile=false", "bucket_size=0"),
]


def _run(*args, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == code, result.output
    return result.output


def _sets(assignments: list[str]) -> list[str]:
    return [f"--set={assignment}" for assignment in assignments]


def _picture(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8).astype(np.uint8))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures of many sizes, colour modes and file formats, in two subfolders."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(60):
        image = _picture(rng, *rng.integers(9, 30, 2))
        mode, suffix = (
            ("RGB", ".png"), ("RGB", ".jpg"), ("L", ".png"), ("P", ".gif"), ("RGBA", ".webp"),
            ("CMYK", ".jpg"), ("1", ".bmp"), ("LA", ".png"), ("I;16", ".tif"),
        )[i % 9]  # fmt: skip
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        part = folder / ("cats" if i % 3 else "dogs")
        part.mkdir(exist_ok=True)
        (image if mode == "I;16" else image.convert(mode)).save(part / f"{i:02}{suffix}")
    (folder / "cats" / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_text("neither")
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 clips of four rates and several lengths, some in stereo."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(1)
    for i in range(12):
        rate = (8000, 11025, 22050, 48000)[i % 4]
        samples = 0.3 * np.sin(
            rng.uniform(0.01, 0.1) * np.arange(int(rate * rng.uniform(0.05, 0.2)))
        )
        sound = np.stack([samples, 0.5 * samples], 1) if i % 3 else samples
        soundfile.write(folder / f"{i:02}.{'wav' if i % 2 else 'flac'}", sound, rate)
    return folder


# Pictures.


def test_a_folder_of_pictures_becomes_a_model_that_every_command_takes(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "mine"
    text = _run("fit", pictures, "-o", run, "--size", 8, *_sets(TINY_NICE))
    for words in ("60 pictures of", "to 8 x 8, in colour", "pixels apart", "png", "bits/dim"):
        assert words in text
    recipe = from_dict(json.loads((run / "recipe.json").read_text()))
    assert (recipe.family, recipe.config["event_shape"]) == ("nice", [8, 8, 3])
    test = own_rows.read(recipe.data, "test")
    model = zoo.load(run)
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    value = float(np.mean(model.bits_per_dim(test.x, seed=0)))
    assert metrics["bits_per_dim"]["value"] == pytest.approx(value, abs=1e-4)
    _run("sample", run, "-n", 4, "--seed", 1, "-o", tmp_path / "drawn.png")
    with Image.open(tmp_path / "drawn.png") as drawn:
        assert drawn.size == (22, 22)
    Image.fromarray(test.x[0]).save(tmp_path / "one.png")
    scores = json.loads(_run("score", run, tmp_path / "one.png", "--json"))["files"][0]
    np.testing.assert_allclose(scores["log_prob"], model.log_prob(test.x[:1]), rtol=1e-5)
    _run("publish", run, "--to", tmp_path / "released")
    card = (tmp_path / "released" / "card.md").read_text()
    for words in ("60 pictures of", "| png |", "| pixels apart |", "samples.png"):
        assert words in card
    _run("export", run, "--path", tmp_path / "served")
    assert list((tmp_path / "served").rglob("saved_model.pb"))
    monkeypatch.setattr(
        "zoo.exporting.export", lambda name, path, version: f"{path}/mine/{version}"
    )
    folders = serve._folders([str(run)], tmp_path, tmp_path / "now", zoo.serving)
    assert folders == {"mine": tmp_path / "now" / "mine"}


def test_subfolders_are_labels_and_a_family_without_is_refused(
    pictures: Path, tmp_path: Path
) -> None:
    small = ["config.hidden_units=[8]", "config.num_layers=1", "max_epochs=2"]
    options = {"size": "4", "mode": "grey", "context": "folder"}
    model = zoo.fit(pictures, tmp_path / "mine", assignments=small, minutes=2.0, **options)
    assert json.loads((tmp_path / "mine" / "run.json").read_text())["reason"] == "finished"
    assert (model.family, model.context.levels, model.data.shape) == ("maf", 2, (4, 4, 1))
    assert model.sample(2, seed=0, context=[0, 1]).dtype == "uint8"
    with pytest.raises(InvalidInputError, match=r"2 classes: .* Families that can: .*\bmaf\b"):
        zoo.fit(pictures, tmp_path / "other", family="idf", **options)
    with pytest.raises(InvalidInputError, match="wavenet cannot learn from pictures of 4 x 4"):
        zoo.fit(pictures, tmp_path / "other", family="wavenet", size="4")


def test_a_picture_is_turned_laid_on_white_resized_and_cropped(tmp_path: Path) -> None:
    """By hand: a grey wedge, tall in the file and wide as it is seen."""
    for i in range(3):
        wedge = np.zeros([16, 8, 3], np.uint8)
        wedge[:8] = 200 + i
        image = Image.fromarray(wedge)
        exif = image.getexif()
        exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
        image.save(tmp_path / f"{i}.png", exif=exif)
    found = own_pictures.prepare(files_in(tmp_path), size="16x8")
    assert found.x.shape == (3, 8, 16, 1)  # no picture has a colour
    np.testing.assert_array_equal(found.x[0, :, 8:], 200)
    np.testing.assert_array_equal(found.x[0, :, :8], 0)
    glass = Image.new("RGBA", (40, 20), (10, 20, 30, 0))
    glass.paste((10, 20, 30, 255), (10, 0, 30, 20))
    (tmp_path / "glass").mkdir()
    glass.save(tmp_path / "glass" / "0.png")
    row = own_pictures.prepare(files_in(tmp_path / "glass"), size="4").x[0]
    middle = np.broadcast_to([10, 20, 30], (4, 2, 3))
    np.testing.assert_allclose(row[:, 1:3], middle, atol=5)  # the kernel sees some of the white
    wide = own_pictures.prepare(files_in(tmp_path / "glass"), size="8x4").x[0]
    np.testing.assert_allclose(wide[:, 0], 255, atol=5)


def test_sizes_are_told_from_the_pictures(tmp_path: Path) -> None:
    assert own_pictures._common_size([(30, 20)] * 3) == (30, 20)
    assert own_pictures._common_size([(300, 200)] * 3) == (32, 32)
    assert own_pictures._common_size([(30, 20), (27, 40), (100, 90)]) == (24, 24)
    table = own_rows.Table(name="t", version="0" * 12, folder=str(tmp_path))
    for shape, scales, stride in (((32, 32, 3), 2, 2), ((30, 30, 1), 2, 1), ((27, 33, 3), 1, 1)):
        config = recipe_of_pictures(table, shape, 400).config
        assert (config["num_scales"], config["conditioner_stride"]) == (scales, stride)


# Clips.


def test_a_folder_of_clips_becomes_a_model_that_every_command_takes(
    clips: Path, tmp_path: Path
) -> None:
    run = tmp_path / "mine"
    text = _run("fit", clips, "-o", run, "--seconds", 0.06, *_sets(TINY_WAVENET))
    for words in ("3 at 48,000 Hz", "9 resampled to 8,000 Hz by soxr", "flac", "samples apart"):
        assert words in text
    model = zoo.load(run)
    assert (model.family, model.data.rate, model.data.shape) == ("wavenet", 8000, (512,))
    _run("publish", run, "--to", tmp_path / "released")
    card = (tmp_path / "released" / "card.md").read_text()
    assert "by soxr" in card
    assert soundfile.info(tmp_path / "released" / "samples.wav").samplerate == 8000
    assert "| flac |" in card


def test_clips_are_resampled_mixed_parted_and_padded(tmp_path: Path) -> None:
    """A tone is the same tone at another rate; parts of a file lie in one split."""
    time = np.arange(32000) / 16000
    tone = 0.25 * np.sin(2.0 * np.pi * 440.0 * time)
    soundfile.write(tmp_path / "tone.wav", np.stack([2.0 * tone, 0.0 * tone], 1), 16000)
    soundfile.write(tmp_path / "short.wav", tone[:1600], 16000)
    found = own_clips.prepare(files_in(tmp_path), rate=8000, seconds=0.752)
    assert found.x.shape == (1 + 3, 6016)  # the rest of 0.496 s is more than half a clip
    assert found.groups[0] != found.groups[1] == found.groups[3]
    assert not found.x[0, 801:].any()
    whole = found.x[1:].reshape(-1)[100:15900]
    expected = 32768 * 0.25 * np.sin(2.0 * np.pi * 440.0 * np.arange(100, 15900) / 8000)
    np.testing.assert_allclose(whole, expected, atol=8)
    parts = splitting.by_groups([b"a", b"b", b"b", b"c", b"c", b"c"])
    assert sorted(len(rows) for rows in parts.values()) == [1, 2, 3]


def test_a_rate_and_a_length_are_told_from_the_clips(clips: Path, tmp_path: Path) -> None:
    found = own_clips.prepare(files_in(clips))
    assert found.rate == 8000
    longest = max(soundfile.info(path).duration for path in files_in(clips).paths)
    assert 0 <= found.x.shape[1] - longest * 8000 < 128
    table = own_rows.Table(name="t", version="0" * 12, folder=str(tmp_path), classes=("a", "b"))
    config = recipe_of_clips(table, 1024, 8000, 40).config
    assert (config["context_size"], config["context_factors"]) == (2, [2])
    with pytest.raises(InvalidInputError, match=r"maf cannot learn .* Families that can: wavenet"):
        recipe_of_clips(table, 1024, 8000, 40, family="maf")


# What cannot be used.


def test_folders_that_cannot_be_used_are_refused_with_what_mends_them(
    pictures: Path, clips: Path, tmp_path: Path
) -> None:
    def refused(folder: Path, message: str, **options) -> None:
        with pytest.raises(InvalidInputError, match=message):
            zoo.fit(folder, tmp_path / "out", **options)

    empty, odd, both = (tmp_path / name for name in ("empty", "odd", "both"))
    for folder in (empty, odd, both):
        folder.mkdir()
    refused(tmp_path / "none", "No file or folder")
    refused(pictures / "cats" / "02.png", "is one row, .* give the folder")
    refused(empty, "is empty; expected pictures")
    (odd / "table.csv").write_text("x\n1\n")
    refused(odd, "1 files, such as table.csv, .* A table is given as a file")
    Image.new("L", (8, 8)).save(both / "one.png")
    refused(both, "1 different pictures, .* give at least 50")
    soundfile.write(both / "two.wav", np.full(800, 0.1), 8000)
    refused(both, "1 pictures and 1 clips, .* Give each a folder")
    refused(pictures, "Expected --size 32", size="wide")
    refused(pictures, "seconds is no option for pictures, which take .*size", seconds=1.0)
    refused(pictures, "their subfolder, --context folder; got colour", context=["colour"])
    refused(clips, r"is its class; 00.flac, .*and 7 more directly", context=["folder"])


def test_broken_files_are_named_and_left_out_on_request(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    for path in sorted((pictures / "cats").iterdir())[:6]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "cut.png").write_bytes((pictures / "cats" / "02.png").read_bytes()[:90])
    (folder / "text.jpg").write_text("no picture")
    files = files_in(folder)
    with pytest.raises(InvalidInputError, match=r"2 of 8 pictures .*cut.png.*text.*--skip"):
        own_pictures.prepare(files)
    found = own_pictures.prepare(files, skip_broken=True)
    assert len(found.x) == 6
    assert ["cut.png" in found.broken[0], "text.jpg" in found.broken[1]] == [True, True]
    silent = tmp_path / "silent"
    silent.mkdir()
    soundfile.write(silent / "0.wav", np.zeros(800), 8000)
    with pytest.raises(InvalidInputError, match="is silent throughout"):
        own_clips.prepare(files_in(silent))


# The time.


def test_a_run_has_as_many_epochs_as_its_minutes_hold(tmp_path: Path) -> None:
    table = own_rows.Table(name="t", version="0" * 12, folder=str(tmp_path))
    recipe = recipe_of_pictures(table, (32, 32, 3), 400)
    rows = {"train": 400, "validation": 50}
    steps = 400 // recipe.training.batch_size
    assert epochs_within(recipe, 1e9, 0.1, rows).training.max_epochs == recipe.training.max_epochs
    found = epochs_within(recipe, 100.0, 0.1, rows).training.max_epochs
    assert 80 <= 0.1 * found * steps <= 90
    assert epochs_within(recipe, 0.01, 0.1, rows).training.max_epochs == 1


def test_minutes_that_hold_no_validation_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = TrainingResult(
        folder=tmp_path,
        step=3,
        epoch=0,
        best_step=0,
        best_validation_nats=np.inf,
        seconds=9.0,
        reason="time limit",
    )
    monkeypatch.setattr(pacing, "train", lambda *args, **options: none)
    table = own_rows.Table(name="t", version="0" * 12, folder=str(tmp_path))
    recipe = recipe_of_pictures(table, (32, 32, 3), 400)
    with pytest.raises(TrainingError, match=r"0.1 minutes hold 3 steps, too few .* --resume"):
        pacing.train_within(recipe, tmp_path, {"train": 400, "validation": 50}, minutes=0.1)
