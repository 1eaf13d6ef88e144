"""Changes to files that tests make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def flip(path: Path) -> None:
    """Changes a bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def edit_json(path: Path, **changes: Any) -> None:
    """Sets keys of the object in a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
