"""Prepared datasets whose files are damaged or forged: each is an error of the project's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo.data.sources import load_arrays
from zoo.errors import DataError

INFO, FEATURES = "dataset_info.json", "features.json"


def text(name: str, content: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(content)


def edited(name: str, change: Callable[[str], str]) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(change((folder / name).read_text()))


def with_fields(**fields: Any) -> Callable[[Path], Any]:
    return edited(INFO, lambda old: json.dumps({**json.loads(old), **fields}))


def shards(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if "tfrecord" in path.name]


METADATA: dict[str, Callable[[Path], Any]] = {
    "empty": text(INFO, ""),
    "half": edited(INFO, lambda old: old[: len(old) // 2]),
    "binary": lambda folder: (folder / INFO).write_bytes(b"\xff\xfe"),
    "a list": text(INFO, "[]"),
    "deep": text(INFO, "[" * 100_000),
    "without fields": text(INFO, "{}"),
    "a foreign field": with_fields(zork=1),
    "shards without lengths": with_fields(splits=[{"name": "train", "shardLengths": ["x"]}]),
    "no version": with_fields(version="abc"),
    "no features": lambda folder: (folder / FEATURES).unlink(),
    "half of the features": edited(FEATURES, lambda old: old[: len(old) // 2]),
    "features without a class": text(FEATURES, "{}"),
}


@pytest.fixture
def copy(tiny: Any, tiny_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_dir / tiny.name, tmp_path / tiny.name)
    return tmp_path


@pytest.mark.parametrize("damage", METADATA.values(), ids=METADATA)
def test_damaged_metadata(damage: Callable[[Path], Any], tiny: Any, copy: Path) -> None:
    damage(copy / tiny.name / tiny.version)
    with pytest.raises(DataError, match=r"is no prepared dataset \(.*prepare it again"):
        load_arrays(tiny, "train", data_dir=copy)


def test_no_module_is_imported_that_a_dataset_names(
    tiny: Any, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TFDS imports the modules of the classes of features."""
    (copy / "stranger.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(copy)
    path = copy / tiny.name / tiny.version / FEATURES
    path.write_text(
        path.read_text().replace("tensorflow_datasets.core.features.image_feature", "stranger")
    )
    assert "stranger" in path.read_text()
    with pytest.raises(DataError, match=r"of a foreign class, stranger\."):
        load_arrays(tiny, "train", data_dir=copy)


SHARDS: dict[str, Callable[[Path], Any]] = {
    "missing": Path.unlink,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"abc" * 1000),
}


@pytest.mark.parametrize("damage", SHARDS.values(), ids=SHARDS)
def test_damaged_shards(damage: Callable[[Path], Any], tiny: Any, copy: Path) -> None:
    for path in shards(copy / tiny.name / tiny.version):
        damage(path)
    with pytest.raises(DataError, match=r"cannot be read: .*Prepare the dataset again"):
        load_arrays(tiny, "train", data_dir=copy)
