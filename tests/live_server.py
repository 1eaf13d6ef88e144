"""A server of a folder of SavedModels, in a thread of the tests, on free ports of the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.serving import repository
from zoo.serving.server import Addresses, Limits, Server

MAX_BYTES, MAX_ROWS = 200_000, 64


@dataclass(frozen=True)
class Running:
    """A server that answers, the folder that it serves, and the zoo's models exported there."""

    addresses: Addresses
    path: Path
    models: dict[str, Any]

    def url(self, path: str) -> str:
        return self.addresses.rest + path

    def predict_url(self, name: str, version: int | None = None) -> str:
        return self.url(
            f"/v1/models/{name}{'' if version is None else f'/versions/{version}'}:predict"
        )


@contextlib.contextmanager
def serve(path: Path, **options: Any) -> Iterator[Addresses]:
    """A server of all models in `path`, in a thread."""
    folders = {name: path / name for name in repository.find(path)}
    server = Server(
        repository.Repository(folders, max_rows=MAX_ROWS),
        **{"port": 0, "grpc_port": 0, "limits": Limits(max_bytes=MAX_BYTES), **options},
    )
    addresses: list[Addresses] = []
    ready = threading.Event()

    def started(found: Addresses) -> None:
        addresses.append(found)
        ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(server.serve(started)), daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        yield addresses[0]
    finally:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()
