"""A Hub and a bucket in memory, and what tests of addresses share."""

from __future__ import annotations

import os
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from etils.epath import backend
from fake_hub import FakeHub
from huggingface_hub import constants
from huggingface_hub.utils import _http

from zoo.publishing import copies
from zoo.store import addresses
from zoo.store.hashes import write_sha256sums

CARD = "---\nlibrary_name: keras\n---\n\n# A card\n"
NEEDED = ("SHA256SUMS", "config.json", "model.weights.h5")
FILES = {*NEEDED, "card.md", "manifest.json"}


def change(folder: Path, **contents: str | None) -> None:
    """Other content under `contents`' names (`card` for card.md), with new hashes."""
    for name, text in contents.items():
        path = folder / f"{name}.md"
        path.unlink(missing_ok=True) if text is None else path.write_text(text)
    write_sha256sums(folder)


def resolved(published: copies.Publication) -> Path:
    return addresses.resolve(
        published.address, revision=published.revision, sha256=published.sha256
    )


def use(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the library talk to this Hub, without pauses, and without Xet."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        hub.url + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    waiting = types.SimpleNamespace(**vars(time))
    waiting.sleep = lambda seconds: None
    monkeypatch.setattr(_http, "time", waiting)


ADDRESS = "hf://user/repository"
NAME = "user/repository"


class RamBackend(backend._TfBackend):
    """gs:// as TensorFlow's ram://, which appends to a file where a bucket replaces it: not here.

    `faults[operation]` is raised in place of an operation, `after[operation]` called once after it.
    """

    def __init__(self) -> None:
        self.faults: dict[str, Exception] = {}
        self.calls: list[tuple[str, ...]] = []
        self.after: dict[str, Callable[[], None]] = {}

    def local(self, path: Any) -> str:
        return os.fspath(path).replace("gs://", "ram://zoo/", 1)

    @property
    def gfile(self) -> Any:
        def call(operation: str) -> Callable[..., Any]:
            def inner(*paths: Any, **options: Any) -> Any:
                self.calls.append((operation, *map(str, paths)))
                if operation in self.faults:
                    raise self.faults[operation]
                places = list(map(self.local, paths))
                if operation == "copy" and tf.io.gfile.exists(places[1]):
                    tf.io.gfile.remove(places[1])
                result = getattr(tf.io.gfile, operation)(*places, **options)
                self.after.pop(operation, lambda: None)()
                return result

            return inner

        class Gfile:
            def __getattr__(self, operation: str) -> Callable[..., Any]:
                return call(operation)

        return Gfile()


def ram(address: str) -> str:
    return address.replace("gs://", "ram://zoo/", 1)


def listing(address: str) -> set[str]:
    return set(tf.io.gfile.listdir(ram(address)))


def write(address: str, content: str) -> None:
    if tf.io.gfile.exists(ram(address)):
        tf.io.gfile.remove(ram(address))
    with tf.io.gfile.GFile(ram(address), "w") as file:
        file.write(content)
