"""The folder of a run: what may lie in it before a run begins, and what a run writes there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from zoo.errors import TrainingError
from zoo.store.files import unfinished
from zoo.store.folder import CONFIG_FILE, METRICS_FILE, RECIPE_FILE, RUN_FILE
from zoo.store.hashes import SUMS_FILE, write_sha256sums
from zoo.store.weights import WEIGHTS_FILE
from zoo.training.records import HISTORY_FILE
from zoo.training.state import PREVIOUS_FILE, STATE_FILE

__all__ = ["WRITTEN", "alone", "claim", "seal", "unseal"]

_STATES = (STATE_FILE, PREVIOUS_FILE)
_RECORDS = (*_STATES, RUN_FILE, HISTORY_FILE)
_KEPT = (CONFIG_FILE, RECIPE_FILE, WEIGHTS_FILE, HISTORY_FILE, RUN_FILE)
WRITTEN = (*_STATES, *_KEPT, SUMS_FILE)
"""The files that a run writes."""

# What a run leaves that was killed before it had saved a state, or while an earlier stage ran.
_BEGUN = {".lock", "logs", "rows", "stages", RECIPE_FILE}
# What is no longer true of a folder whose weights are overwritten.
_STALE = (*_RECORDS, SUMS_FILE, METRICS_FILE)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the folder's lock. Raises TrainingError where another training does."""
    try:
        lock = filelock.FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise TrainingError(
            f"Another training is writing to {folder}; give it another --out."
        ) from error
    try:
        yield
    finally:
        lock.release()


def claim(folder: Path, *, overwrite: bool) -> None:
    """Makes sure that a fresh run may write to the folder; leaves one of a run as it is.

    overwrite: removes the records, metrics and hashes of what is there, and nothing else.
    Raises TrainingError for a folder with anything that no run has begun there, and for one that
    another training writes to.
    """
    if not folder.is_dir():
        return
    if overwrite:
        with alone(folder):
            for name in _STALE:
                (folder / name).unlink(missing_ok=True)
        return
    if any((folder / name).exists() for name in _STATES):
        return  # a run's own: `Run` says what to do about it
    left = {path.name for path in unfinished(folder, WRITTEN)}
    others = sorted(path.name for path in folder.iterdir() if path.name not in {*_BEGUN, *left})
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise TrainingError(
            f"{folder} holds something that is no run, {', '.join(others[:3])}{more}, and training "
            "would write its weights there: give another --out, or --overwrite."
        )


def seal(folder: Path) -> None:
    """Writes the hashes of what a run leaves for others, by which `zoo.load` knows it is whole."""
    write_sha256sums(folder, _KEPT)


def unseal(folder: Path) -> None:
    """Removes the hashes of a run that goes on: its files will be others."""
    (folder / SUMS_FILE).unlink(missing_ok=True)
