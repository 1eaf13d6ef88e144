"""Build hook: wheels carry the published checkpoints, editable installs use the checkout's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CheckpointsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Maps `checkpoints/` to `zoo/_checkpoints` in a standard wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the folder where it exists; `version` is "editable" for `pip install -e`."""
        folder = Path(self.root, "checkpoints")
        if version == "standard" and folder.is_dir():
            build_data["force_include"][str(folder)] = "zoo/_checkpoints"
