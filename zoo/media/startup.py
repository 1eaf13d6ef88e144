"""TensorFlow's import without the lines that its libraries write to stderr, whatever the log level.

`import zoo` announces it: the first import of TensorFlow after that is quiet, whoever asks for it.
`TF_CPP_MIN_LOG_LEVEL` is set to 3, errors alone, where it is not set; where the user has set it,
that level holds, and with 0 or 1 every line is shown.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from typing import Any

__all__ = ["LEVEL", "announce", "quiet_import", "without_startup_lines"]

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
TENSORFLOW = "tensorflow"
# glog's lines, I0000 00:00:17958931 1234 port.cc:153] …, and those around them.
_STARTUP_LINE = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d:\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] |"
    rb"WARNING: All log messages before absl::InitializeLog|To enable the following instructions"
)


def announce() -> None:
    """Makes the next import of TensorFlow quiet; nothing where it is imported already."""
    known = any(isinstance(finder, _QuietFinder) for finder in sys.meta_path)
    if TENSORFLOW not in sys.modules and not known:
        sys.meta_path.insert(0, _QuietFinder())


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """The environment and the stderr in which TensorFlow is imported."""
    if os.environ.setdefault(LEVEL, "3") in ("0", "1"):
        yield
        return
    with without_startup_lines():
        yield


@contextlib.contextmanager
def without_startup_lines() -> Iterator[None]:
    """Holds descriptor 2 back; its lines are shown afterwards, all but those of a start-up.

    If the block raises, those as well.
    """
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, ValueError):  # there is no stderr to write to
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            lines = held.readlines()
            shown = [line for line in lines if failed or not _STARTUP_LINE.match(line)]
            if shown:
                os.write(2, b"".join(shown))


class _QuietFinder(MetaPathFinder):
    """Finds TensorFlow once, as the others do, and imports it quietly."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        del path, target
        if name != TENSORFLOW:
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


class _QuietLoader(Loader):
    """Another loader, in whose import nothing of a start-up is shown."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        with quiet_import():
            self._loader.exec_module(module)
