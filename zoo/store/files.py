"""Files written whole or not at all.

Every writer goes through a temporary file in the same folder, `fsync` and `os.replace`: a killed
process leaves the old file or the new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from zoo.errors import FormatError, MissingCheckpointError

__all__ = [
    "apply_umask",
    "read_json",
    "read_optional",
    "replacing",
    "unfinished",
    "write_json_atomic",
    "write_text_atomic",
]


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


def unfinished(folder: Path, names: Iterable[str]) -> list[Path]:
    """The temporary files that killed writers of these files left in the folder, and no others."""
    written = "|".join(re.escape(name) for name in names)
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
        FormatError: It is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingCheckpointError(
            f"{path.name} is missing in {path.parent}. Restore the folder, or remove it."
        ) from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise FormatError(f"{path} is not JSON ({error}). Restore the file.") from error


def read_optional(path: Path) -> dict[str, Any]:
    """A JSON file's object; {} where there is no file."""
    return read_json(path) if path.is_file() else {}
