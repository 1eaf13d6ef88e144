"""A folder that is made beside its place and takes it in one rename; what a kill left, put right.

    .NAME.xxxxxxxx.tmp/    NAME      what is being made
                           old…      what lay in the place, while the new one takes it
                           .lock     held by the process at work

A process that is killed leaves such a folder, between the two renames with the only copy of what
was there. The next one that publishes to the place brings it back, and removes the rest.
"""

from __future__ import annotations

import contextlib
import glob
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from zoo.store.files import apply_umask

__all__ = ["OLD", "recover", "staged"]

OLD = "old"
_LOCK = ".lock"
_ATTEMPTS = 20  # to make a folder while others publish to the place


@contextlib.contextmanager
def staged(target: Path, *, is_published: Callable[[Path], bool]) -> Iterator[Path]:
    """An empty folder of the target's name beside it; what is left of it goes at the end.

    is_published: of a folder, whether its content is what is announced: see `recover`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    recover(target, is_published=is_published)
    with contextlib.ExitStack() as held:
        stage = _locked(target, held)
        apply_umask(stage)
        yield stage


def _locked(target: Path, held: contextlib.ExitStack) -> Path:
    """A new empty folder of the target's name, in one that this process holds the lock of."""
    import filelock

    attempts = 0
    while True:
        attempts += 1
        with contextlib.ExitStack() as mine:
            work = mine.enter_context(
                tempfile.TemporaryDirectory(
                    dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"
                )
            )
            stage = Path(work, target.name)
            try:
                mine.enter_context(filelock.FileLock(Path(work, _LOCK)))
                stage.mkdir()
            except FileNotFoundError:  # another process took it for one that a kill has left
                if attempts == _ATTEMPTS:
                    raise
                continue
            held.push(mine.pop_all())
            return stage


def recover(target: Path, *, is_published: Callable[[Path], bool]) -> None:
    """Puts right what killed processes left beside the target.

    The old content comes back where nothing took its place; or where it is published, and what did
    is not. Folders that hold anything else, or that a process is at work in, are left alone.
    """
    import filelock

    ours = re.compile(rf"\.{re.escape(target.name)}\.[a-z0-9_]{{8}}\.tmp")  # as `tempfile` has it
    for work in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        if not ours.fullmatch(work.name) or work.is_symlink() or not work.is_dir():
            continue
        try:
            content = {path.name for path in work.iterdir()} - {_LOCK, target.name}
        except FileNotFoundError:  # its process has just ended
            continue
        old = sorted(name for name in content if name.startswith(OLD))
        if content != set(old):
            continue
        busy = filelock.Timeout, FileNotFoundError
        with contextlib.suppress(*busy), filelock.FileLock(work / _LOCK, timeout=0):
            for name in reversed(old):
                if target.exists() and is_published(work / name) and not is_published(target):
                    target.rename(work / "undone")
                if not target.exists():
                    (work / name).rename(target)
            # Whose it is may begin or end at this moment, and then it is not ours to remove.
            shutil.rmtree(work, ignore_errors=True)
