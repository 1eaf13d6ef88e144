"""A server of a folder of SavedModels, in a thread of the tests, on free ports of the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.serving import ports, repository
from zoo.serving.ports import LOOPBACK, Addresses
from zoo.serving.server import Limits, Server

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
def serve(
    path: Path, host: str = LOOPBACK, *, allow_hosts: Iterable[str] = (), **options: Any
) -> Iterator[Addresses]:
    """A server of all models in `path`, in a thread."""
    with ports.bind(host, 0, 0, allow_hosts=allow_hosts) as bound:
        yield from _serve(path, bound, options)


def _serve(path: Path, bound: ports.Ports, options: dict[str, Any]) -> Iterator[Addresses]:
    folders = {name: path / name for name in repository.find(path)}
    models = repository.Repository(folders, max_rows=MAX_ROWS)
    server = Server(models, bound, **{"limits": Limits(max_bytes=MAX_BYTES), **options})
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
