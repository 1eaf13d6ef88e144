"""Build hook: what wheels carry beside the package; editable installs use the checkout's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CheckoutHook(BuildHookInterface):  # type: ignore[type-arg]
    """Maps `checkpoints/` to `zoo/_checkpoints`, and the files of `export/` to `zoo/_export`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds what exists to a standard wheel; `version` is "editable" for `pip install -e`."""
        if version != "standard":
            return
        checkpoints, export = Path(self.root, "checkpoints"), Path(self.root, "export")
        if checkpoints.is_dir():
            build_data["force_include"][str(checkpoints)] = "zoo/_checkpoints"
        for path in sorted(export.iterdir()) if export.is_dir() else ():
            if path.is_file():  # exported models are folders
                build_data["force_include"][str(path)] = f"zoo/_export/{path.name}"
