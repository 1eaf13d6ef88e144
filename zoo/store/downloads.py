"""The cache and what fills it: one process at a time, each file hashed before it has its name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import CheckpointError, IntegrityError, MissingCheckpointError, OfflineError
from zoo.media.console import interactive
from zoo.store.files import apply_umask

__all__ = ["cache_dir", "fetch", "filling", "is_offline"]

LOCK_SECONDS = 600  # another process may be downloading 100 MB over a slow line
TIMEOUT_SECONDS = 30  # of one silent connection

_TRUE = {"1", "on", "yes", "true"}


def cache_dir() -> Path:
    """`$ZOO_CACHE`, else `$XDG_CACHE_HOME/zoo`, else `~/.cache/zoo`; not created."""
    if chosen := os.environ.get("ZOO_CACHE"):
        return Path(chosen).expanduser()
    if home := os.environ.get("XDG_CACHE_HOME"):
        return Path(home).expanduser() / "zoo"
    return Path.home() / ".cache" / "zoo"


def is_offline() -> bool:
    """Whether `$ZOO_OFFLINE` forbids downloads."""
    return os.environ.get("ZOO_OFFLINE", "").lower() in _TRUE


@contextlib.contextmanager
def filling(folder: Path, *, what: str) -> Iterator[None]:
    """Makes the folder and holds its lock, across processes, while the block fills it.

    Raises:
        OfflineError: Another process has held the lock for too long.
        MissingCheckpointError: The folder cannot be written.
    """
    import filelock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder.with_name(f"{folder.name}.lock"), timeout=LOCK_SECONDS):
            yield
    except filelock.Timeout as error:
        raise OfflineError(
            f"Another process has been downloading {what} for {LOCK_SECONDS} s "
            f"({error.lock_file}). Wait for it, or end it."
        ) from error
    except OSError as error:
        if isinstance(error, CheckpointError):
            raise
        raise MissingCheckpointError(
            f"{what} has to be downloaded, and {folder} cannot be written ({error}). Set ZOO_CACHE "
            "to a folder that can be, or ZOO_CHECKPOINTS to one that holds the files."
        ) from error


def fetch(base: str, file: str, *, sha256: str, folder: Path, origin: str) -> None:
    """Downloads `base + file` into the folder: a temporary file, its hash, then its place.

    A failed download is tried once more. `origin` says in errors where `base` came from.

    Raises:
        MissingCheckpointError: The host has no such file, or does not give it.
        OfflineError: The host cannot be reached, or fell silent or broke off.
        IntegrityError: The file has another SHA-256; it is not kept.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    source = pooch.Pooch(
        path=folder,
        base_url=base,
        registry={file: f"sha256:{sha256}"},
        retry_if_failed=1,
    )
    fetcher = pooch.HTTPDownloader(progressbar=interactive(), timeout=TIMEOUT_SECONDS)
    try:
        source.fetch(file, downloader=fetcher)
        apply_umask(folder / file)  # pooch leaves it private: a cache is shared
    except requests.HTTPError as error:
        status = error.response.status_code
        kind = MissingCheckpointError if status in (401, 403, 404, 410) else OfflineError
        raise kind(f"{base}{file} answered {status}. Check {origin}.") from error
    except requests.RequestException as error:
        raise OfflineError(
            f"{base}{file} cannot be reached ({error}). Check the network and {origin}, or copy "
            f"the files to {folder}."
        ) from error
    except ValueError as error:  # what pooch raises for another hash; the file is then deleted
        raise IntegrityError(
            f"{base}{file} is not the pinned file ({error}). Nothing was kept. Check {origin}."
        ) from error
