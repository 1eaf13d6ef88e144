"""REST, page and gRPC on one event loop, inference in threads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from zoo.serving import page, rest, rpc
from zoo.serving.connection import Connection
from zoo.serving.gate import Gate
from zoo.serving.hosts import Hosts
from zoo.serving.pool import Pool
from zoo.serving.ports import Addresses, Ports, in_url, refused
from zoo.serving.repository import Repository

__all__ = ["Limits", "Server"]

GRACE_SECONDS = 30  # for requests that run when the server is stopped


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may ask for.

    max_bytes: of its body. max_rows: in a batch. num_threads: requests computed at the same time.
    """

    max_bytes: int = 32 * 2**20
    max_rows: int = 1024
    num_threads: int = os.cpu_count() or 1


class Server:
    """Serves a repository until it is stopped, and answers the requests that it has by then.

    ports: of `zoo.serving.ports.bind`; other machines reach any host but the loopback.
    """

    def __init__(
        self,
        repository: Repository,
        ports: Ports,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._repository = repository
        self._ports = ports
        self._limits = limits or Limits()
        self._http: _Http | None = None

    async def serve(self, started: Callable[[Addresses], None]) -> None:
        """Answers until `stop` or a signal to end; calls `started` once both ports are open.

        Requests that run then have `GRACE_SECONDS` to end, or until a second signal. Raises
        ServingError if gRPC cannot open its port. After a signal, the process's own handler of it
        is called when everything has been closed.
        """
        pool = Pool(self._limits.num_threads)
        max_bytes = self._limits.max_bytes
        server = rpc.create_server(self._repository, pool, max_bytes=max_bytes)
        config = uvicorn.Config(
            create_app(self._repository, pool, self._ports.hosts, max_bytes=max_bytes),
            http=Connection,
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._http = _Http(config, server)
        with _signals(self.stop):
            try:
                addresses = self._ports.addresses
                self._open(server)
                await server.start()
                started(addresses)
                await self._http.serve(sockets=[self._ports.rest])
            finally:
                await server.stop(None)
                pool.close()

    def stop(self) -> None:
        """Ends `serve`; from any thread. A second call waits for nothing any more."""
        if self._http is not None:
            self._http.force_exit = self._http.should_exit
            self._http.should_exit = True

    def _open(self, server: grpc.aio.Server) -> None:
        host, port = self._ports.host, self._ports.grpc_port
        self._ports.grpc.close()
        try:
            server.add_insecure_port(f"{in_url(host)}:{port}")
        except RuntimeError as error:
            raise refused(host, port, error, "--grpc-port") from error


class _Http(uvicorn.Server):
    """The library's server: gRPC is stopped together with it, and signals are left to `Server`."""

    def __init__(self, config: uvicorn.Config, rpc_server: grpc.aio.Server) -> None:
        super().__init__(config)
        self._rpc_server = rpc_server

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no new request and waits for those that run."""
        await asyncio.gather(super().shutdown(sockets=sockets), self._stop_rpc())

    async def _stop_rpc(self) -> None:
        stopping = asyncio.ensure_future(self._rpc_server.stop(GRACE_SECONDS))
        while not stopping.done():
            await asyncio.wait({stopping}, timeout=0.1)
            if self.force_exit:
                await self._rpc_server.stop(None)


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP call `stop` in the block; the first is raised again after it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not heard there
        return
    caught: list[int] = []

    def handle(number: int, _frame: object) -> None:
        caught.append(number)
        stop()

    heard = (getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP"))
    previous = {
        number: signal.signal(number, handle)
        for number in heard
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN  # by nohup
    }
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
    if caught:
        signal.raise_signal(caught[0])


def create_app(repository: Repository, pool: Pool, hosts: Hosts, *, max_bytes: int) -> Starlette:
    """The HTTP side: REST and the page."""
    return Starlette(
        routes=[*rest.routes(repository, pool, max_bytes=max_bytes), *page.routes(repository)],
        exception_handlers={
            HTTPException: rest.handle_http_exception,
            Exception: rest.handle_failure,
        },
        middleware=[Middleware(rest.RefuseOtherVersions), Middleware(Gate, hosts=hosts)],
    )
