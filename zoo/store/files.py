"""Files written whole or not at all.

Every writer goes through a temporary file in the same folder, `fsync` and `os.replace`: a killed
process leaves the old file or the new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from zoo.core.nesting import MAX_DEPTH, depth
from zoo.errors import FormatError, MissingCheckpointError

__all__ = [
    "MAX_JSON_BYTES",
    "apply_umask",
    "check_file",
    "read_json",
    "read_object",
    "read_optional",
    "replacing",
    "unfinished",
    "write_json_atomic",
    "write_text_atomic",
]


MAX_JSON_BYTES = 16 * 2**20


def check_file(path: Path, *, links: bool = True) -> None:
    """Looks at what a path is before it is opened, as a pipe would wait and a device never end.

    links: whether it may be a link. In a folder that somebody else wrote one leads anywhere.

    Raises:
        MissingCheckpointError: There is nothing.
        FormatError: It is no file.
    """
    try:
        mode = path.stat(follow_symlinks=links).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingCheckpointError(
            f"{path.name} is missing in {path.parent}. Restore the folder, or remove it."
        ) from error
    except OSError as error:
        raise FormatError(f"{path} cannot be read ({error}).") from error
    if stat.S_ISLNK(mode):
        raise FormatError(
            f"{path} is a link, which is not followed: put the file itself there (cp --dereference "
            "copies a folder so)."
        )
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "pipe, a socket or a device"
        raise FormatError(f"{path} is a {kind}: expected a file.")


def apply_umask(path: Path) -> None:
    """Gives a temporary file or folder, which is made private, the permissions of any new one."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        apply_umask(temporary)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def unfinished(folder: Path, names: Iterable[str] | None = None) -> list[Path]:
    """The temporary files that killed writers of these files left in the folder, and no others.

    names: of the files; without, any that `replacing` writes.
    """
    written = ".+" if names is None else "|".join(re.escape(name) for name in names)
    ours = re.compile(rf"\.({written})\.[a-z0-9_]{{8}}\.tmp")  # as `replacing` makes them
    return [path for path in folder.glob(".*.tmp") if ours.fullmatch(path.name) and path.is_file()]


def write_text_atomic(path: str | os.PathLike[str], text: str) -> Path:
    """Writes `text` as UTF-8; a reader sees the old file or the new one, never a part."""
    path = Path(path)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def write_json_atomic(path: str | os.PathLike[str], value: Any) -> Path:
    """Writes `value` as indented JSON.

    Raises:
        ValueError: For NaN or infinity, which JSON cannot hold.
        TypeError: For a value that is not JSON.
    """
    return write_text_atomic(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a JSON file of a checkpoint.

    Raises:
        MissingCheckpointError: The file is absent.
        FormatError: It is no file, larger than `MAX_JSON_BYTES`, not JSON, or nested too deeply.
    """
    path = Path(path)
    check_file(path)
    with path.open("rb") as stream:
        document = stream.read(MAX_JSON_BYTES + 1)
    if len(document) > MAX_JSON_BYTES:
        raise FormatError(f"{path} is larger than {MAX_JSON_BYTES:,} bytes: no file of the zoo's.")
    if depth(document) > MAX_DEPTH:
        raise FormatError(f"{path} is nested more than {MAX_DEPTH} levels deep. Restore the file.")
    try:
        return json.loads(document.decode())
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise FormatError(f"{path} is not JSON ({error}). Restore the file.") from error


def read_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file. Raises as `read_json`, and FormatError for another value."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise FormatError(f"{path} holds no JSON object, but {type(value).__name__}.")
    return value


def read_optional(path: Path) -> dict[str, Any]:
    """A JSON file's object; {} where there is no file."""
    return read_object(path) if path.is_file() else {}
