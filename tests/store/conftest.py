"""A Hub, a bucket, and a folder to publish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from etils.epath import backend, gpath
from fake_hub import FakeHub
from remote_places import (
    CARD,
    RamBackend,
    use,
)

from zoo.store.hashes import write_sha256sums


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint folder, as far as those who move files look at it."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"format_version": 1, "family": "nice", "config": {}})
    )
    (folder / "model.weights.h5").write_bytes(bytes(range(256)) * 20)
    (folder / "card.md").write_text(CARD)
    write_sha256sums(folder)
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    with FakeHub() as hub:
        use(hub, monkeypatch)
        yield hub


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RamBackend:
    ram = RamBackend()
    monkeypatch.setattr(backend, "tf_backend", ram)
    monkeypatch.setattr(gpath, "_GCS_BACKENDS", {ram})
    return ram


@pytest.fixture
def gs(bucket: RamBackend, tmp_path: Path) -> str:
    """An address that no other test uses."""
    return f"gs://bucket/{tmp_path.name}/tiny"
