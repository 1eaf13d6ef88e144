"""The web page's files and what it is told; how it looks is `make browser-test`'s to say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests
import tiny_exports
from live_server import Running

from zoo.serving import page
from zoo.serving.repository import Repository

TIMEOUT = 30


def get(running: Running, path: str) -> requests.Response:
    response = requests.get(running.url(path), timeout=TIMEOUT)
    assert response.status_code == 200, response.text
    return response


def test_the_page_asks_nobody_else(running: Running) -> None:
    index = get(running, "/")
    assert index.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = index.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy
    files = re.findall(r'(?:src|href)="([^"]+)"', index.text)
    assert files == ["data:,", "/ui/style.css", "/ui/page.js"]
    for path in ("/", *files[1:]):
        text = get(running, path).text
        assert not re.search(r"https?://|[\"'(]//|@import|localStorage|eval\(", text), path


def test_it_is_told_of_every_model(running: Running) -> None:
    models = {model["name"]: model for model in get(running, "/ui/models").json()}
    assert list(models) == ["adder", "probe", "tiny_features", "tiny_images", "tiny_labels"]
    assert models["adder"]["versions"] == [10, 1]
    assert models["adder"]["version"] == 10
    images = models["tiny_images"]
    assert images["media"] == {"kind": "image"}
    assert images["signatures"]["serving_default"]["inputs"] == {
        "x": {"dtype": "uint8", "shape": [None, 4, 4, 1]}
    }
    assert models["tiny_features"]["media"] == {"kind": "features"}
    assert models["adder"]["card"] == ""
    assert models["adder"]["manifest"] is None


def test_cards_are_text_and_tables(running: Running) -> None:
    models = {model["name"]: model for model in get(running, "/ui/models").json()}
    card = models["tiny_images"]["card"]
    assert card.startswith("<h1>A tiny model</h1>")  # without the front matter
    assert "<td>bits/dim</td>" in card
    assert '<td class="align-right">4.36</td>' in card
    assert "style=" not in card
    assert "<script" not in card
    assert "<img" not in card
    assert "<em>a picture</em>" in card
    assert "&lt;script&gt;" in card


def test_the_manifest_says_how_a_row_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / "adder" / "1"
    tiny_exports.save_adder(folder, 1)
    media = {"kind": "audio", "sample_rate": 16000}
    tiny_exports.write_manifest(folder, media=media, family="wavenet")
    servable = Repository({"adder": tmp_path / "adder"}, max_rows=1).get("adder")
    described = page.describe(servable, [1])
    assert described["media"] == media
    assert described["manifest"]["family"] == "wavenet"


@pytest.mark.parametrize("text", ["", "[1]", "{", "\udcff"])
def test_a_broken_manifest_is_none(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "adder" / "1"
    tiny_exports.save_adder(folder, 1)
    tiny_exports.write_manifest(folder)
    (folder / page.MANIFEST_FILE).write_bytes(text.encode(errors="surrogateescape"))
    servable = Repository({"adder": tmp_path / "adder"}, max_rows=1).get("adder")
    described = page.describe(servable, [1])
    assert described["manifest"] is None
    assert described["media"] == {"kind": "features"}


@pytest.mark.parametrize(
    "path", ["/ui/../page.py", "/ui/%2e%2e/page.py", "/ui/..%2fpage.py", "/ui//etc/passwd", "/ui/"]
)
def test_no_other_file_is_served(path: str, running: Running) -> None:
    request = requests.Request("GET", running.url("/")).prepare()
    request.url = running.url(path)  # as it stands: requests would tidy it up
    with requests.Session() as session:
        response = session.send(request, timeout=TIMEOUT)
    assert response.status_code == 404
    assert "error" in response.json()
