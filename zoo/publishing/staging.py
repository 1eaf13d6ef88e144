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


@contextlib.contextmanager
def staged(target: Path, *, is_published: Callable[[Path], bool]) -> Iterator[Path]:
    """An empty folder of the target's name beside it; what is left of it goes at the end.

    is_published: of a folder, whether its content is what is announced: see `recover`.
    """
    import filelock

    target.parent.mkdir(parents=True, exist_ok=True)
    recover(target, is_published=is_published)
    with (
        tempfile.TemporaryDirectory(
            dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"
        ) as work,
        filelock.FileLock(Path(work, _LOCK)),
    ):
        stage = Path(work, target.name)
        stage.mkdir()
        apply_umask(stage)
        yield stage


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
        content = {path.name for path in work.iterdir()} - {_LOCK, target.name}
        old = sorted(name for name in content if name.startswith(OLD))
        if content != set(old):
            continue
        with contextlib.suppress(filelock.Timeout), filelock.FileLock(work / _LOCK, timeout=0):
            for name in reversed(old):
                if target.exists() and is_published(work / name) and not is_published(target):
                    target.rename(work / "undone")
                if not target.exists():
                    (work / name).rename(target)
            shutil.rmtree(work)
