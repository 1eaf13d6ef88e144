"""The web page's files and what it is told; how it looks is `make browser-test`'s to say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
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
    files = re.findall(r'(?:src|href)="([^"#]+)"', index.text)
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


BROKEN = {
    "empty": "",
    "a list": "[1]",
    "half": "{",
    "no text": "\udcff",
    "deep": "[" * 100_000,
    "NaN": '{"a": NaN}',
    "a lone surrogate": '{"a": "\\ud800"}',
    "large": '{"a": "' + "x" * 2**20 + '"}',
    "signatures": '{"signatures": [1]}',
    "a signature": '{"signatures": {"log_prob": 1}}',
    "inputs": '{"signatures": {"log_prob": {"inputs": 1}}}',
    "a field": '{"signatures": {"log_prob": {"inputs": {"x": 1}}}}',
    "media": '{"media": "image"}',
    "columns": '{"media": {"columns": 7}}',
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_manifest_is_none(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "adder" / "1"
    tiny_exports.save_adder(folder, 1)
    tiny_exports.write_manifest(folder)
    (folder / page.MANIFEST_FILE).write_bytes(text.encode(errors="surrogateescape"))
    servable = Repository({"adder": tmp_path / "adder"}, max_rows=1).get("adder")
    described = page.describe(servable, [1])
    assert described["manifest"] is None
    assert described["media"] == {"kind": "features"}
    (folder / page.CARD_FILE).write_bytes(b"# A card\n\xff")
    assert "A card" in page.describe(servable, [1])["card"]


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


_STUBS = """
const vm = require("node:vm"), fs = require("node:fs");
const node = () => ({ children: [], append(...more) { this.children.push(...more); },
  replaceChildren(...more) { this.children = more; }, querySelectorAll: () => [], checked: false,
  addEventListener() {}, setAttribute() {} });
const elements = {};
let pixels = [], written = null, bytes = null;
const context = {
  fillRect() {}, drawImage() {}, putImageData(image) { written = Array.from(image.data); },
  createImageData: (w, h) => ({ data: new Uint8ClampedArray(4 * w * h) }),
  getImageData: () => ({ data: Uint8ClampedArray.from(pixels) }),
};
const sandbox = {
  document: {
    getElementById: (id) => (elements[id] ??= node()),
    createElement: () => ({ ...node(), getContext: () => context }),
  },
  Blob: class { constructor([view]) { bytes = Array.from(new Uint8Array(view.buffer)); } },
  URL: { createObjectURL: () => "blob:", revokeObjectURL() {} },
  createImageBitmap: async () => ({}), fetch: async () => { throw new Error("no server"); },
  DataView, ArrayBuffer, Uint8Array,
};
vm.createContext(sandbox);
vm.runInContext(fs.readFileSync(process.argv[1], "utf8"), sandbox);
const told = JSON.parse(process.argv[2]);
pixels = told.pixels ?? [];
const { showRows, readImage, highestOf } = sandbox;
(async () => {
  if (told.rows) showRows(elements.samples ??= node(), told.rows, told.model);
  const highest = highestOf(told.model, "serving_default", "inputs");
  const read = told.pixels ? await readImage({ name: "x" }, told.shape, highest) : null;
  console.log(JSON.stringify({ written, bytes, read }));
})();
"""


def run_script(**told: Any) -> dict[str, Any]:
    """What page.js draws, plays and reads, in Node with a stand-in for the document."""
    return run_node(_STUBS, json.dumps(told))


def run_node(program: str, argument: str) -> Any:
    """What the program prints, which is given page.js and the argument."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    script = files("zoo.serving") / "web" / "page.js"
    command = [node, "-e", program, str(script), argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    return json.loads(done.stdout)


_RACE = """
const vm = require("node:vm"), fs = require("node:fs");
const elements = {}, asked = [];
const node = () => ({ children: [], value: "1 2", valueAsNumber: 1, textContent: "",
  append(...more) { this.children.push(...more); },
  replaceChildren(...more) { this.children = more; this.textContent = ""; },
  querySelectorAll: () => [], addEventListener(type, heard) { this[type] = heard; },
  setAttribute() {}, classList: { add() {}, remove() {}, toggle() {} } });
const element = (id) => (elements[id] ??= node());
const models = ["first", "second"].map((name) => ({ name, versions: [1], card: "",
  manifest: null, media: { kind: "features" }, signatures: {
    sample: { inputs: { seed: {} }, outputs: { x: {} } },
    serving_default: { inputs: { x: { shape: [null, 2] } }, outputs: { log_prob: {} } } } }));
const fetch = async (url, { signal } = {}) => {
  if (url === "/ui/models") return { json: async () => models };
  return new Promise((resolve) => {
    const text = (outputs) => async () => JSON.stringify({ outputs });
    const answer = (outputs) => resolve({ ok: true, text: text(outputs) });
    asked.push({ url, answer, signal });
  });
};
const sandbox = { fetch, AbortController, performance, location: { hash: "" },
  history: { replaceState() {} }, URL: { revokeObjectURL() {} },
  document: { getElementById: element, createElement: node, querySelectorAll: () => [] } };
vm.createContext(sandbox);
vm.runInContext(fs.readFileSync(process.argv[1], "utf8"), sandbox);
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));
const texts = (node) => (typeof node === "string" ? [node]
  : [node.textContent, ...node.children.flatMap(texts)].filter(Boolean));
const id = process.argv[2];
const [form, place, late, early] = { sample: ["sample-form", "samples", [[7]], [[8]]],
  score: ["features-form", "scored", [7], [8]] }[id];
const submit = async () => { element(form).submit({ preventDefault() {} }); await settle(); };
const state = () => ({ title: element("title").textContent, shown: texts(element(place)),
  status: element(`${id}-status`).textContent, busy: element(id).disabled ?? false });
(async () => {
  await settle();
  const [first, second] = element("models").children.map((item) => item.children[0]);
  const found = [];
  first.click();
  await submit();
  found.push(state());
  second.click();
  asked[0].answer(late); // asked for by the first model, while the second one is shown
  await settle();
  found.push(state());
  await submit();
  await submit();
  asked[2].answer(early); // the second of two answers to one form comes first
  await settle();
  found.push(state());
  asked[1].answer(late);
  await settle();
  found.push(state(), asked.map(({ url, signal }) => [url, signal.aborted]));
  console.log(JSON.stringify(found));
})();
"""


@pytest.mark.parametrize("form", ["sample", "score"])
def test_an_answer_is_shown_where_it_was_asked_for(form: str) -> None:
    """Never under the title of a model that has been chosen since, nor after a later one."""
    running, chosen, answered, late, asked = run_node(_RACE, form)
    assert running == {"title": "first", "shown": [], "status": "working …", "busy": True}
    assert chosen == {"title": "second", "shown": [], "status": "", "busy": False}
    assert answered["title"] == "second"
    assert [text.strip() for text in answered["shown"]][-1] == "8"
    assert re.fullmatch(r"\d+\.\d\d s", answered["status"])
    assert not answered["busy"]
    assert late == answered
    assert [url for url, _ in asked] == [
        f"/v1/models/{name}:predict" for name in ("first", "second", "second")
    ]
    assert [aborted for _, aborted in asked[:2]] == [True, True]


def described(kind: str, dtype: str, maximum: int | None) -> dict[str, Any]:
    """As `zoo.serving.page.describe` describes a model of rows of that dtype."""
    x = {"x": {"dtype": dtype}}
    told = {"x": {"dtype": dtype, "maximum": maximum}}
    return {
        "signatures": {"serving_default": {"inputs": x, "outputs": {}}, "sample": {"outputs": x}},
        "manifest": {
            "default_signature": "log_prob",
            "signatures": {"log_prob": {"inputs": told}, "sample": {"outputs": told}},
        },
        "media": {"kind": kind, "sample_rate": 8000},
    }


@pytest.mark.parametrize(
    ("dtype", "samples", "expected"),
    [
        ("int16", [-12000, -3, 0, 500, 32767, -32768], [-12000, -3, 0, 500, 32767, -32768]),
        ("float32", [-1.0, 0.5, 1.5], [-32767, 16384, 32767]),
    ],
)
def test_clips_are_played_as_they_are(
    dtype: str, samples: list[float], expected: list[int]
) -> None:
    played = run_script(model=described("audio", dtype, None), rows=[samples])["bytes"]
    assert np.frombuffer(bytes(played)[44:], np.int16).tolist() == expected


@pytest.mark.parametrize(
    ("highest", "image", "shown"),
    [(255, [0, 7, 255], [0, 7, 255]), (1, [0, 1, 1], [0, 255, 255]), (3, [0, 1, 3], [0, 85, 255])],
)
def test_images_are_drawn_from_black_to_white(
    highest: int, image: list[int], shown: list[int]
) -> None:
    rows = [[[[value] for value in image]]]
    written = run_script(model=described("image", "uint8", highest), rows=rows)["written"]
    assert np.reshape(written, [-1, 4]).tolist() == [[v, v, v, 255] for v in shown]


@pytest.mark.parametrize(
    ("highest", "expected"), [(255, [0, 100, 200, 255]), (1, [0, 0, 1, 1]), (3, [0, 1, 3, 3])]
)
def test_pictures_are_read_as_the_model_s_levels(highest: int, expected: list[int]) -> None:
    pixels = [value for grey in (0, 100, 200, 255) for value in (grey, grey, grey, 255)]
    model = described("image", "uint8", highest)
    read = run_script(model=model, pixels=pixels, shape=[1, 4, 1])["read"]
    assert [value for (value,) in read[0]] == expected
