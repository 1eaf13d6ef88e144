"""SIGTERM and SIGINT as requests to stop after the step in progress."""

from __future__ import annotations

import signal
from typing import Any

__all__ = ["StopRequests"]


class StopRequests:
    """Inside, the two signals set `reason` ("signal SIGTERM") in place of ending the process.

    Outside of the main thread signals are the caller's, and nothing is set.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._previous: dict[signal.Signals, Any] = {}

    def _request(self, number: int, *_: Any) -> None:
        self.reason = f"signal {signal.Signals(number).name}"

    def __enter__(self) -> StopRequests:
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._request)
        except ValueError:  # not the main thread
            self._previous = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
