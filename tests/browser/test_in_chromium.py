"""The web page in headless Chromium: what a person sees and does. `make browser-test` runs it.

Screenshots go to `$ZOO_SCREENSHOTS`, or to the test's own folder.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tensorflow as tf
import tiny_exports
from hosts import Host
from live_server import Running, serve
from PIL import Image

import zoo
from zoo import exporting

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install -e '.[browser]'"
)

pytestmark = pytest.mark.browser
TIMEOUT = 30
RATE, SECONDS = 8000, 0.5
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


# The contrast of an element's text with what is behind it, as WCAG 2 has it.
_CONTRAST = """(element) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const luminance = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const linear = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  let behind = element;
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") {
    behind = behind.parentElement;
  }
  const pair = [element, behind].map((one, i) => luminance(
    i ? getComputedStyle(one).backgroundColor : getComputedStyle(one).color));
  return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""


def save_tone(folder: Path) -> None:
    """A model of sounds: `sample` is half a second of a tone, its pitch from the seed."""
    seed = tf.TensorSpec([None, 2], tf.int32, "seed")
    temperature = tf.TensorSpec([None], tf.float32, "temperature")

    @tf.function(input_signature=[seed, temperature], autograph=False)
    def sample(seed: tf.Tensor, temperature: tf.Tensor) -> dict[str, tf.Tensor]:
        time = tf.range(int(RATE * SECONDS), dtype=tf.float32) / RATE
        pitch = 220.0 * tf.cast(1 + seed[:, 1:], tf.float32)
        return {"x": temperature[:, None] * tf.sin(2.0 * np.pi * pitch * time)}

    @tf.function(input_signature=[tf.TensorSpec([None, None], name="x")], autograph=False)
    def log_prob(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"log_prob": -tf.reduce_sum(x**2, -1)}

    module = tf.Module()
    module.sample, module.log_prob = sample, log_prob
    signatures = {"serving_default": log_prob, "sample": sample}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    media = {"kind": "audio", "sample_rate": RATE}
    told = {"outputs": {"log_prob": {"unit": "nats", "meaning": "of a whole sound"}}}
    tiny_exports.write_manifest(
        folder,
        media=media,
        family="tone",
        default_signature="log_prob",
        signatures={"log_prob": told},
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("export")
    models = tiny_exports.export(path)
    save_tone(path / "tone" / "1")
    with serve(path) as addresses:
        yield Running(addresses, path, models)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    with playwright.sync_playwright() as driver:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium has none for root
        quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = driver.chromium.launch(executable_path=executable, args=[*sandbox, *quiet])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, running: Running) -> Iterator[Any]:
    """The page, which may say nothing on the console and ask nobody else."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(running.url("/"))
    page.get_by_role("heading", name="adder").wait_for()
    yield page
    # A refused request is shown on the page, and Chromium notes its status.
    assert [text for text in said if "status of 400" not in text] == []
    own = (running.addresses.rest, "data:", "blob:")
    assert [url for url in asked if not url.startswith(own)] == []
    page.close()


@pytest.fixture
def shoot_of(tmp_path: Path) -> Any:
    folder = Path(os.environ.get("ZOO_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def shoot(page: Any, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)
        with Image.open(folder / f"{name}.png") as picture:
            assert len(picture.convert("L").getcolors(maxcolors=256) or ()) > 8, "a blank page"

    return shoot


@pytest.fixture
def shoot(page: Any, shoot_of: Any) -> Any:
    return lambda name: shoot_of(page, name)


def choose(page: Any, name: str) -> None:
    page.get_by_role("navigation").get_by_role("button", name=name, exact=True).click()
    page.get_by_role("heading", name=name, exact=True).wait_for()


def visible(page: Any, *ids: str) -> list[bool]:
    return [page.locator(f"#{one}").is_visible() for one in ids]


def canvas_pixels(page: Any, index: int, where: str = "#samples") -> np.ndarray:
    """Height x width x RGBA of a canvas."""
    found = page.evaluate(
        """([where, index]) => {
          const canvas = document.querySelectorAll(`${where} canvas`)[index];
          const { width, height } = canvas;
          const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
          return [height, width, Array.from(data)];
        }""",
        [where, index],
    )
    return np.array(found[2], np.uint8).reshape(found[0], found[1], 4)


def scored(page: Any) -> dict[str, float]:
    """The numbers that a score shows, by name."""
    page.locator("#scored dd").first.wait_for()
    names = page.locator("#scored dt").all_inner_texts()
    values = page.locator("#scored dd").all_inner_texts()
    return {n: float(v.split()[0]) for n, v in zip(names, values, strict=True)}


def test_lists_models_with_their_cards(page: Any, shoot: Any) -> None:
    buttons = page.get_by_role("navigation").get_by_role("button").all_inner_texts()
    names = ["adder", "probe", "tiny_features", "tiny_images", "tiny_labels", "tone"]
    assert buttons == names
    choose(page, "tiny_images")
    assert page.locator("#facts").inner_text().startswith("version 1 · rows [4, 4, 1] · ")
    card = page.locator("#card")
    assert card.get_by_role("heading", name="A tiny model").is_visible()
    assert card.locator("td").all_inner_texts() == ["bits/dim", "4.36"]
    assert "log_prob" in page.locator("#signatures").inner_text()
    choose(page, "adder")
    assert page.locator("#card").inner_text() == "This export has no card."
    assert page.locator("#facts").inner_text().startswith("version 10, 1 · ")
    assert visible(page, "sampling", "scoring") == [False, True]
    choose(page, "tiny_images")
    shoot("model")


def test_shows_samples_as_images(page: Any, running: Running, shoot: Any) -> None:
    choose(page, "tiny_images")
    page.get_by_label("rows").fill("5")
    page.get_by_label("seed").fill("-7")
    page.get_by_label("temperature").fill("0.8")
    page.get_by_role("button", name="Sample", exact=True).click()
    page.locator("#samples canvas").nth(4).wait_for()
    assert page.locator("#samples canvas").count() == 5
    assert re.fullmatch(r"\d+\.\d\d s", page.locator("#sample-status").inner_text())
    answer = requests.post(
        running.predict_url("tiny_images"),
        json={
            "signature_name": "sample",
            "inputs": {"seed": [[-7, row] for row in range(5)], "temperature": [0.8] * 5},
        },
        timeout=TIMEOUT,
    ).json()["outputs"]
    for row, image in enumerate(np.array(answer, np.uint8)):
        pixels = canvas_pixels(page, row)
        np.testing.assert_array_equal(pixels[..., :3], np.repeat(image, 3, axis=-1))
        assert (pixels[..., 3] == 255).all()
    shoot("samples")


def test_scores_a_chosen_image(page: Any, running: Running, tmp_path: Path, shoot: Any) -> None:
    image = np.arange(0, 256, 16, dtype=np.uint8).reshape(4, 4)
    Image.fromarray(image).save(tmp_path / "ramp.png")
    choose(page, "tiny_images")
    page.locator("#file").set_input_files(tmp_path / "ramp.png")
    found = scored(page)
    batch = image[None, ..., None]
    model = running.models["tiny_images"]
    assert found["log prob"] == pytest.approx(float(model.log_prob(batch)[0]), rel=1e-4)
    assert found["bits per dim"] == pytest.approx(float(model.bits_per_dim(batch)[0]), rel=1e-4)
    np.testing.assert_array_equal(canvas_pixels(page, 0, "#scored")[..., 0], image)
    shoot("score")


def test_scores_a_dropped_image(page: Any, running: Running, tmp_path: Path) -> None:
    """Of another size, in colour, inverted: what reaches the model is what is shown."""
    Image.new("RGB", (40, 30), (200, 200, 200)).save(tmp_path / "grey.png")
    choose(page, "tiny_images")
    page.get_by_label("invert").check()
    data = page.evaluate_handle(
        """(bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "grey.png", { type: "image/png" }));
          return data;
        }""",
        list((tmp_path / "grey.png").read_bytes()),
    )
    page.dispatch_event("#drop", "dragover", {"dataTransfer": data})
    assert page.locator("#drop.over").count() == 1
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    found = scored(page)
    assert page.locator("#drop.over").count() == 0
    batch = np.full([1, 4, 4, 1], 55, np.uint8)
    expected = float(running.models["tiny_images"].log_prob(batch)[0])
    assert found["log prob"] == pytest.approx(expected, rel=1e-4)


def test_scores_a_row_of_numbers(page: Any, running: Running) -> None:
    choose(page, "tiny_features")
    assert visible(page, "features-form", "drop") == [True, False]
    page.get_by_label("One row").fill("0.5, -1 2\n3;0.25")
    page.get_by_role("button", name="Score", exact=True).click()
    row = np.array([[0.5, -1, 2, 3, 0.25]], np.float32)
    expected = float(running.models["tiny_features"].log_prob(row)[0])
    assert scored(page)["log prob"] == pytest.approx(expected, rel=1e-4)


def test_conditional_models_take_a_context(page: Any, running: Running) -> None:
    choose(page, "tiny_labels")
    assert page.locator(".context-label:visible").count() == 2
    options = page.locator("#score-context option").all_inner_texts()
    assert options == ["0", "1", "2", "3"]
    page.locator("#score-context").select_option("2")
    page.get_by_label("One row").fill("0.5 -1 2")
    page.get_by_role("button", name="Score", exact=True).click()
    row, label = np.array([[0.5, -1, 2]], np.float32), np.array([2], np.int32)
    expected = float(running.models["tiny_labels"].log_prob(row, label)[0])
    assert scored(page)["log prob"] == pytest.approx(expected, rel=1e-4)
    page.get_by_role("button", name="Sample", exact=True).click()
    page.locator("#samples tr").nth(16).wait_for()
    assert page.locator("#samples thead th").all_inner_texts() == ["row", "x[0]", "x[1]", "x[2]"]
    assert page.locator("#samples tbody tr").first.locator("td").count() == 3
    choose(page, "tiny_images")
    assert page.locator(".context-label:visible").count() == 0


def test_a_context_of_numbers_has_fields(browser: Any, tmp_path: Path) -> None:
    columns = [
        {"name": "year", "kind": "real"},
        {"name": "place", "kind": "category", "categories": ["here", "there"]},
    ]
    model = zoo.create(
        "made", name="given", event_shape=(2,), hidden_units=(4,), context_columns=columns
    )
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 0.3))
    exporting.export(model, tmp_path, version=1)
    with serve(tmp_path) as addresses:
        page = browser.new_page()
        page.goto(addresses.rest)
        assert page.locator(".context-label:visible").count() == 0
        page.locator("#score-condition input").fill("0.5")
        page.locator("#score-condition select").select_option("there")
        page.get_by_label("One row").fill("0.5 -1")
        page.get_by_role("button", name="Score", exact=True).click()
        expected = float(model.log_prob(np.array([[0.5, -1.0]]), np.array([[0.5, 1.0]]))[0])
        assert scored(page)["log prob"] == pytest.approx(expected, rel=1e-4)
        page.get_by_role("button", name="Sample", exact=True).click()
        page.locator("#samples tbody tr").first.wait_for()
        page.close()


def test_plays_sounds(page: Any, shoot: Any) -> None:
    choose(page, "tone")
    assert visible(page, "sampling", "scoring") == [True, False]
    assert "nats\tof a whole sound" in page.locator("#signatures").inner_text()
    page.get_by_label("rows").fill("2")
    page.get_by_role("button", name="Sample", exact=True).click()
    players = page.locator("#samples audio")
    players.nth(1).wait_for()
    duration = page.evaluate(
        """() => new Promise((resolve, reject) => {
          const player = document.querySelector("#samples audio");
          if (player.readyState >= 1) resolve(player.duration);
          player.onloadedmetadata = () => resolve(player.duration);
          player.onerror = () => reject(new Error("no WAV file"));
        })"""
    )
    assert duration == pytest.approx(SECONDS, abs=0.01)
    shoot("sounds")


def test_says_what_went_wrong(page: Any, tmp_path: Path) -> None:
    choose(page, "tiny_features")
    status = page.locator("#score-status")
    page.get_by_label("One row").fill("1 2 three")
    page.get_by_role("button", name="Score", exact=True).click()
    page.get_by_text("Only numbers, with commas or spaces between.").wait_for()
    page.get_by_label("One row").fill("1 2 3")
    page.get_by_role("button", name="Score", exact=True).click()
    page.get_by_text("Input 'x' expects shape [?,5]; got [1,3]").wait_for()
    assert "wrong" in status.get_attribute("class")
    choose(page, "tiny_images")
    assert status.inner_text() == ""
    (tmp_path / "text.png").write_text("no image")
    page.locator("#file").set_input_files(tmp_path / "text.png")
    page.get_by_text("text.png is no image that this browser can read.").wait_for()


def test_an_answer_that_comes_late_is_not_shown(page: Any) -> None:
    """Of a model that is not the one shown any more."""
    held: list[Any] = []
    page.route("**/tiny_images:predict", lambda route: held.append(route))
    choose(page, "tiny_images")
    with page.expect_request("**/tiny_images:predict"):
        page.get_by_role("button", name="Sample", exact=True).click()
    page.get_by_text("working …").wait_for()
    with page.expect_event("requestfailed"):  # it is dropped
        choose(page, "tiny_features")
    page.get_by_role("button", name="Sample", exact=True).click()
    page.locator("#samples tr").nth(16).wait_for()
    assert page.locator("#samples canvas").count() == 0
    assert len(held) == 1


def test_pages_of_other_sites_cannot_use_the_server(
    browser: Any, running: Running, tmp_path: Path
) -> None:
    """A page of another origin posts as text, which needs no leave of the server.

    That origin is on this machine too: from elsewhere Chromium itself asks before it connects here.
    """
    (tmp_path / "index.html").write_text("<p>evil")
    page = browser.new_page()
    with Host(tmp_path) as evil:
        page.goto(evil.url)
        with page.expect_event("requestfailed") as failed:
            page.evaluate(
                """(url) => fetch(url, { method: "POST", mode: "no-cors", body: '{"inputs": [1]}' })
                     .then(() => null, () => null)""",
                running.predict_url("adder"),
            )
    # Chromium keeps the answer from the page; the server refuses to compute one.
    assert failed.value.failure.endswith("NotSameOrigin")
    sent = {"Origin": evil.url, "Sec-Fetch-Site": "same-site", "Content-Type": "text/plain"}
    answer = requests.post(running.predict_url("adder"), failed.value.post_data, headers=sent)
    assert answer.status_code == 403
    page.close()


@pytest.mark.parametrize("width", [360, 390])
def test_fits_a_narrow_screen(page: Any, shoot: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for name in ("tiny_labels", "tone", "tiny_images"):
        choose(page, name)
        page.get_by_role("button", name="Sample", exact=True).click()
        page.locator("#sample-status").get_by_text(" s").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        for control in page.locator("button:visible, select:visible, input:visible").all():
            box = control.bounding_box()
            assert box["height"] >= 16, "a finger needs room"
    shoot(f"narrow-{width}")


def test_an_example_row_is_scored(page: Any, running: Running) -> None:
    """A row that the model draws under the label: what is scored stands in the field."""
    choose(page, "tiny_labels")
    page.locator("#score-context").select_option("3")
    page.get_by_role("button", name="Example row").click()
    found = scored(page)
    row = [float(part) for part in page.get_by_label("One row").input_value().split(",")]
    batch, label = np.array([row], np.float32), np.array([3], np.int32)
    expected = float(running.models["tiny_labels"].log_prob(batch, label)[0])
    assert found["log prob"] == pytest.approx(expected, rel=1e-4)
    page.get_by_role("button", name="Example row").click()
    page.wait_for_function(
        "before => document.querySelector('#features').value !== before",
        arg=", ".join(map(str, row)),
    )


def test_an_example_image_and_a_sampled_one_are_scored(page: Any, running: Running) -> None:
    choose(page, "tiny_images")
    page.get_by_role("button", name="Example image").click()
    model = running.models["tiny_images"]
    for _ in range(2):
        found = scored(page)
        batch = canvas_pixels(page, 0, "#scored")[None, ..., :1]
        assert found["log prob"] == pytest.approx(float(model.log_prob(batch)[0]), rel=1e-4)
        page.get_by_role("button", name="Sample", exact=True).click()
        page.get_by_role("button", name="Score sample 3", exact=True).click()
        page.locator("#score-status").get_by_text(" s").wait_for()
    shown, chosen = (canvas_pixels(page, *one) for one in ((0, "#scored"), (2, "#samples")))
    np.testing.assert_array_equal(shown, chosen)


def test_columns_have_their_names(browser: Any, tmp_path: Path) -> None:
    """Those of the manifest, over the samples and beside the field."""
    names = ["age", "income", "pressure", "pulse", "weight"]
    folder = tmp_path / "people" / "1"
    exporting.export(tiny_exports.tiny_model("tiny_features"), tmp_path, version=1)
    (tmp_path / "tiny_features").rename(tmp_path / "people")
    tiny_exports.write_manifest(folder, media={"kind": "features", "columns": names})
    with serve(tmp_path) as addresses:
        page = browser.new_page()
        page.goto(addresses.rest)
        page.get_by_text(", ".join(names)).wait_for()
        page.get_by_role("button", name="Sample", exact=True).click()
        page.locator("#samples tbody tr").first.wait_for()
        assert page.locator("#samples thead th").all_inner_texts() == ["row", *names]
        page.close()


def test_all_of_it_works_by_keyboard(page: Any, running: Running) -> None:
    """Without a pointer: every stop of the tab key can be seen, and each form is sent by Enter."""
    stops: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.textContent.trim()"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", stops
        if stops[-1] == "tiny_labels":
            break
    assert stops[0] == "Skip to the model"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="tiny_labels", exact=True).wait_for()
    page.locator("#rows").focus()
    page.keyboard.press("Enter")
    page.locator("#samples tr").nth(16).wait_for()
    page.locator("#score-context").focus()
    page.keyboard.press("ArrowDown")
    page.get_by_label("One row").focus()
    page.keyboard.type("0.5 -1 2")
    page.keyboard.press("Control+Enter")
    row, label = np.array([[0.5, -1, 2]], np.float32), np.array([1], np.int32)
    expected = float(running.models["tiny_labels"].log_prob(row, label)[0])
    assert scored(page)["log prob"] == pytest.approx(expected, rel=1e-4)
    box = page.locator("#samples .table")
    assert box.get_attribute("tabindex") == "0"  # so that wide tables scroll


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_looks(browser: Any, running: Running, shoot_of: Any, scheme: str) -> None:
    """By day and by night: text keeps its contrast."""
    page = browser.new_page(color_scheme=scheme, viewport={"width": 1200, "height": 900})
    page.goto(running.url("/#tiny_features"))
    page.get_by_role("heading", name="tiny_features").wait_for()
    page.get_by_role("button", name="Example row").click()
    scored(page)
    for where in ("body", "#facts", "#sample-status", ".primary", "dt", "nav button"):
        ratio = page.locator(where).first.evaluate(_CONTRAST)
        assert ratio >= 4.5, (where, ratio)
    shoot_of(page, f"features-{scheme}")
    page.close()
