"""The threads that work on requests, so that the event loop never waits for a model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["Pool"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Pool:
    """A fixed number of threads; further requests wait their turn."""

    def __init__(self, num_threads: int) -> None:
        self._executor = ThreadPoolExecutor(num_threads, thread_name_prefix="inference")

    async def run(
        self,
        function: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """What the function returns, or raises, in one of the threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Waits for what runs, and drops what waits."""
        self._executor.shutdown(cancel_futures=True)
