"""Build hook: what wheels carry beside the package; editable installs use the checkout's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MB = 1_000_000
FOLDER_BYTES = 1 * MB  # a larger checkpoint is not carried; `zoo.load` says where to get it
WHEEL_BYTES = 40 * MB  # before compression


class CheckoutHook(BuildHookInterface):  # type: ignore[type-arg]
    """Maps small `checkpoints/` to `zoo/_checkpoints`, and files of `export/` to `zoo/_export`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds what exists to a standard wheel; `version` is "editable" for `pip install -e`.

        Raises ValueError where it would grow too heavy.
        """
        if version != "standard":
            return
        included = build_data["force_include"]
        checkpoints, export = Path(self.root, "checkpoints"), Path(self.root, "export")
        for folder in sorted(checkpoints.iterdir()) if checkpoints.is_dir() else ():
            if folder.is_dir() and _size(folder) <= FOLDER_BYTES:
                included[str(folder)] = f"zoo/_checkpoints/{folder.name}"
        for path in sorted(export.iterdir()) if export.is_dir() else ():
            if path.is_file():  # exported models are folders
                included[str(path)] = f"zoo/_export/{path.name}"
        total = sum(_size(Path(path)) for path in (*included, Path(self.root, "zoo")))
        if total > WHEEL_BYTES:
            raise ValueError(
                f"The wheel would hold {total / MB:.1f} MB; {WHEEL_BYTES / MB:.0f} MB are allowed."
            )


def _size(path: Path) -> int:
    """Bytes of a file, or of a folder's files; compiled modules are not packed."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc")
