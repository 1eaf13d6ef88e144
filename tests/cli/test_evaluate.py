"""`zoo evaluate` and `zoo export`."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from commands import refused, run, run_ok

import zoo
from zoo import exporting
from zoo.errors import ExportError, NotPortableError
from zoo.evaluation.task import Measured
from zoo.store import pins


class TestEvaluate:
    def test_figures_file_and_paper(self, data) -> None:
        text = run_ok("evaluate", "tiny_images", "--out", "metrics.json")
        stored = json.loads(Path("metrics.json").read_text())
        bits = zoo.load("tiny_images").bits_per_dim(data["test"], seed=0).numpy().mean()
        assert stored["metrics"]["bits_per_dim"]["value"] == pytest.approx(float(bits), rel=1e-5)
        assert stored["count"] == 16
        assert "tiny_images on mnist:3.0.1, test, 16 rows" in text
        assert "paper: 1.25 bits_per_dim (table 1)" in text
        assert text.splitlines()[-1] == "written to metrics.json"

    def test_certify(self, data) -> None:
        text = run_ok("evaluate", "tiny_images", "--certify")
        assert "float32 conditioners: max |x - g(f(x))| " in text
        assert "bfloat16 conditioners: " in text
        assert "uniform noise (64): " in text

    def test_models_without_a_bijector_are_not_certified(self, data, monkeypatch) -> None:
        monkeypatch.setattr("zoo.evaluation.certificate.applies", lambda _: False)
        text = run_ok("evaluate", "tiny_images", "--certify")
        assert "not certified: no bijector between data and latents" in text

    def test_a_figure_that_is_no_number(self, data, monkeypatch) -> None:
        figures = {"bits_per_dim": {"value": math.nan}, "log_prob_paper": {"value": 1.0}}
        found = Measured(figures, "")
        monkeypatch.setattr("zoo.evaluation.density.density_metrics", lambda *_: found)
        text = refused(1, "evaluate", "tiny_images", "--out", "m.json")
        assert "bits_per_dim of tiny_images on mnist is nan" in text
        assert not Path("m.json").exists()

    def test_a_seed_out_of_range(self, data) -> None:
        result = run("evaluate", "tiny_images", "--seed", -1)
        assert result.exit_code == 2
        assert "-1 is not in the range 0<=x<=2147483647" in result.stderr

    def test_json_split_and_limit(self, data) -> None:
        options = ("--split", "validation", "--limit", 3, "--json")
        result = json.loads(run_ok("evaluate", "tiny_images", *options))
        bits = zoo.load("tiny_images").bits_per_dim(data["validation"][:3], seed=0).numpy().mean()
        assert result["metrics"]["bits_per_dim"]["value"] == pytest.approx(float(bits), rel=1e-5)

    def test_weights_of_a_run(self, data, published: Path) -> None:
        weights = published / "tiny_images"
        given = json.loads(run_ok("evaluate", "tiny_recipe", "--weights", weights, "--json"))
        named = json.loads(run_ok("evaluate", "tiny_images", "--json"))
        assert given["metrics"] == named["metrics"]

    def test_a_folder_in_place_of_a_name(self, data, published: Path) -> None:
        text = run_ok("evaluate", published / "tiny_images")
        named = run_ok("evaluate", "tiny_images")
        assert text.splitlines()[:3] == named.splitlines()[:3]
        assert "paper: " in text

    def test_an_absent_dataset_and_a_split_that_is_none(self, monkeypatch, tmp_path) -> None:
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
        assert "mnist 3.0.1 is not prepared" in refused(2, "evaluate", "tiny_images")
        assert "got 'tset'" in refused(2, "evaluate", "tiny_images", "--split", "tset")


class TestExport:
    @pytest.fixture
    def exported(self, monkeypatch) -> list[tuple]:
        """(name, path, version, format, overwrite) of every export asked for; files appear."""

        calls: list[tuple] = []

        def export(
            name: str, path: str, version: int, *, format: str, overwrite: bool, **_: Any
        ) -> str:
            calls.append((name, path, version, format, overwrite))
            if name == "broken":
                raise ExportError("no space left")
            folder = Path(path, name, str(version))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "saved_model.pb").touch()
            return str(folder)

        monkeypatch.setattr(exporting, "export", export)
        return calls

    def test_one_model(self, exported) -> None:
        assert run_ok("export", "tiny_images") == "export/tiny_images/1\n"
        run_ok("export", "tiny_images", "--path", "base", "--version", 4, "--overwrite")
        assert exported == [
            ("tiny_images", "export", 1, "savedmodel", False),
            ("tiny_images", "base", 4, "savedmodel", True),
        ]

    def test_the_configuration_of_a_server_lies_beside_the_models(self, exported, tmp_path) -> None:
        run_ok("export", "tiny_images", "--path", tmp_path)
        run_ok("export", "tiny_labels", "--path", tmp_path)
        (tmp_path / "README.md").write_text("mine")
        refused(2, "export", "broken", "--path", tmp_path)
        config = (tmp_path / "models.config").read_text()
        assert re.findall(r'name: "(\w+)"', config) == ["tiny_images", "tiny_labels"]
        assert (tmp_path / "docker-compose.yml").is_file()
        assert (tmp_path / "README.md").read_text() == "mine"

    @pytest.mark.parametrize("format", ["tflite", "onnx"])
    def test_other_formats(self, exported, tmp_path, format: str) -> None:
        run_ok("export", "tiny_images", "--path", tmp_path, "--format", format)
        assert exported == [("tiny_images", str(tmp_path), 1, format, False)]
        assert not (tmp_path / "models.config").exists()

    def test_all_have_the_version_of_their_weights(self, exported, monkeypatch, tmp_path) -> None:
        later = {**pins.pins()}
        later["tiny_labels"] = {**later["tiny_labels"], "version": 3}
        monkeypatch.setattr("zoo.store.pins.pins", lambda: later)
        run_ok("export", "--all", "--path", tmp_path)
        assert [call[::2] for call in exported] == [
            ("tiny_features", 1, False),
            ("tiny_images", 1, False),
            ("tiny_labels", 3, False),
        ]

    def test_all_leaves_versions_that_exist(self, exported, tmp_path) -> None:
        run_ok("export", "tiny_images", "--path", tmp_path)
        printed = run_ok("export", "--all", "--path", tmp_path)
        assert f"{tmp_path / 'tiny_images' / '1'} exists; --overwrite replaces it" in printed
        assert [call[0] for call in exported] == ["tiny_images", "tiny_features", "tiny_labels"]
        run_ok("export", "--all", "--path", tmp_path, "--overwrite")
        assert len(exported) == 6

    def test_all_passes_over_what_cannot_leave_tensorflow(
        self, exported, monkeypatch, tmp_path
    ) -> None:

        write = exporting.export

        def export(name: str, *args: Any, **options: Any) -> str:
            if name == "tiny_images":
                raise NotPortableError("No signature of tiny_images can be converted")
            return write(name, *args, **options)

        monkeypatch.setattr(exporting, "export", export)
        result = run("export", "--all", "--path", tmp_path, "--format", "onnx")
        assert result.exit_code == 0
        assert [call[0] for call in exported] == ["tiny_features", "tiny_labels"]
        assert result.stderr == "zoo: No signature of tiny_images can be converted\n"
        text = refused(2, "export", "tiny_images", "--path", tmp_path, "--format", "onnx")
        assert "can be converted" in text

    def test_nothing_exported_leaves_nothing(self, exported, tmp_path) -> None:
        refused(2, "export", "broken", "--path", tmp_path)
        assert list(tmp_path.glob("*.config")) == []

    def test_a_name_or_all(self, exported) -> None:
        assert "--all" in refused(2, "export")
        assert "--all" in refused(2, "export", "tiny_images", "--all")
        assert exported == []
