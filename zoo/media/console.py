"""What the command line and the tools print: columns, progress on stderr, a quiet import."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.media import startup

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = [
    "columns",
    "error_text",
    "figure",
    "import_tensorflow",
    "interactive",
    "progress_bar",
    "waiting",
]


def columns(
    lines: Sequence[Sequence[str]], *, right: Collection[int] = (), indent: str = ""
) -> str:
    """The lines with their cells aligned, two spaces apart; the columns in `right` to the right."""
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    rows = []
    for line in lines:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        rows.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(rows)


def error_text(value: float | None) -> str:
    """A certificate's error; None is one that is not finite."""
    return "not finite" if value is None else f"{value:g}"


def figure(metric: Mapping[str, Any]) -> str:
    """A metric of metrics.json as text, to two digits of its error or more: "3.512 ± 0.012"."""
    value, error = float(metric["value"]), float(metric.get("two_standard_errors") or 0.0)
    if not error:
        return f"{value:.6g}"
    decimals = 1  # never rounded past the decimals that papers print
    while decimals < 6 and error * 10**decimals < 9.5:  # two digits of the error
        decimals += 1
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def interactive() -> bool:
    """Whether progress is drawn: stderr is a terminal, and ZOO_PROGRESS=0 does not forbid it."""
    return sys.stderr.isatty() and os.environ.get("ZOO_PROGRESS") != "0"


def progress_bar(*more: str) -> Progress:
    """A progress bar on stderr with further text columns; silent where not `interactive`."""
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        *(progress.TextColumn(column) for column in more),
        console=Console(stderr=True),
        disable=not interactive(),
    )


@contextlib.contextmanager
def waiting(message: str) -> Iterator[None]:
    """A spinner on stderr around work of unknown length, where `interactive`."""
    if not interactive():
        yield
        return
    from rich.console import Console

    # Its own descriptor, so that it can be seen while an import holds the process's.
    with (
        os.fdopen(os.dup(sys.stderr.fileno()), "w") as stream,
        Console(file=stream).status(message),
    ):
        yield


def import_tensorflow() -> None:
    """Imports TensorFlow under a spinner, quietly (`zoo.media.startup`); mutes absl's warnings.

    For commands and tools; a library leaves loggers to its user.
    """
    if "tensorflow" in sys.modules:
        return
    with waiting("importing TensorFlow"), startup.quiet_import():
        tensorflow = importlib.import_module("tensorflow")
        tensorflow.config.list_physical_devices()  # it tells of devices that it does not find
    if os.environ[startup.LEVEL] not in ("0", "1"):
        logging.getLogger("absl").setLevel(logging.ERROR)
