"""A web server of files on the loopback interface that can be told to misbehave."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

DRIP = 16  # pieces of a file that is sent slowly


class Loopback:
    """A server on the loopback interface, from its construction to `close`.

    Its handlers find it as `self.server.host`.
    """

    def __init__(self, handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> None:
        self.requests: Counter[str] = Counter()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.host = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Host(Loopback):
    """Serves the files under `root`, and counts what is asked for.

    `faults[path]` is a list of names of `_Handler` methods, one for each of the next answers.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.faults: dict[str, list[str]] = {}
        self.let_go = threading.Event()
        super().__init__(functools.partial(_Handler, directory=str(root)))

    def close(self) -> None:
        """Ends the server; answers that hang are let go."""
        self.let_go.set()
        super().close()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        host: Host = self.server.host
        host.requests[self.path] += 1
        waiting = host.faults.get(self.path)
        fault: Callable[[], None] = getattr(self, waiting.pop(0)) if waiting else super().do_GET
        fault()

    def log_message(self, *arguments: object) -> None:
        """Silent."""

    def _content(self) -> bytes:
        return Path(self.translate_path(self.path)).read_bytes()

    def _start(self, length: int | None) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def interrupted(self) -> None:
        """Half of the promised bytes, then the connection ends."""
        content = self._content()
        self._start(len(content))
        self.wfile.write(content[: len(content) // 2])

    def truncated(self) -> None:
        """Half of the file, as if that were all of it."""
        content = self._content()
        self._start(len(content) // 2)
        self.wfile.write(content[: len(content) // 2])

    def corrupted(self) -> None:
        """All of the bytes, one of them another one."""
        content = bytearray(self._content())
        content[len(content) // 2] ^= 1
        self._start(len(content))
        self.wfile.write(content)

    def silent(self) -> None:
        """Half of the bytes, then nothing more, until the client gives up or the server ends."""
        content = self._content()
        self._start(len(content))
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        self.server.host.let_go.wait()

    def slow(self) -> None:
        """All of the bytes, with pauses."""
        content = self._content()
        self._start(len(content))
        step = -(-len(content) // DRIP)
        for start in range(0, len(content), step):
            self.wfile.write(content[start : start + step])
            self.wfile.flush()
            time.sleep(0.02)

    def unavailable(self) -> None:
        """503."""
        self.send_error(503)

    def forbidden(self) -> None:
        """403."""
        self.send_error(403)
