"""Pages of the documentation that lie elsewhere in the checkout: a hook of mkdocs.

Each published model's card becomes `models/NAME.md`, with its pictures and a player of its clips;
MODEL_CARDS.md becomes `models/index.md`; CONTRIBUTING.md and CHANGELOG.md get pages of their own.
Relative links lead to where the files are in the site or, for files that are not in it, to the
project's repository.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

__all__ = ["on_files", "pages", "without_front_matter"]

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "https://github.com/OWNER/density-zoo/blob/main"
MEDIA = ("samples.png", "samples.wav", "reconstructions.png")
DOCUMENTS = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_LINK = re.compile(r"(?<=\]\()([^)\s:#]+)(#[^)\s]*)?(?=\))")
_CARD = re.compile(r"checkpoints/(\w+)/card\.md")


def without_front_matter(card: str) -> str:
    """The card's text below its YAML."""
    return re.sub(r"\A---\n.*?\n---\n", "", card, count=1, flags=re.DOTALL).lstrip()


def _in_site(target: str, depth: str) -> str:
    """Where the site has a file of the checkout; the repository's address for all others."""
    if card := _CARD.fullmatch(target):
        return f"{depth}models/{card[1]}.md"
    if target.startswith("docs/"):
        return depth + target.removeprefix("docs/")
    known = {**DOCUMENTS, "MODEL_CARDS.md": "models/index.md", "README.md": "index.md"}
    return depth + known[target] if target in known else f"{REPOSITORY}/{target}"


def _linked(text: str, depth: str) -> str:
    return _LINK.sub(lambda m: _in_site(m[1], depth) + (m[2] or ""), text)


def _model_page(folder: Path) -> str:
    text = without_front_matter((folder / "card.md").read_text(encoding="utf-8"))
    name = folder.name
    text = _LINK.sub(lambda m: f"{name}/{m[1]}" if m[1] in MEDIA else m[0], text)
    if (folder / "samples.wav").is_file():
        player = f'<audio controls preload="none" src="../{name}/samples.wav"></audio>'
        title, _, rest = text.partition("\n")
        text = f"{title}\n\n{player}\n{rest}"
    return text


def pages(root: Path = ROOT) -> dict[str, str]:
    """Path in the site -> text, of every page that is made here."""
    found = {
        target: _linked((root / source).read_text(encoding="utf-8"), "")
        for source, target in DOCUMENTS.items()
    }
    index = (root / "MODEL_CARDS.md").read_text(encoding="utf-8")
    found["models/index.md"] = _linked(index, "../").replace("](../models/", "](")
    for card in sorted((root / "checkpoints").glob("*/card.md")):
        found[f"models/{card.parent.name}.md"] = _model_page(card.parent)
    return found


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and the models' pictures and clips to the site's files."""
    from mkdocs.structure.files import File, InclusionLevel

    for path, text in pages().items():
        inclusion = InclusionLevel.NOT_IN_NAV if path.startswith("models/") else None
        page = File.generated(config, path, content=text)
        if inclusion is not None:
            page.inclusion = inclusion
        files.append(page)
    for folder in sorted((ROOT / "checkpoints").iterdir()):
        for medium in MEDIA:
            if (folder / medium).is_file():
                place = f"models/{folder.name}/{medium}"
                files.append(File.generated(config, place, abs_src_path=str(folder / medium)))
    return files
