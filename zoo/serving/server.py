"""REST, page and gRPC on one event loop, inference in threads."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from zoo.errors import ServingError
from zoo.serving import page, rest, rpc
from zoo.serving.pool import Pool
from zoo.serving.repository import Repository

__all__ = ["GRPC_PORT", "LOOPBACK", "REST_PORT", "Addresses", "Limits", "Server"]

LOOPBACK = "127.0.0.1"
REST_PORT, GRPC_PORT = 8501, 8500  # TensorFlow Serving's
GRACE_SECONDS = 2.0  # for requests that run when the server is stopped


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may ask for.

    max_bytes: of its body. max_rows: in a batch. num_threads: requests computed at the same time.
    """

    max_bytes: int = 32 * 2**20
    max_rows: int = 1024
    num_threads: int = os.cpu_count() or 1


@dataclass(frozen=True)
class Addresses:
    """Where a server listens: `rest` is a URL without a final slash, `grpc` a host:port."""

    rest: str
    grpc: str


class Server:
    """Serves a repository until it is stopped.

    host: the address to listen on; other machines reach any but the loopback's.
    port, grpc_port: 0 for any free port.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        host: str = LOOPBACK,
        port: int = REST_PORT,
        grpc_port: int = GRPC_PORT,
        limits: Limits | None = None,
    ) -> None:
        self._repository = repository
        self._host = host
        self._port = port
        self._grpc_port = grpc_port
        self._limits = limits or Limits()
        self._http: uvicorn.Server | None = None

    async def serve(self, started: Callable[[Addresses], None]) -> None:
        """Answers until `stop`, SIGINT or SIGTERM; calls `started` once both ports are open.

        Raises ServingError if a port cannot be had. After a signal, the process's own handler of
        it is called when everything has been closed.
        """
        pool = Pool(self._limits.num_threads)
        listener = self._listen()
        server = rpc.create_server(self._repository, pool, max_bytes=self._limits.max_bytes)
        try:
            grpc_port = self._add_port(server)
            await server.start()
            self._http = uvicorn.Server(
                uvicorn.Config(
                    create_app(self._repository, pool, max_bytes=self._limits.max_bytes),
                    lifespan="off",
                    log_level="warning",
                    access_log=False,
                    server_header=False,
                    timeout_graceful_shutdown=round(GRACE_SECONDS),
                )
            )
            host = _in_url(self._host)
            started(Addresses(f"http://{host}:{listener.getsockname()[1]}", f"{host}:{grpc_port}"))
            await self._http.serve(sockets=[listener])
        finally:
            listener.close()
            await server.stop(GRACE_SECONDS)
            pool.close()

    def stop(self) -> None:
        """Ends `serve`; from any thread."""
        if self._http is not None:
            self._http.should_exit = True

    def _listen(self) -> socket.socket:
        try:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            return socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            raise _refused(self._host, self._port, error, "--port") from error

    def _add_port(self, server: grpc.aio.Server) -> int:
        try:
            return server.add_insecure_port(f"{_in_url(self._host)}:{self._grpc_port}")
        except RuntimeError as error:
            raise _refused(self._host, self._grpc_port, error, "--grpc-port") from error


def create_app(repository: Repository, pool: Pool, *, max_bytes: int) -> Starlette:
    """The HTTP side: REST and the page."""
    return Starlette(
        routes=[*rest.routes(repository, pool, max_bytes=max_bytes), *page.routes(repository)],
        exception_handlers={
            HTTPException: rest.handle_http_exception,
            Exception: rest.handle_failure,
        },
        middleware=[Middleware(rest.RefuseOtherVersions)],
    )


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refused(host: str, port: int, error: Exception, option: str) -> ServingError:
    return ServingError(
        f"Cannot listen on {host} port {port}: {error}. Choose another with {option}; 0 takes any "
        "that is free."
    )
