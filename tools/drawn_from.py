"""Pictures say in themselves which weights they were drawn with: `NAME SHA-256`, a line a model.

`tools/demo.py` and `tools/energies.py` write it into their PNG files, as the text `weights`, and
`tools/render_cards.py --check` compares it with the pins: a picture of older weights is a fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from zoo.store import pins
from zoo.store.weights import WEIGHTS_FILE

__all__ = ["KEY", "stale", "weights_text"]

KEY = "weights"
_AGAIN = "make pictures"


def weights_text(names: Iterable[str]) -> dict[str, str]:
    """The text of a picture of these models, for `save_png`; nothing for unpublished ones."""
    pinned = pins.pins()
    lines = [f"{name} {_digest(pinned, name)}" for name in names if name in pinned]
    return {KEY: "\n".join(lines)} if lines else {}


def stale(path: Path, pinned: Mapping[str, Any]) -> str:
    """What is wrong with a picture; "" where it was drawn with the weights that are pinned."""
    with Image.open(path) as image:
        drawn = str(image.info.get(KEY, "")).split()
    if not drawn:
        return f"docs/{path.name} does not say which weights it was drawn with: {_AGAIN}"
    others = [
        name
        for name, digest in zip(drawn[::2], drawn[1::2], strict=True)
        if name not in pinned or _digest(pinned, name) != digest
    ]
    if not others:
        return ""
    return f"docs/{path.name} was drawn with other weights of {', '.join(others)}: {_AGAIN}"


def _digest(pinned: Mapping[str, Any], name: str) -> str:
    return str(pinned[name]["files"][WEIGHTS_FILE]["sha256"])
