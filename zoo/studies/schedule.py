"""The runs of a study side by side: a process each, as many at once as are asked for.

A child is the same command for one arm and one seed, and writes what it says to OUT/logs. A signal
that asks to stop is passed on: every run saves its state.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from zoo.training.signals import StopRequests

__all__ = ["Child", "in_processes"]

_POLL_SECONDS = 0.2

Child = tuple[str, int]  # (arm, seed)


def in_processes(
    children: Iterable[Child],
    command: Callable[[Child], list[str]],
    *,
    processes: int,
    log: Callable[[Child], Path],
    ended: Callable[[Child, int], None],
) -> str:
    """Runs `python -m zoo.cli COMMAND` for each child; the signal that ended it all, "" for none.

    ended: called with a child and its exit code.
    Their arithmetic shares the cores, unless TF_NUM_INTRAOP_THREADS says something else.
    """
    threads = str(max(1, len(os.sched_getaffinity(0)) // processes)) if _has_affinity() else "0"
    environment = {"TF_NUM_INTRAOP_THREADS": threads, **os.environ}
    waiting, running = list(children), dict[Child, subprocess.Popen[bytes]]()
    asked = ""
    with StopRequests() as stop:
        while running or (waiting and not stop.reason):
            while waiting and len(running) < processes and not stop.reason:
                child = waiting.pop(0)
                running[child] = _started(command(child), log(child), environment)
            if stop.reason and not asked:
                asked = stop.reason
                for process in running.values():
                    process.send_signal(signal.SIGTERM)
            for child in [
                child for child, process in running.items() if process.poll() is not None
            ]:
                ended(child, running.pop(child).returncode)
            time.sleep(_POLL_SECONDS)
    return stop.reason


def _has_affinity() -> bool:
    return hasattr(os, "sched_getaffinity")  # not on every system


def _started(
    arguments: list[str], log: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "zoo.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C comes by way of this process, once
        )
