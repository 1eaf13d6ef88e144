"""Processes that start with TensorFlow imported: forked off a server that has, and nothing else.

Importing takes seconds; TensorFlow itself starts in the fork. Each is a process of its own that
signals hit as any other. `Process` reads as `subprocess.Popen` of a text pipe does.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tensorflow", "keras", "zoo.cli", "zoo.training"])


def _run(
    target: Callable[..., None],
    arguments: tuple[Any, ...],
    environment: Mapping[str, str],
    output: Connection,
    errors: str,
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(output.fileno(), 1)
    output.close()
    with Path(errors).open("a") as file:
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    target(*arguments)


class Process:
    """target(*arguments) in a process of its own, whose prints are read from `stdout`."""

    def __init__(
        self,
        target: Callable[..., None],
        *arguments: Any,
        errors: Path,  # appended to
        env: Mapping[str, str] | None = None,
    ) -> None:
        ours, theirs = _SERVER.Pipe(duplex=False)
        environment = dict(os.environ if env is None else env)
        self._process = _SERVER.Process(
            target=_run, args=(target, arguments, environment, theirs, str(errors))
        )
        self._process.start()
        theirs.close()
        self.stdout = os.fdopen(os.dup(ours.fileno()))
        ours.close()

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        if self._process.is_alive():
            self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; of a signal its number, negative."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"process {self._process.pid} runs on after {timeout} s")
        return self._process.exitcode

    def close(self) -> None:
        self.kill()
        self.wait()
        self.stdout.close()
