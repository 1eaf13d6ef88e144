"""Folders of a user's own files: pictures or clips, their classes by subfolder, and broken ones.

All files below the folder count, but those whose name, or a folder's on the way, begins with a
point. Their order is that of their paths, so that a folder is the same on every machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from zoo.errors import InvalidInputError
from zoo.media.audio import AUDIO_SUFFIXES

__all__ = ["BY_FOLDER", "PICTURE_SUFFIXES", "Files", "files_in", "read_files", "several"]

PICTURE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
    ".pbm",
)  # fmt: skip
BY_FOLDER = "folder"  # the context that is a file's subfolder
_SUFFIXES = {"pictures": PICTURE_SUFFIXES, "clips": AUDIO_SUFFIXES}
_SHOWN = 5

Content = TypeVar("Content")


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of one kind in a folder.

    kind: "pictures" or "clips".   classes: the subfolders' names, where they are the context.
    """

    folder: Path
    kind: str
    paths: tuple[Path, ...]
    classes: tuple[str, ...] = ()

    def labels(self, paths: Sequence[Path]) -> np.ndarray | None:
        """The classes' numbers, int32 [paths]; None without classes."""
        if not self.classes:
            return None
        numbers = {name: i for i, name in enumerate(self.classes)}
        tops = [path.relative_to(self.folder).parts[0] for path in paths]
        return np.array([numbers[name] for name in tops], np.int32)


def files_in(folder: Path, context: Sequence[str] = ()) -> Files:
    """The pictures or the clips below a folder.   context: () or (BY_FOLDER,).

    Raises InvalidInputError, with what mends it, for no such folder, one without either or with
    both, another context, and files outside of the subfolders that are to be the context.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"No folder {folder}.")
    every = [path for path in sorted(folder.rglob("*")) if _counts(path, folder)]
    found = {
        kind: tuple(path for path in every if path.suffix.lower() in suffixes)
        for kind, suffixes in _SUFFIXES.items()
    }
    there = [kind for kind, paths in found.items() if paths]
    if not there:
        raise InvalidInputError(_nothing(folder, every))
    if len(there) > 1:
        counts = " and ".join(f"{len(found[kind]):,} {kind}" for kind in there)
        fewest = min(there, key=lambda kind: len(found[kind]))
        raise InvalidInputError(
            f"{folder} holds {counts}, such as {found[fewest][0].relative_to(folder)}: a model "
            "learns from one kind. Give each a folder of its own."
        )
    kind = there[0]
    paths = found[kind]
    if not context:
        return Files(folder=folder, kind=kind, paths=paths)
    if list(context) != [BY_FOLDER]:
        raise InvalidInputError(
            f"The context of {kind} is their subfolder, --context {BY_FOLDER}; got "
            f"{','.join(context)}."
        )
    if loose := [path.name for path in paths if path.parent == folder]:
        raise InvalidInputError(
            f"With --context {BY_FOLDER} the subfolder of a file is its class; {several(loose)} "
            f"directly in {folder}. Put every file into a subfolder, or leave out --context."
        )
    classes = tuple(sorted({path.relative_to(folder).parts[0] for path in paths}))
    if len(classes) < 2:
        raise InvalidInputError(
            f"{folder} has one subfolder with {kind}, {classes[0]!r}, which tells nothing: leave "
            "out --context."
        )
    return Files(folder=folder, kind=kind, paths=paths, classes=classes)


def read_files(
    files: Files, read: Callable[[Path], Content], *, skip_broken: bool
) -> tuple[list[Content], list[Path], list[str]]:
    """(contents, their paths, what was left out and why), read by as many threads as cores.

    read: raises InvalidInputError for a file that cannot be used.
    Raises InvalidInputError with all such files' names, unless they are to be skipped.
    """

    def attempt(path: Path) -> Content | InvalidInputError:
        try:
            return read(path)
        except InvalidInputError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        results = list(threads.map(attempt, files.paths))
    contents, kept, broken = [], [], []
    for path, result in zip(files.paths, results, strict=True):
        if isinstance(result, InvalidInputError):
            broken.append(str(result))
        else:
            contents.append(result)
            kept.append(path)
    if broken and not skip_broken:
        raise InvalidInputError(
            f"{len(broken):,} of {len(files.paths):,} {files.kind} cannot be used: "
            f"{several(broken, separator='; ')}. Mend or remove them, or leave them out: "
            "--skip-broken."
        )
    return contents, kept, broken


def several(texts: Sequence[str], *, separator: str = ", ") -> str:
    """The first few, and how many more."""
    shown = separator.join(text.rstrip(".") for text in texts[:_SHOWN])
    more = len(texts) - _SHOWN
    return shown if more <= 0 else f"{shown}{separator}and {more:,} more"


def _counts(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.is_file()


def _nothing(folder: Path, every: Sequence[Path]) -> str:
    expected = "; ".join(f"{kind} ({', '.join(ends)})" for kind, ends in _SUFFIXES.items())
    if not every:
        return f"{folder} is empty; expected {expected}."
    return (
        f"{folder} holds {len(every):,} files, such as {every[0].relative_to(folder)}, and none of "
        f"them is one of {expected}. A table is given as a file."
    )
