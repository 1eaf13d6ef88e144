"""The blocks of code in the project's documents.

A block is run as it stands, unless the line above it says `<!-- not run: REASON -->`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DOCUMENTS", "ROOT", "Block", "blocks"]

ROOT = Path(__file__).resolve().parent.parent
# Those of export/ run in test_readme_requests.py.
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\n(?:<!-- .+? -->\n)*\Z")


@dataclass(frozen=True)
class Block:
    """A block of code, the line where it begins, and why it is not run; "" where it is."""

    document: str
    line: int
    language: str
    code: str
    excuse: str = ""

    def __str__(self) -> str:
        return f"{self.document}-{self.line}"


def blocks(document: str, language: str = "") -> list[Block]:
    """The blocks of a document, in order; of one language, if it is named."""
    text = (ROOT / document).read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        excuse = _NOT_RUN.search(text[: match.start()])
        line = text.count("\n", 0, match.start()) + 1
        reason = excuse[1] if excuse else ""
        found.append(Block(document, line, match[1], match[2], reason))
    return [block for block in found if language in ("", block.language)]
