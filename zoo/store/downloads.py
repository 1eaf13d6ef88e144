"""The cache and what fills it: one process at a time, each file hashed before it has its name."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from zoo.errors import CheckpointError, IntegrityError, MissingCheckpointError, OfflineError
from zoo.media.console import interactive
from zoo.store.files import MAX_JSON_BYTES, replacing, unfinished
from zoo.store.hashes import MAX_SUMS_BYTES, SUMS_FILE

__all__ = [
    "INCOMING",
    "cache_dir",
    "caching_in",
    "fetch",
    "filling",
    "is_offline",
    "most_bytes",
]

LOCK_SECONDS = 600  # another process may be downloading 100 MB over a slow line
TIMEOUT_SECONDS = 30  # of one silent connection
TOTAL_SECONDS = 3600  # of one file, however it drips
MAX_BYTES = 16 * 2**30  # of a file whose size nobody pinned

INCOMING = ".incoming"
"""How the names of folders begin in which files arrive."""

_ATTEMPTS = 2
_PIECE = 2**16
_TRUE = {"1", "on", "yes", "true"}


_chosen: contextvars.ContextVar[Path | None] = contextvars.ContextVar("cache", default=None)


@contextlib.contextmanager
def caching_in(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """Inside, that folder is the cache; None for the usual one."""
    token = _chosen.set(None if folder is None else Path(folder).expanduser())
    try:
        yield
    finally:
        _chosen.reset(token)


def cache_dir() -> Path:
    """That of `caching_in`, `$ZOO_CACHE`, `$XDG_CACHE_HOME/zoo` or `~/.cache/zoo`; not created."""
    if (here := _chosen.get()) is not None:
        return here
    if chosen := os.environ.get("ZOO_CACHE"):
        return Path(chosen).expanduser()
    if home := os.environ.get("XDG_CACHE_HOME"):
        return Path(home).expanduser() / "zoo"
    return Path.home() / ".cache" / "zoo"


def is_offline() -> bool:
    """Whether `$ZOO_OFFLINE` forbids downloads."""
    return os.environ.get("ZOO_OFFLINE", "").lower() in _TRUE


def most_bytes(file: str) -> int:
    """The largest that a file of that name may be where no size is pinned."""
    if file == SUMS_FILE:
        return MAX_SUMS_BYTES
    return MAX_JSON_BYTES if file.endswith(".json") else MAX_BYTES


@contextlib.contextmanager
def filling(folder: Path, *, what: str) -> Iterator[None]:
    """Makes the folder and holds its lock, across processes, while the block fills it.

    What downloads left there that were killed is removed first.

    Raises:
        OfflineError: Another process has held the lock for too long.
        MissingCheckpointError: The folder cannot be written.
    """
    import filelock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder.with_name(f"{folder.name}.lock"), timeout=LOCK_SECONDS):
            _clean(folder)
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


def _clean(folder: Path) -> None:
    """Removes temporary files and folders of this module's names; nobody else is at work here."""
    for path in unfinished(folder):
        path.unlink(missing_ok=True)
    for path in folder.glob(f"{INCOMING}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def fetch(
    base: str, file: str, *, sha256: str, folder: Path, origin: str, size: int | None = None
) -> None:
    """Downloads `base + file` into the folder: a temporary file, its hash, then its place.

    A failed download is tried once more. It ends at the pinned size (or at `most_bytes`) and after
    `TOTAL_SECONDS`. `origin` says in errors where `base` came from; sha256 "" takes any content.

    Raises:
        MissingCheckpointError: The host has no such file, or does not give it.
        OfflineError: The host cannot be reached, fell silent, broke off, or is too slow.
        IntegrityError: The file is larger, or has another SHA-256; it is not kept.
    """
    import requests

    url = f"{base}{file}"
    for left in reversed(range(_ATTEMPTS)):
        try:
            with replacing(folder / file) as temporary, temporary.open("wb") as stream:
                digest = _read(url, stream, size=size)
                if sha256 and digest != sha256:
                    raise IntegrityError(
                        f"{url} is not the pinned file: it has the SHA-256 {digest[:16]}…, "
                        f"{sha256[:16]}… is expected. Nothing was kept. Check {origin}."
                    )
            return
        except requests.HTTPError as error:
            status = error.response.status_code
            if status in (401, 403, 404, 410):
                raise MissingCheckpointError(f"{url} answered {status}. Check {origin}.") from error
            if not left:
                raise OfflineError(f"{url} answered {status}. Check {origin}.") from error
        except requests.RequestException as error:
            if not left:
                raise OfflineError(
                    f"{url} cannot be reached ({error}). Check the network and {origin}, or copy "
                    f"the files to {folder}."
                ) from error
        except IntegrityError:
            if not left:
                raise


def _read(url: str, stream: BinaryIO, *, size: int | None) -> str:
    """Writes what the URL holds to the stream; returns its SHA-256.

    Raises RequestException, OfflineError where it takes too long, and IntegrityError as soon as
    there is more than expected.
    """
    import requests
    from tqdm import tqdm

    most = most_bytes(url.rpartition("/")[2]) if size is None else size
    deadline, digest, read = time.monotonic() + TOTAL_SECONDS, hashlib.sha256(), 0
    # Bytes are those of the file: a body that unpacks itself would hide its size.
    headers = {"Accept-Encoding": "identity"}
    with requests.get(url, stream=True, timeout=TIMEOUT_SECONDS, headers=headers) as response:
        response.raise_for_status()
        total = int(response.headers.get("Content-Length") or 0) or size
        with tqdm(total=total, unit="B", unit_scale=True, disable=not interactive()) as bar:
            for piece in _pieces(response):
                read += len(piece)
                if read > most:
                    raise IntegrityError(
                        f"{url} is not the pinned file: it has more than {most:,} bytes. Nothing "
                        "was kept."
                    )
                if time.monotonic() > deadline:
                    raise OfflineError(
                        f"{url} took more than {TOTAL_SECONDS} s, for {read:,} bytes. Try again "
                        "on a faster line, or copy the files."
                    )
                digest.update(piece)
                stream.write(piece)
                bar.update(len(piece))
    return digest.hexdigest()


def _pieces(response: Any) -> Iterator[bytes]:
    """What has come, as soon as anything has: a host that drips is not waited for in full."""
    import requests
    import urllib3

    try:
        while piece := response.raw.read1(_PIECE, decode_content=True):
            yield piece
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(str(error)) from error
