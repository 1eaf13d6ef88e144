"""Runs the tutorial's example of fine-tuning; benchmarks/fine_tuning.json keeps what it prints.

    python tools/fine_tuning_example.py

`tools/render_cards.py` writes the lines below the example, and its `--check` says where the example
or the weights that it starts from are others than those of the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.store.files import read_optional, write_json_atomic
from zoo.store.weights import WEIGHTS_FILE

__all__ = ["FILE", "NAME", "example", "outdated", "printed"]

ROOT = Path(__file__).resolve().parent.parent
FILE = Path("benchmarks", "fine_tuning.json")
PAGE = Path("docs", "tutorials", "fine-tune.md")
NAME = "nice_mnist"  # that the example starts from
_AGAIN = "python tools/fine_tuning_example.py, then make cards"


def example(root: Path) -> str:
    """The code of the example; "" without its page."""
    page = root / PAGE
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    return text.partition("<!-- fine-tuning -->\n```python\n")[2].partition("```")[0]


def printed(root: Path) -> str:
    """The lines that the example printed, as a block."""
    lines = read_optional(root / FILE).get("printed", [])
    return "\n".join(("```text", *lines, "```")) if lines else "Not run in this checkout."


def outdated(root: Path, pinned: Mapping[str, Any]) -> str:
    """What has changed since the example ran; "" for nothing, and where it has not run."""
    kept = read_optional(root / FILE)
    if not kept:
        return ""
    if kept["code_sha256"] != _digest(example(root)):
        return f"The example of fine-tuning has changed since it ran: {_AGAIN}"
    if NAME in pinned and kept["weights_sha256"] != pinned[NAME]["files"][WEIGHTS_FILE]["sha256"]:
        return f"The example of fine-tuning ran with other weights of {NAME}: {_AGAIN}"
    return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """Runs the example in a temporary folder."""
    code = example(ROOT)
    out = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(out):
        os.chdir(folder)
        try:
            exec(compile(code, str(PAGE), "exec"), {})
        finally:
            os.chdir(ROOT)
    pinned = read_optional(ROOT / "zoo" / "pins.json")
    kept = {
        "code_sha256": _digest(code),
        "weights_sha256": pinned[NAME]["files"][WEIGHTS_FILE]["sha256"],
        "printed": out.getvalue().splitlines(),
    }
    write_json_atomic(ROOT / FILE, kept)
    print(out.getvalue(), end="")


if __name__ == "__main__":
    main()
