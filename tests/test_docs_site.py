"""The documentation site: pages that lie elsewhere in the checkout, and their links."""

from __future__ import annotations

import re
from pathlib import Path

import docs_pages

ROOT = Path(__file__).resolve().parent.parent


def test_every_card_has_a_page_without_its_front_matter() -> None:
    pages = docs_pages.pages()
    cards = {path.parent.name for path in (ROOT / "checkpoints").glob("*/card.md")}
    assert {f"models/{name}.md" for name in cards} <= set(pages)
    page = pages["models/wavenet_digits.md"]
    assert page.startswith("# ")
    assert "library_name" not in page
    assert '<audio controls preload="none" src="../wavenet_digits/samples.wav">' in page
    assert "](wavenet_digits/samples.png)" in page


def test_links_lead_into_the_site_or_to_the_repository() -> None:
    pages = docs_pages.pages()
    assert "](nice_mnist.md)" in pages["models/index.md"]
    for path in ("contributing.md", "changelog.md"):
        targets = re.findall(r"\]\(([^)#]+)", pages[path])
        assert all(target.endswith(".md") or target.startswith("http") for target in targets)
