"""What a model says of itself: `print(model)` and `model.summary()`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import tiny_checkpoints

import zoo


@pytest.fixture
def published(master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root, pins = master
    tiny_checkpoints.register(pins, monkeypatch, install=tmp_path / "install")
    monkeypatch.setenv("ZOO_CHECKPOINTS", str(root))
    return root


def test_a_fresh_model_says_its_rows_and_size() -> None:
    model = zoo.create("maf", **tiny.TINY["maf"])
    count = model.count_params()
    assert repr(model) == f"<MAF: float32 [3] given int32 [] below 2, {count:,} parameters>"


def test_a_published_model_says_which_it_is_until_its_weights_change(published: Path) -> None:
    model = zoo.load("tiny_images")
    facts = f"uint8 [4, 4, 1], {model.count_params():,} parameters"
    assert repr(model) == f"<NICE tiny_images, version 1: {facts}, bits_per_dim 4.363 ± 0.012>"
    rows = np.zeros([8, 4, 4, 1], np.uint8)
    model.compile()
    model.evaluate(rows, verbose=0)
    assert "4.363" in repr(model)
    for _ in range(2):
        model.fit(rows, verbose=0)
        assert repr(model) == f"<NICE tiny_images, version 1, trained since: {facts}>"
    other = zoo.load("tiny_images")
    other.load_weights(published / "tiny_images" / "model.weights.h5")
    assert repr(other) == f"<NICE: {facts}>"
    assert repr(zoo.load("tiny_images", weights=False)) == f"<NICE: {facts}>"


def test_a_folder_is_called_by_its_path(published: Path) -> None:
    folder = published / "tiny_features"
    assert repr(zoo.load(folder)).startswith(f"<NICE {folder}: float32 [5], ")


@pytest.mark.parametrize("family", ["nice", "maf", "nsf", "vae", "idf", "wavenet"])
def test_a_summary_has_shapes(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")  # or the table is cut
    model, lines = zoo.create(family, **tiny.TINY[family]), []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    rows = [line for line in text.splitlines() if any(f"{x.name} (" in line for x in model.layers)]
    assert len(rows) == len(model.layers)
    assert [line for line in rows if "?" in line] == []
    assert all("(" in line.split("│")[2] for line in rows)
    model.summary(print_fn=lambda line: None)  # again: nothing was left behind


def test_shapes_are_those_of_the_calls() -> None:
    from zoo.kinds.summary import layer_shapes

    model = zoo.create("vae", **tiny.TINY["vae"])
    shapes = layer_shapes(model)
    assert shapes["posterior"] == (None, 6)  # mean and deviation of 3 latents
    assert all("call" not in vars(layer) for layer in model.layers)
