"""Version folders: complete or absent, and immutable unless they are replaced on purpose."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from zoo.errors import ExportError

__all__ = ["check_name", "check_version", "new_version"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def check_name(name: str) -> None:
    """Raises ExportError for a name that cannot be a server's model name and a folder."""
    if not _NAME.fullmatch(name):
        raise ExportError(
            "A model's name becomes a folder and part of an address: expected letters, digits, "
            f"'_', '-' and '.'; got {name!r}. Give the model another name=."
        )


def check_version(version: Any) -> None:
    """Raises ExportError for what is no version of TensorFlow Serving's."""
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ExportError(f"version must be a positive integer; got {version!r}.")


@contextlib.contextmanager
def new_version(base: Path, version: int, *, overwrite: bool) -> Iterator[Path]:
    """A folder to write into, which becomes `<base>/<version>` when the block ends.

    A server that watches `base` loads any number that it finds: until the block has ended the
    folder has another name, and if the block fails it is removed, with the folders made for it.
    Raises ExportError where the version exists and `overwrite` is false, and for what the file
    system refuses (no space, no permission).
    """
    folder = base / str(version)
    if folder.exists() and not overwrite:
        raise ExportError(
            f"{folder} exists, and servers expect versions to be immutable. Export version "
            f"{version + 1}, or overwrite it on purpose (overwrite=True, --overwrite)."
        )
    made = [parent for parent in (base, *base.parents) if not parent.exists()]
    unfinished = None
    try:
        base.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".unfinished-{version}-", dir=base))
        unfinished.chmod(0o755)
        yield unfinished
        _replace(unfinished, folder)
    except (OSError, tf.errors.OpError) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else error
        raise ExportError(f"{folder} cannot be written; nothing was left: {reason}") from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()  # only where nothing came to lie in it


def _replace(unfinished: Path, folder: Path) -> None:
    """Renames `unfinished` to `folder`, whose old content is removed once the new one is there."""
    if not folder.exists():
        os.replace(unfinished, folder)
        return
    old = folder.with_name(f"{unfinished.name}-old")
    os.replace(folder, old)
    try:
        os.replace(unfinished, folder)
    except OSError:
        os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
