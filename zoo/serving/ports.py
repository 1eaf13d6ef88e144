"""The two ports of a server, bound before anything is loaded: one that is taken shows at once."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zoo.errors import ServingError
from zoo.serving.hosts import Hosts

__all__ = ["GRPC_PORT", "LOOPBACK", "REST_PORT", "Addresses", "Ports", "bind", "in_url", "refused"]

LOOPBACK = "127.0.0.1"
REST_PORT, GRPC_PORT = 8501, 8500  # TensorFlow Serving's


@dataclass(frozen=True)
class Addresses:
    """Where a server listens: `rest` is a URL without a final slash, `grpc` a host:port."""

    rest: str
    grpc: str


@dataclass(frozen=True)
class Ports:
    """Sockets of one host: who connects to `rest` waits until the server answers.

    `grpc` keeps the port until gRPC opens it by its number.
    """

    host: str
    rest: socket.socket
    grpc: socket.socket
    hosts: Hosts

    @property
    def grpc_port(self) -> int:
        """The number of gRPC's port."""
        return int(self.grpc.getsockname()[1])

    @property
    def addresses(self) -> Addresses:
        """As a client writes them."""
        host = in_url(self.host)
        return Addresses(
            f"http://{host}:{self.rest.getsockname()[1]}", f"{host}:{self.grpc.getsockname()[1]}"
        )


@contextlib.contextmanager
def bind(
    host: str = LOOPBACK,
    port: int = REST_PORT,
    grpc_port: int = GRPC_PORT,
    *,
    allow_hosts: Iterable[str] = (),
) -> Iterator[Ports]:
    """Both ports of the host while the block runs; 0 is any free one.

    allow_hosts: names that requests may call the server by, beside its addresses and localhost.
    Raises ServingError where a port cannot be had or a name is malformed.
    """
    with (
        _listener(host, port, "--port") as rest,
        _listener(host, grpc_port, "--grpc-port") as grpc,
    ):
        hosts = Hosts(rest.getsockname()[0], [host, *allow_hosts])
        yield Ports(host, rest, grpc, hosts)


def _listener(host: str, port: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise refused(host, port, error, option) from error


def in_url(host: str) -> str:
    """The host as it stands before a colon and a port."""
    return f"[{host}]" if ":" in host else host


def refused(host: str, port: int, error: Exception, option: str) -> ServingError:
    """What to do where a port cannot be had."""
    return ServingError(
        f"Cannot listen on {host} port {port}: {error}. Choose another with {option}; 0 takes any "
        "that is free."
    )
