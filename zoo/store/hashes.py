"""SHA-256 of checkpoint files: `SHA256SUMS` of a folder, pins of a release, and their checks."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zoo.errors import FormatError, IntegrityError, MissingCheckpointError
from zoo.store.files import check_file, write_text_atomic

__all__ = [
    "MAX_SUMS_BYTES",
    "SUMS_FILE",
    "read_sha256sums",
    "sha256_of",
    "verify_fetched",
    "verify_files",
    "verify_listed",
    "verify_sha256sums",
    "write_sha256sums",
]

SUMS_FILE = "SHA256SUMS"
MAX_SUMS_BYTES = 2**20


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_sha256sums(
    folder: str | os.PathLike[str], names: Iterable[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Writes `SHA256SUMS` over the folder's files, in the format of `sha256sum --check`.

    Hidden files, subfolders and `SHA256SUMS` itself are left out.

    Args:
        folder: A checkpoint folder.
        names: Of the files that count, where there are others; those that are absent do not.

    Returns:
        {file name: {"sha256": digest, "size": bytes}}, the `files` of an entry in `zoo/pins.json`.
    """
    folder = Path(folder)
    names = None if names is None else set(names)
    found = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.name != SUMS_FILE and not path.name.startswith(".")
        if names is None or path.name in names
    )
    files: dict[str, dict[str, Any]] = {
        name: {"sha256": sha256_of(folder / name), "size": (folder / name).stat().st_size}
        for name in found
    }
    lines = [f"{files[name]['sha256']}  {name}\n" for name in found]
    write_text_atomic(folder / SUMS_FILE, "".join(lines))
    return files


def verify_files(folder: str | os.PathLike[str], files: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks pinned files of a folder: present, of the pinned size, of the pinned SHA-256.

    Args:
        folder: A checkpoint folder.
        files: {name: {"sha256": digest, "size": bytes}}, as in `zoo.store.pins.pins()`; all of
            them or some.

    Raises:
        MissingCheckpointError: The folder, or one of the files, is absent.
        IntegrityError: A size or a hash is another one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingCheckpointError(f"No checkpoint folder {folder}.")
    for name, pin in files.items():
        path = folder / name
        if not path.is_file():
            raise MissingCheckpointError(
                f"{name} is missing in {folder}. Restore the folder, or remove it so that the zoo "
                "looks for the checkpoint elsewhere."
            )
        size = path.stat().st_size
        if size != pin["size"]:
            raise IntegrityError(
                f"{path} has {size:,} bytes; {pin['size']:,} are pinned. The file is truncated or "
                "is another one: restore it, or remove the folder."
            )
        digest = sha256_of(path)
        if digest != pin["sha256"]:
            raise IntegrityError(
                f"{path} has the SHA-256 {digest[:16]}…; {pin['sha256'][:16]}… is pinned. The file "
                "is damaged or changed: restore it, or remove the folder."
            )


def read_sha256sums(folder: str | os.PathLike[str]) -> dict[str, str]:
    """{file name: SHA-256} of a folder's `SHA256SUMS`.

    Raises:
        MissingCheckpointError: There is none.
        FormatError: A line is not a hash and a plain file name, or a name is there twice.
    """
    path = Path(folder) / SUMS_FILE
    check_file(path)
    if path.stat().st_size > MAX_SUMS_BYTES:
        raise FormatError(f"{path} is larger than {MAX_SUMS_BYTES:,} bytes: no list of files.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not text ({error}).") from error
    digests: dict[str, str] = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        plain = Path(name).name == name and name not in ("", "..", SUMS_FILE)
        if not plain or name in digests or not re.fullmatch("[0-9a-f]{64}", digest):
            raise FormatError(f"{path} has a line that is no 'hash  file name': {line!r}.")
        digests[name] = digest
    return digests


def verify_sha256sums(folder: str | os.PathLike[str]) -> bool:
    """Checks a folder against its own `SHA256SUMS`; False where there is none.

    Raises:
        FormatError: A line of `SHA256SUMS` is not a hash and a plain file name.
        MissingCheckpointError: A listed file is absent.
        IntegrityError: A hash is another one.
    """
    folder = Path(folder)
    if not (folder / SUMS_FILE).is_file():
        return False
    for name, digest in read_sha256sums(folder).items():
        verify_listed(folder / name, digest)
    return True


def verify_listed(path: Path, digest: str) -> None:
    """Checks one file against its line in the `SHA256SUMS` beside it.

    Raises:
        MissingCheckpointError: It is absent.
        IntegrityError: Its hash is another one.
    """
    if not path.is_file():
        raise MissingCheckpointError(
            f"{path.name} is missing in {path.parent}; {SUMS_FILE} lists it."
        )
    if sha256_of(path) != digest:
        raise IntegrityError(
            f"{path} is not the file that {SUMS_FILE} lists ({digest[:16]}…): restore it."
        )


def verify_fetched(path: Path, digest: str, source: str) -> None:
    """Checks what was just read from `source`; a digest "" takes anything.

    Raises:
        IntegrityError: Its hash is another one.
    """
    if digest and (found := sha256_of(path)) != digest:
        raise IntegrityError(
            f"{source} is not the pinned file: it has the SHA-256 {found[:16]}…, {digest[:16]}… is "
            "expected. Nothing was kept. Check the address and the hash."
        )
