"""`zoo download`, `zoo cache`, and what `zoo.load` is told of versions and of a cache's place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import filelock
import pytest
from hosts import Host
from nice_tiny import NAME, assert_same
from typer.testing import CliRunner

import zoo
from zoo import cli
from zoo.errors import InvalidInputError, MissingCheckpointError
from zoo.store import downloads
from zoo.store.pins import pin


def run(*args: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.output


@pytest.fixture
def versions(host: Host, master: Path, pins: dict, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with two versions of the model: the second is the newest."""
    shutil.copytree(master, host.root / f"{NAME}.v2")
    both = {"version": 2, "files": pins["files"], "earlier": {"1": pins["files"]}}
    monkeypatch.setattr("zoo.store.pins.pins", lambda: {NAME: both})
    return host


def test_versions_are_those_that_are_pinned(versions: Host, trained, tmp_path: Path) -> None:
    for version, folder in ((None, f"{NAME}.v2"), (2, f"{NAME}.v2"), (1, NAME)):
        model = zoo.load(NAME, version=version)
        assert_same(model, trained)
        assert f"version {version or 2}" in repr(model)
        assert (downloads.cache_dir() / folder).is_dir()
    with pytest.raises(InvalidInputError, match=r"pins version 1, 2 of nice_tiny; got version=3"):
        zoo.load(NAME, version=3)
    for name, options in ((NAME, {"weights": False}), (tmp_path, {}), ("https://a/b", {})):
        with pytest.raises(InvalidInputError, match="version goes with the published weights"):
            zoo.load(name, version=1, **options)


def test_an_earlier_version_is_not_taken_from_a_folder_of_the_newest(
    versions: Host, published: Path, trained
) -> None:
    zoo.load(NAME)
    assert not versions.requests
    zoo.load(NAME, version=1)
    assert f"/{NAME}/config.json" in versions.requests


def test_a_new_version_keeps_the_pins_of_the_one_before(
    master: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, folder = tmp_path / "pins.json", tmp_path / "run"
    file.write_text("{}")
    monkeypatch.setattr("zoo.store.pins.PINS_FILE", file)
    monkeypatch.setattr("zoo.store.pins.pins", lambda: None)
    monkeypatch.setattr("zoo.store.pins.pins.cache_clear", lambda: None, raising=False)
    shutil.copytree(master, folder)
    found = []
    for version, text in ((1, "first"), (2, "second"), (2, "again"), (3, "third")):
        (folder / "card.md").write_text(text)
        pin(NAME, folder, version)
        found.append(json.loads(file.read_text())[NAME])
    assert "earlier" not in found[0]
    assert found[1]["earlier"] == {"1": found[0]["files"]} == found[2]["earlier"]
    assert found[3]["earlier"] == {"1": found[0]["files"], "2": found[2]["files"]}


def test_the_caller_says_where_downloads_are_kept(
    host: Host, trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_same(zoo.load(NAME, cache_dir=tmp_path / "mine"), trained)
    assert (tmp_path / "mine" / NAME / "config.json").is_file()
    assert not (downloads.cache_dir() / NAME).exists()
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert_same(zoo.from_preset(NAME, cache_dir=tmp_path / "mine"), trained)
    fresh = zoo.from_preset(NAME, load_weights=False)
    assert fresh.config == trained.config


def test_download_fetches_once_and_says_where(host: Host, pins: dict, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / NAME
    expected = f"{NAME}  {folder}\n"
    assert run("download", NAME, "--cache-dir", tmp_path / "mine") == expected
    assert run("download", "--all", "--cache-dir", tmp_path / "mine") == expected
    assert set(host.requests.values()) == {1}
    assert {path.name for path in folder.iterdir()} == set(pins["files"])
    assert "Give names of models, or --all" in run("download", code=2)
    assert "no published weights" in run("download", "nice_untrained", code=1)
    with pytest.raises(MissingCheckpointError):
        zoo.load("nice_untrained")


def test_the_cache_is_listed_and_cleaned(versions: Host, tmp_path: Path) -> None:
    for version in (1, 2):
        zoo.load(NAME, version=version)
    root = downloads.cache_dir()
    for other in (f"{NAME}.v9", "sha256/ab", "tensorflow_datasets/magic", "mine"):
        (root / other).mkdir(parents=True)
        (root / other / "file").write_text("0123456789")
    found = {
        (entry["name"], entry["version"]): entry["state"]
        for entry in json.loads(run("cache", "list", "--json"))
    }
    assert found == {
        (NAME, 1): "earlier",
        (NAME, 2): "in use",
        (NAME, 9): "not pinned",
        ("sha256/ab", 0): "address",
        ("tensorflow_datasets", 0): "datasets",
    }
    assert "not pinned" in run("cache", "list")
    assert str(root / f"{NAME}.v9") in run("cache", "clean", "--dry-run")
    assert (root / f"{NAME}.v9").is_dir()
    run("cache", "clean")
    assert not (root / f"{NAME}.v9").exists()
    assert (root / NAME).is_dir()
    run("cache", "clean", NAME)
    assert not list(root.glob(f"{NAME}*"))
    run("cache", "clean", "--all")
    assert {path.name for path in root.iterdir()} == {"sha256", "tensorflow_datasets", "mine"}
    assert not list((root / "sha256").iterdir())
    assert f"{NAME} is not in {root}" in run("cache", "clean", NAME, code=2)


def test_a_folder_that_is_being_filled_is_left_alone(host: Host) -> None:
    zoo.load(NAME)
    folder = downloads.cache_dir() / NAME
    (folder / "card.md").unlink()
    assert json.loads(run("cache", "list", "--json"))[0]["state"] == "partial"
    with filelock.FileLock(folder.with_name(f"{NAME}.lock")):
        assert "is downloading" in run("cache", "clean", NAME, code=1)
    assert (folder / "config.json").is_file()


def test_a_saved_model_is_the_same_again(trained, tmp_path: Path) -> None:
    folder = zoo.save(trained, tmp_path / "mine")
    assert_same(zoo.load(folder), trained)
    with pytest.raises(InvalidInputError, match="holds a model: give another folder"):
        zoo.save(trained, folder)
    zoo.save(trained, folder, overwrite=True, recipe=zoo.registry.get(NAME).recipe)
    assert_same(zoo.load(folder), trained)
    assert "recipe.json" in (folder / "SHA256SUMS").read_text()
    zoo.save(trained, folder, overwrite=True)
    assert not (folder / "recipe.json").exists()
    (folder / "letter.txt").write_text("mine")
    with pytest.raises(InvalidInputError, match=r"holds other things \(letter\.txt\)"):
        zoo.save(trained, folder, overwrite=True)
    with pytest.raises(InvalidInputError, match="is a file"):
        zoo.save(trained, folder / "letter.txt")
    with pytest.raises(InvalidInputError, match="Expected a model of zoo"):
        zoo.save(object(), tmp_path / "other")


def test_commands_take_a_saved_folder(trained, tmp_path: Path) -> None:
    folder = zoo.save(trained, tmp_path / "mine")
    rows = tmp_path / "rows.csv"
    run("sample", folder, "-n", 30, "--seed", 1, "-o", rows)
    run("score", folder, rows)
    run("anomalies", folder, rows, "--reference", rows)
    assert "recipe.json" in run("evaluate", folder, code=1)
