"""Releases: a run becomes a whole checkpoint or nothing, at whatever point it fails."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
import tiny_checkpoints

import zoo
from zoo import loading, registry
from zoo.core.recipe_json import to_dict
from zoo.data import sources
from zoo.errors import CheckpointError, MissingCheckpointError, PublishError
from zoo.evaluation import certificate, golden
from zoo.publishing import copies, release
from zoo.publishing.samples import write_samples
from zoo.store import pins
from zoo.store.files import read_json, write_json_atomic
from zoo.store.folder import save_checkpoint
from zoo.store.hashes import verify_files, verify_sha256sums

NAME = "tiny_features"
DTYPES = ("float32", "bfloat16")
SOUND = {dtype: {"invertibility": 1e-5, "log_det": 1e-4} for dtype in DTYPES}
CERTIFICATE = certificate.certificate  # seconds of tracing, which one test takes
WHOLE = {
    "SHA256SUMS", "card.md", "config.json", "golden.npz", "history.csv", "metrics.json",
    "model.weights.h5", "recipe.json", "run.json", "samples.csv",
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source checkout in which the tiny models are registered and none is published."""
    root = tmp_path / "checkout"
    (root / "zoo").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    (root / "zoo" / "pins.json").write_text("{}\n")
    tiny_checkpoints.register({}, monkeypatch, install=root)
    read = functools.cache(lambda: json.loads((root / "zoo" / "pins.json").read_text()))
    monkeypatch.setattr(pins, "pins", read)
    monkeypatch.setattr(pins, "PINS_FILE", root / "zoo" / "pins.json")
    rows = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    monkeypatch.setattr(sources, "load_arrays", lambda *_: sources.Arrays(rows))
    monkeypatch.setattr(certificate, "certificate", lambda _, x, __: {**SOUND, "rows": len(x)})
    return root


@functools.cache
def made(seed: int) -> Path:
    """Weights that are no initialisation's, once for all tests."""
    folder = Path(tempfile.mkdtemp(prefix="zoo_release_"))
    atexit.register(shutil.rmtree, folder)
    family, config = tiny_checkpoints.CONFIGS[NAME]
    model = zoo.create(family, **config)
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(0.3 * generator.normal(size=variable.shape))
    return save_checkpoint(folder, model, family=family, recipe=tiny_checkpoints.entry(NAME).recipe)


def make_run(folder: Path, *, seed: int = 0, **record: Any) -> Path:
    """A run of `NAME` that has finished."""
    shutil.copytree(made(seed), folder, dirs_exist_ok=True)
    (folder / "history.csv").write_text("step\n1\n")
    (folder / "state.npz").write_bytes(b"the optimiser's")
    facts = {"name": NAME, "reason": "finished", "train_hours": 0.5, "hardware": "2 CPU cores"}
    write_json_atomic(folder / "run.json", {**facts, **record})
    return folder


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Path:
    return make_run(tmp_path / "runs" / "mine")


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


class TestNamed:
    def test_a_release_is_whole_pinned_and_loads(
        self, root: Path, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(certificate, "certificate", CERTIFICATE)
        folder = root / "checkpoints" / NAME
        assert release.release_name(NAME, run).folder == folder
        assert {path.name for path in folder.iterdir()} == WHOLE
        assert [path.name for path in folder.parent.iterdir()] == [NAME]
        pinned = pins.pins()
        assert set(pinned) == {NAME}
        assert pinned[NAME]["version"] == 1
        verify_files(folder, pinned[NAME]["files"])
        assert verify_sha256sums(folder)
        metrics = read_json(folder / "metrics.json")
        assert (metrics["name"], metrics["version"], metrics["train_hours"]) == (NAME, 1, 0.5)
        assert metrics["paper"]["value"] == 1.25
        assert metrics["certificate"]["rows"] == 40
        model = zoo.load(NAME)  # as stored: in half precision
        assert read_json(folder / "config.json")["storage_dtype"] == "float16"
        assert max(golden.differences(model, golden.read(folder)).values()) <= 1.0
        again = zoo.evaluate(NAME)["metrics"]
        assert again == metrics["metrics"]
        assert f'zoo.load("{NAME}")' in (folder / "card.md").read_text()
        assert f'name: "{NAME}"' in (root / "export" / "models.config").read_text()

    def test_another_version_takes_the_place_of_the_first(self, root: Path, run: Path) -> None:
        release.release_name(NAME, run)
        folder = root / "checkpoints" / NAME
        write_json_atomic(folder / "baselines.json", {"seed": 1})
        other = make_run(run.with_name("other"), seed=1)
        for given in (None, 1):
            with pytest.raises(PublishError, match="is released: give these weights --version 2"):
                release.release_name(NAME, other, version=given)
        release.release_name(NAME, other, version=2, storage_dtype="float32")
        assert pins.pins()[NAME]["version"] == 2
        assert read_json(folder / "metrics.json")["version"] == 2
        assert read_json(folder / "baselines.json") == {"seed": 1}  # on the same rows
        x = np.ones([2, 5], np.float32)
        np.testing.assert_array_equal(zoo.load(NAME).log_prob(x), zoo.load(other).log_prob(x))

    def test_published_weights_are_judged_again_as_they_are(self, root: Path, run: Path) -> None:
        release.release_name(NAME, run)
        folder = root / "checkpoints" / NAME
        before = tree(folder)
        (folder / "card.md").write_text("spoilt")
        release_again = functools.partial(release.release_name, NAME, folder)
        with pytest.raises(CheckpointError, match=r"card\.md"):
            release_again()
        (folder / "card.md").write_bytes(before["card.md"])
        release_again()
        after = tree(folder)
        for file in WHOLE - {"metrics.json", "SHA256SUMS"}:  # which say how long it took
            assert after[file] == before[file], file
        assert pins.pins()[NAME]["version"] == 1

    def test_only_a_checkout_has_pins(self, root: Path, run: Path) -> None:
        (root / "pyproject.toml").unlink()
        with pytest.raises(PublishError, match="zoo publish FOLDER --to ADDRESS"):
            release.release_name(NAME, run)


class TestNothingOrAll:
    """A failure at each point leaves no folder and no pin, or the old ones."""

    POINTS = (*(stage.__name__ for stage in release.STAGES), "rename", "pin", "pins.json")

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Figures and golden outputs without their seconds."""
        facts = tiny_checkpoints.metrics(NAME)
        monkeypatch.setattr(release.evaluating, "evaluate_subject", lambda *_, **__: facts)
        monkeypatch.setattr(release.golden, "golden", lambda *_: {"x": np.zeros(1)})
        monkeypatch.setattr(release, "write_samples", lambda *_: None)

    def fail(self, point: str, monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
        def stopped(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt(point)

        if point == "rename":
            rename = Path.rename
            monkeypatch.setattr(
                Path,
                "rename",
                lambda path, to: (
                    stopped() if Path(to) == target and path.name != "old" else rename(path, to)
                ),
            )
        elif point == "pin":
            monkeypatch.setattr(release.pin, "pin", stopped)
        elif point == "pins.json":
            monkeypatch.setattr(pins, "pin", stopped)
        else:
            stages = [s if s.__name__ != point else stopped for s in release.STAGES]
            monkeypatch.setattr(release, "STAGES", stages)

    @pytest.mark.parametrize("point", POINTS)
    @pytest.mark.parametrize("released", [False, True])
    def test_of_a_registered_name(
        self, released: bool, point: str, root: Path, run: Path, monkeypatch
    ) -> None:
        if released:
            release.release_name(NAME, run)
        before, pinned = tree(root), dict(pins.pins())
        self.fail(point, monkeypatch, root / "checkpoints" / NAME)
        with pytest.raises(KeyboardInterrupt):
            release.release_name(NAME, make_run(run.with_name("new"), seed=1), version=2)
        assert tree(root) == before
        pins.pins.cache_clear()
        assert pins.pins() == pinned

    @pytest.mark.parametrize("point", [stage.__name__ for stage in release.STAGES])
    def test_of_a_persons_own_run(self, point: str, run: Path, tmp_path: Path, monkeypatch) -> None:
        before = tree(run)
        self.fail(point, monkeypatch, tmp_path)
        result = commands.run("publish", run, "--to", tmp_path / "away" / "mine")
        assert result.exit_code == 130
        assert not (tmp_path / "away").exists()
        assert tree(run) == before


class TestOwnRun:
    def test_a_run_of_an_unregistered_recipe_gets_all_that_ours_have(
        self, run: Path, tmp_path: Path
    ) -> None:
        write_json_atomic(run / "run.json", {"reason": "early stopping", "train_hours": 0.25})
        recipe = dataclasses.replace(tiny_checkpoints.entry(NAME).recipe, notes="My own notes.")
        write_json_atomic(run / "recipe.json", to_dict(recipe))
        place = tmp_path / "away" / "mine"
        result = commands.run("publish", run, "--to", place, "--licence", "CC-BY-4.0")
        assert result.exit_code == 0, result.stderr
        assert {path.name for path in place.iterdir()} == {*WHOLE, "manifest.json"}
        assert verify_sha256sums(place)
        metrics = read_json(place / "metrics.json")
        assert (metrics["name"], metrics["version"], metrics["paper"]) == ("mine", 0, None)
        assert tuple(metrics["metrics"]) == ("bits_per_dim", "log_prob")
        card = (place / "card.md").read_text(encoding="utf-8")
        for part in (
            'license: "cc-by-4.0"',
            "# mine\n",
            'zoo.load("path/to/mine")',
            "My own notes.",
            'training.train(recipe_json.from_dict(values), "runs/mine")',
            "- Weights: CC-BY-4.0",
        ):
            assert part in card
        assert "The paper's figure" not in card
        assert "zoo verify" not in card
        lines = result.stdout.splitlines()
        assert lines[1].startswith("log_prob  ")
        model = eval(lines[-1])  # the call that it shows
        assert max(golden.differences(model, golden.read(place)).values()) <= 1.0
        assert not (run / "metrics.json").exists()

    def test_a_run_of_a_registered_recipe_is_judged_as_that(self, run: Path, tmp_path) -> None:
        found = release.release_run(
            run, tmp_path / "staged" / "mine", storage_dtype="float32", licence="unknown"
        )
        assert tuple(found.metrics["metrics"]) == tiny_checkpoints.METRICS[NAME]
        assert found.metrics["paper"]["source"] == "table 1"
        card = (found.folder / "card.md").read_text(encoding="utf-8")
        assert f"zoo train {NAME}\nzoo evaluate runs/{NAME}\n" in card
        assert "Two couplings." in card

    def test_a_copy_alone_is_asked_for(self, run: Path, tmp_path: Path) -> None:
        place = tmp_path / "plain"
        assert commands.run("publish", run, "--to", place, "--as-is").exit_code == 0
        assert {path.name for path in place.iterdir()} == {
            "SHA256SUMS", "config.json", "history.csv", "manifest.json", "model.weights.h5",
            "recipe.json", "run.json",
        }  # fmt: skip

    def test_a_place_that_cannot_be_is_refused_first(self, run: Path, monkeypatch) -> None:
        fail = pytest.fail
        monkeypatch.setattr(release, "release_run", lambda *_, **__: fail("before the refusal"))
        for to, message in (("https://host/x", "not written"), ("s3://x/y", "s3://")):
            result = commands.run("publish", run, "--to", to)
            assert result.exit_code == 2
            assert message in result.stderr

    @pytest.mark.parametrize("reason", ["signal SIGTERM", "time limit"])
    def test_a_run_that_was_ended_is_refused(self, reason: str, run: Path, tmp_path: Path) -> None:
        make_run(run, reason=reason)
        message = f"ended by {reason}, and its recipe goes on"
        with pytest.raises(PublishError, match=message):
            release.release_name(NAME, run)
        assert message in commands.run("publish", run, "--to", tmp_path / "x").stderr
        (run / "run.json").unlink()
        with pytest.raises(MissingCheckpointError, match=r"run\.json is missing"):
            release.check_finished(run)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((NAME,), "--to ADDRESS"),
        ((NAME, "--to", "x", "--version", 2), "--version goes with --run"),
        ((NAME, "--to", "x", "--storage", "float32"), "--storage is of a training run"),
        ((NAME, "--to", "x", "--as-is"), "--as-is is of a training run"),
        ((NAME, "--to", "x", "--licence", "mit"), "--licence is of a run of your own"),
        ((NAME, "--run", "y", "--overwrite"), "--overwrite goes with --to"),
        ((NAME, "--run", "y", "--as-is"), "--as-is is of a training run"),
    ],
)
def test_options_that_say_nothing_are_refused(arguments, message, root: Path) -> None:
    result = commands.run("publish", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_by_the_command_line_a_name_is_released_and_copied(
    root: Path, run: Path, tmp_path: Path
) -> None:
    place = tmp_path / "away"
    result = commands.run("publish", NAME, "--run", run, "--to", place, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["version"] == 1
    assert set(found["metrics"]) == {"log_prob"}
    assert copies.publish(NAME, tmp_path / "again").sha256 == found["sha256"]
    text = commands.run("publish", NAME, "--run", run, "--version", 2).stdout
    assert f"{root / 'checkpoints' / NAME}, version 2, is pinned" in text


def test_a_flow_that_overflows_is_not_published(tmp_path: Path) -> None:
    def certify(found: dict[str, Any] | None) -> None:
        metrics = {} if found is None else {"certificate": found}
        release.certify(
            release.Release(
                run=tmp_path,
                folder=tmp_path,
                entry=registry.get("nice_mnist"),
                version=1,
                storage_dtype="float16",
                named=True,
                metrics=metrics,
            )
        )

    sound = {"rows": 3, **SOUND}
    for found in (None, sound):
        certify(found)
    for dtype in DTYPES:
        spoilt = sound | {dtype: {"invertibility": 1e-5, "log_det": None}}
        with pytest.raises(
            PublishError, match=f"nice_mnist is not to be published: {dtype} errors"
        ):
            certify(spoilt)
    nearly = {dtype: {"invertibility": 2250.0, "log_det": 400.0} for dtype in DTYPES}
    certify(sound | {"bfloat16": nearly["bfloat16"]})
    with pytest.raises(PublishError, match=r"float32 errors .*'log_det': 400\.0"):
        certify(sound | nearly)


def test_samples_are_of_the_medium(tmp_path: Path) -> None:
    recipe = tiny_checkpoints.entry("tiny_images").recipe
    family, config = tiny_checkpoints.CONFIGS["tiny_images"]
    write_samples(tmp_path, zoo.create(family, **config), recipe)
    assert (tmp_path / "samples.png").is_file()
    raw = zoo.create("nice", event_shape=(2, 2, 1), preprocessing={}, hidden_units=(4,))
    write_samples(tmp_path, raw, recipe)  # real pixels
    assert len((tmp_path / "samples.csv").read_text().splitlines()) == 65


def test_clips_stand_below_real_ones_and_the_teachers(tmp_path: Path, monkeypatch) -> None:
    settings = {
        "event_shape": (600,), "residual_channels": 4, "skip_channels": 4, "context_size": 6,
        "context_factors": (3, 2), "context_channels": 4,
    }  # fmt: skip
    voice = zoo.create("parallel_wavenet", layers_per_flow=(2,), **settings)
    teacher = zoo.create("wavenet", num_stacks=1, layers_per_stack=2, **settings)
    monkeypatch.setattr(loading, "load", lambda name: {"wavenet_mol_digits": teacher}[name])
    clips = np.random.default_rng(0).normal(0.0, 900.0, (12, 600)).astype(np.int16)
    rows = sources.Arrays(clips, (np.arange(12) % 6).astype(np.int32))
    monkeypatch.setattr(sources, "load_arrays", lambda *_: rows)
    write_samples(tmp_path, voice, registry.get("parallel_wavenet_digits").recipe)
    from zoo.media.audio import read_audio
    from zoo.media.pictures import read_image

    assert len(read_audio(tmp_path / "samples.wav", 8000)) == 3 * 600  # one of each first factor
    frames = (600 - 256) // 64 + 1
    assert read_image(tmp_path / "samples.png", (3 * 130 + 2, 3 * (frames + 2) + 2, 1)).size
    shutil.rmtree(tmp_path)
