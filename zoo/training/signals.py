"""SIGTERM, SIGINT and SIGHUP as requests to stop after the step in progress."""

from __future__ import annotations

import signal
from typing import Any

__all__ = ["StopRequests"]

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)


class StopRequests:
    """Inside, these signals set `reason` ("signal SIGTERM") in place of ending the process.

    Outside of the main thread signals are the caller's, and nothing is set. SIGHUP, which a closed
    terminal sends, stays ignored where it is, as under `nohup`.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._previous: dict[signal.Signals, Any] = {}

    def _request(self, number: int, *_: Any) -> None:
        self.reason = f"signal {signal.Signals(number).name}"

    def __enter__(self) -> StopRequests:
        try:
            for number in _SIGNALS:
                if number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._previous[number] = signal.signal(number, self._request)
        except ValueError:  # not the main thread
            self._previous = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
