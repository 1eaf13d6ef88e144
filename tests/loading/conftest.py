"""The registry gets an entry of a tiny NICE with published weights, and one without."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from hosts import Host
from nice_tiny import CONFIG, METRICS, NAME

from zoo import models, registry
from zoo.store import locate
from zoo.store.files import write_json_atomic, write_text_atomic
from zoo.store.folder import save_checkpoint
from zoo.store.hashes import sha256_of, write_sha256sums


@pytest.fixture(scope="session")
def trained() -> keras.Model:
    """Weights that no initialisation gives."""
    model = models.build("nice", CONFIG)
    generator = np.random.default_rng(7)
    for variable in model.weights:
        variable.assign(0.3 * generator.normal(size=variable.shape))
    return model


@pytest.fixture(scope="session")
def master(trained, tmp_path_factory) -> Path:
    """The published folder; tests work on copies."""
    recipe = dataclasses.replace(registry.get("nice_mnist").recipe, config=CONFIG)
    folder = tmp_path_factory.mktemp("master") / NAME
    save_checkpoint(folder, trained, family="nice", recipe=recipe)
    write_json_atomic(folder / "metrics.json", METRICS)
    write_text_atomic(folder / "card.md", "# A tiny NICE\n")
    write_sha256sums(folder)
    return folder


@pytest.fixture
def pins(master: Path) -> dict:
    files = {
        path.name: {"sha256": sha256_of(path), "size": path.stat().st_size}
        for path in sorted(master.iterdir())
    }
    return {"version": 1, "files": files}


@pytest.fixture(autouse=True)
def entries(master: Path, pins: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry with the tiny models, in an installation that holds no checkpoints."""
    original = registry.get("nice_mnist")
    recipe = dataclasses.replace(original.recipe, config=CONFIG)
    for name in (NAME, "nice_untrained"):
        entry = dataclasses.replace(original, name=name, recipe=recipe)
        monkeypatch.setitem(registry.ENTRIES, name, entry)
    monkeypatch.setattr("zoo.store.pins.pins", lambda: {NAME: pins})
    package = tmp_path / "install" / "zoo"
    package.mkdir(parents=True)
    monkeypatch.setattr(locate, "PACKAGE", package)


@pytest.fixture
def published(master: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder under `$ZOO_CHECKPOINTS`."""
    root = tmp_path / "published"
    monkeypatch.setenv("ZOO_CHECKPOINTS", str(root))
    return Path(shutil.copytree(master, root / NAME))


@pytest.fixture
def host(master: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(master, tmp_path / "host" / NAME)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Host(tmp_path / "host") as host:
        monkeypatch.setenv("ZOO_BASE_URL", host.url + "/")
        yield host
