"""The demo, on tiny models and, where they are, on the real ones."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import drawn_from
import numpy as np
import pytest
import tiny_checkpoints
from PIL import Image

import zoo
from zoo.store import pins
from zoo.store.hashes import sha256_of

ROOT = Path(__file__).resolve().parent.parent


def load_tool(name: str) -> ModuleType:
    """A script of tools/ as a module."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # where dataclasses look their module up
    specification.loader.exec_module(module)
    return module


demo = load_tool("demo")


@pytest.fixture
def published(master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng) -> Path:
    """The tiny checkpoints, and rows of their shape in place of the packaged ones."""
    root, pins = master
    tiny_checkpoints.register(pins, monkeypatch, install=tmp_path / "install")
    monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path / "published"))
    rows = rng.integers(0, 256, [10, 4, 4, 1], dtype=np.uint8)
    monkeypatch.setattr(demo, "samples", lambda name: rows)
    return Path(shutil.copytree(root, tmp_path / "published"))


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


class TestDemo:
    def test_figures_beside_the_cards_and_pictures(self, published, tmp_path, capsys) -> None:
        assert demo.main(["tiny_images", "--out", str(tmp_path / "out")]) == 0
        lines = capsys.readouterr().out.splitlines()
        rows = demo.samples("mnist")
        bits = zoo.load("tiny_images").bits_per_dim(rows).numpy().mean()
        assert f"{bits:.4g} on 10 rows" in lines[1]
        assert "4.363 ± 0.012 on 10,000 rows" in lines[1]
        assert "1.25" in lines[1].split()
        names = ["samples_tiny_images.png", "interpolations.png"]
        assert lines[2:] == [str(tmp_path / "out" / name) for name in names]
        # 32 samples in 4 rows of 8, 3 pairs in rows of 8 steps; gaps of 2; twice as large.
        assert picture(tmp_path / "out" / "samples_tiny_images.png").shape == (52, 100)
        strip = picture(tmp_path / "out" / "interpolations.png")[::2, ::2, 0]
        assert strip.shape == (20, 50)
        for pair in range(3):
            top = 2 + 6 * pair
            for left, row in ((2, pair), (44, 3 + pair)):
                shown = strip[top : top + 4, left : left + 4].astype(int)
                assert np.abs(shown - rows[row, :, :, 0]).max() <= 1

    def test_pictures_say_which_weights_they_are_of(self, published, tmp_path) -> None:
        assert demo.main(["tiny_images", "--out", str(tmp_path / "out")]) == 0
        pinned = pins.pins()
        for path in (tmp_path / "out").iterdir():
            assert drawn_from.stale(path, pinned) == ""
            with Image.open(path) as image:
                name, digest = image.info["weights"].split()
            assert digest == sha256_of(published / name / "model.weights.h5")

    def test_log_probs_of_the_paper_are_in_the_papers_space(self, published) -> None:
        model = zoo.load("tiny_images")
        rows = demo.samples("mnist")
        found = demo._scores(model, rows, "log_prob_paper")
        # Pixels divided by 256: D log 256 between the two spaces.
        expected = model.log_prob(rows).numpy() + 16 * np.log(256.0)
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_an_absent_checkpoint_is_said_and_the_others_are_shown(
        self, published, tmp_path, capsys
    ) -> None:
        code = demo.main(["tiny_recipe", "tiny_images", "--out", str(tmp_path / "out")])
        captured = capsys.readouterr()
        assert code == 1
        assert "tiny_recipe has no published weights" in captured.err
        assert "tiny_images" in captured.out
        assert (tmp_path / "out" / "samples_tiny_images.png").is_file()

    def test_nothing_to_show(self, published, tmp_path, capsys) -> None:
        assert demo.main(["tiny_recipe", "tiny_imges", "--out", str(tmp_path / "out")]) == 1
        assert "Did you mean 'tiny_images'" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    @pytest.mark.slow
    def test_the_published_models(self, require_checkpoint, tmp_path, capsys) -> None:
        for name in demo.NAMES:
            require_checkpoint(name)
        assert demo.main(["--out", str(tmp_path)]) == 0
        for line, name in zip(capsys.readouterr().out.splitlines()[1:], demo.NAMES, strict=False):
            assert line.startswith(name)
