"""HTTP connections that do not wait for ever for a request to be complete."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEADER_SECONDS", "Connection"]

HEADER_SECONDS = 10.0  # from the first byte, or from the connection, to the end of the headers


class Connection(H11Protocol):
    """Closed where a request's line and headers take longer than `HEADER_SECONDS`.

    Between two requests the library's own time for idle connections counts.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The time starts."""
        super().connection_made(transport)
        self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """The time ends."""
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The first bytes of a request start the time, and the last ones of its headers end it."""
        self._start()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._end()

    def _start(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
