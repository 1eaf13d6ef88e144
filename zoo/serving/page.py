"""The web page: what is served, its cards, samples to look at or listen to, images to score.

One HTML file, one script, one style sheet, all from this package: the page asks nobody else for
anything, and its own REST interface for answers.

    GET /            the page
    GET /ui/FILE     its script and style
    GET /ui/models   what it shows: see `describe`
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from zoo.core import nesting
from zoo.serving.repository import Repository
from zoo.serving.servable import Servable

__all__ = ["CARD_FILE", "MANIFEST_FILE", "describe", "render_card", "routes"]

CARD_FILE = "assets.extra/card.md"
MANIFEST_FILE = "assets.extra/signatures.json"
MAX_BYTES = 2**20  # of either
_WEB = Path(__file__).parent / "web"
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; media-src blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def routes(repository: Repository) -> list[BaseRoute]:
    """The page's addresses."""
    described = [
        describe(repository.get(name), repository.versions(name)) for name in repository.names()
    ]

    async def index(_: Request) -> Response:
        return FileResponse(_WEB / "index.html", headers=_HEADERS)

    async def models(_: Request) -> Response:
        return JSONResponse(described, headers=_HEADERS)

    return [
        Route("/", index),
        Route("/ui/models", models),
        Mount("/ui", StaticFiles(directory=_WEB)),
    ]


def describe(servable: Servable, versions: list[int]) -> dict[str, Any]:
    """What the page shows of a model.

    name, version, versions, signatures (dtypes and shapes, null for a free size), the manifest that
    lies beside the SavedModel (null without one), the card as HTML ("" without one), and `media`,
    how a row may be shown: from the manifest, else a guess from the shape of `x`.
    """
    manifest = _read_manifest(servable.folder)
    signatures = {
        key: {"inputs": _fields(value.inputs), "outputs": _fields(value.outputs)}
        for key, value in servable.signatures.items()
    }
    return {
        "name": servable.name,
        "version": servable.version,
        "versions": versions,
        "signatures": signatures,
        "manifest": manifest,
        "media": (manifest or {}).get("media") or _guess_media(signatures),
        "card": render_card(servable.folder / CARD_FILE),
    }


def render_card(path: Path) -> str:
    """A model card as HTML; "" where there is none.

    Its front matter is left out, a picture is its caption, and raw HTML is shown as it is written.
    """
    text = _FRONT_MATTER.sub("", _read(path).decode(errors="replace"), count=1)
    parser = MarkdownIt("js-default", {"linkify": False})
    parser.add_render_rule("image", _render_caption)
    tokens = parser.parse(text)
    for token in tokens:
        # The page's policy forbids styles in attributes, which cells have that are aligned.
        style = str(token.attrs.pop("style", ""))
        if style:
            token.attrSet("class", style.replace("text-align:", "align-"))
    return str(parser.renderer.render(tokens, parser.options, {}))


def _render_caption(
    renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    """A picture's text, in the renderer's form of a rule: the file is not beside the page."""
    text = renderer.renderInlineAsText(tokens[index].children or [], options, env)
    return f"<em>{escapeHtml(text)}</em>"


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    """The export's own description of its signatures; None where there is none to be shown.

    That is one of another form, or one that JSON cannot repeat: with NaN, or lone surrogates.
    """
    document = _read(folder / MANIFEST_FILE)
    if not document or nesting.depth(document) > nesting.MAX_DEPTH:
        return None
    try:
        manifest = json.loads(document)
        json.dumps(manifest, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return None
    return manifest if _is_manifest(manifest) else None


def _is_manifest(manifest: Any) -> bool:
    """Whether what the page reads of it is of the manifest's form."""
    if not isinstance(manifest, dict):
        return False
    told, media = manifest.get("signatures", {}), manifest.get("media", {})
    if not isinstance(told, dict) or not isinstance(media, dict):
        return False
    if not all(isinstance(media.get(key, []), list) for key in ("columns", "labels")):
        return False
    sides = [
        signature.get(side, {}) if isinstance(signature, dict) else None
        for signature in told.values()
        for side in ("inputs", "outputs")
    ]
    return all(
        isinstance(side, dict) and all(isinstance(field, dict) for field in side.values())
        for side in sides
    )


def _read(path: Path) -> bytes:
    """The content of a file; b"" for none, and for one that is larger than any of an export's."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError:
        return b""
    return content if len(content) <= MAX_BYTES else b""


def _fields(specs: Mapping[str, tf.TensorSpec]) -> dict[str, Any]:
    return {
        name: {
            "dtype": spec.dtype.name,
            "shape": None if spec.shape.rank is None else spec.shape.as_list(),
        }
        for name, spec in specs.items()
    }


def _guess_media(signatures: dict[str, Any]) -> dict[str, Any]:
    x = signatures.get("serving_default", {}).get("inputs", {}).get("x", {})
    image = x.get("dtype") == "uint8" and len(x["shape"] or ()) == 4 and x["shape"][3] in (1, 3)
    return {"kind": "image" if image else "features"}
