"""What cannot be exported is refused, and what fails leaves nothing behind."""

from __future__ import annotations

import contextlib
import dataclasses
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

import zoo
from zoo import exporting
from zoo.errors import ExportError, MissingCheckpointError, UnknownModelError
from zoo.exporting import folders


@pytest.fixture
def model() -> Any:
    return zoo.create("nice", name="plain", event_shape=(2,), num_couplings=2, hidden_units=(4,))


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow beyond some kilobytes: what the system says then is not invented here.

    Inside alone, for the tests' own report may be a longer file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_unknown_name_and_one_without_weights(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="Did you mean"):
        exporting.export("nice_mnis", tmp_path)
    unpublished = zoo.list_models(pretrained=False)[0]
    with pytest.raises(MissingCheckpointError):
        exporting.export(unpublished, tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("thing", [keras.Sequential(), 3, None], ids=["keras", "int", "None"])
def test_only_density_models_are_exported(thing: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="Expected a registered name or a density model"):
        exporting.export(thing, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_model_that_is_not_built(model: Any, tmp_path: Path) -> None:
    model.built = False
    with pytest.raises(ExportError, match="plain is not built"):
        exporting.export(model, tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("version", [0, -1, 1.5, "1", True])
def test_versions_are_positive_integers(version: Any, model: Any, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="version must be a positive integer"):
        exporting.export(model, tmp_path, version)


@pytest.mark.parametrize("name", ["..", ".hidden", "a b", "a\\b", "ü"])
def test_names_that_are_no_folders_and_no_addresses(name: str, model: Any, tmp_path: Path) -> None:
    model.name = name
    with pytest.raises(ExportError, match="Give the model another name"):
        exporting.export(model, tmp_path / "base")
    assert not any(tmp_path.iterdir())


def test_a_format_that_is_none(model: Any, tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match="one of savedmodel, tflite, onnx, safetensors, stablehlo; got 'pb'"
    ):
        exporting.export(model, tmp_path, format="pb")


def test_a_signature_that_is_not_what_it_declares(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures = model.serving_signatures()
    other = dataclasses.replace(signatures["decode"], outputs=signatures["encode"].outputs)
    monkeypatch.setattr(model, "serving_signatures", lambda: {"decode": other})
    with pytest.raises(ExportError, match=r"'decode' declares \{'z': .*returns \{'x':"):
        exporting.export(model, tmp_path)
    assert not any(tmp_path.iterdir())


def test_an_existing_version_is_replaced_on_purpose_alone(model: Any, tmp_path: Path) -> None:
    folder = Path(exporting.export(model, tmp_path))
    (folder / "mine").touch()
    with pytest.raises(ExportError, match=r"immutable\. Export version 2, or overwrite it"):
        exporting.export(model, tmp_path)
    assert (folder / "mine").exists()
    exporting.export(model, tmp_path, overwrite=True)
    assert not (folder / "mine").exists()
    assert (folder / "saved_model.pb").is_file()
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


def test_a_full_disk_leaves_nothing(model: Any, tmp_path: Path) -> None:
    message = r"plain/1 cannot be written; nothing was left: .+"
    with full_disk(), pytest.raises(ExportError, match=message):
        exporting.export(model, tmp_path / "new" / "base")
    assert not any(tmp_path.iterdir())


def test_a_full_disk_leaves_the_version_that_was_to_be_replaced(model: Any, tmp_path: Path) -> None:
    folder = tmp_path / "plain" / "1"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"the old one")
    with full_disk(), pytest.raises(ExportError, match="cannot be written"):
        exporting.export(model, tmp_path, overwrite=True)
    assert (folder / "saved_model.pb").read_bytes() == b"the old one"
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


def test_a_version_that_cannot_be_moved_into_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "old").touch()
    replace, calls = folders.os.replace, []

    def failing(source: Any, target: Any) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise OSError("the disk went away")
        replace(source, target)

    monkeypatch.setattr(folders.os, "replace", failing)
    with (
        pytest.raises(ExportError, match="the disk went away"),
        folders.new_version(tmp_path, 1, overwrite=True) as folder,
    ):
        (folder / "new").touch()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["1", "1/old"]


def test_a_folder_that_is_a_file(model: Any, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with pytest.raises(ExportError, match="cannot be written"):
        exporting.export(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]
