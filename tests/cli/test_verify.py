"""`zoo verify` and `zoo doctor`."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import refused, run, run_ok
from edits import flip
from packaging.requirements import Requirement

import zoo
from zoo import exporting, loading, registry
from zoo.cli import doctor
from zoo.evaluation import golden
from zoo.publishing import verify
from zoo.store.hashes import write_sha256sums
from zoo.store.weights import save_weights


class TestVerify:
    def test_all_published_models(self) -> None:
        lines = run_ok("verify").splitlines()
        assert [line.split()[0] for line in lines[1:]] == [
            "tiny_features",
            "tiny_images",
            "tiny_labels",
        ]
        assert lines[0].split() == ["name", "bytes", "files", "load", "golden"]
        assert all(line.split()[2:] == ["ok"] * 3 for line in lines[1:])

    @pytest.mark.parametrize("file", ["model.weights.h5", "card.md"])
    def test_a_flipped_byte_fails_and_the_others_are_still_checked(self, published, file) -> None:
        flip(published / "tiny_features" / file)
        result = run("verify", "--json", "--no-load")
        assert result.exit_code == 1
        found = {row["name"]: row for row in json.loads(result.stdout)}
        assert f"{file} has the SHA-256" in found["tiny_features"]["checks"][0]["detail"]
        assert [found[name]["ok"] for name in sorted(found)] == [False, True, True]

    def test_files_as_pinned_that_do_not_load_fail(self, published, monkeypatch) -> None:
        folder = published / "tiny_images"
        wrong = zoo.create("nice", event_shape=[4, 4, 1], hidden_units=[9], num_couplings=2)
        save_weights(wrong, folder / "model.weights.h5")
        files = write_sha256sums(folder)
        monkeypatch.setattr(
            "zoo.store.pins.pins", lambda: {"tiny_images": {"version": 1, "files": files}}
        )
        assert run("verify", "--no-load").exit_code == 0
        result = run("verify", "tiny_images")
        assert result.exit_code == 1
        assert "does not fit the model" in result.stdout

    def test_names(self) -> None:
        result = run("verify", "tiny_recipe")
        assert result.exit_code == 1
        assert "no published weights" in result.stdout
        assert "No model named" in refused(2, "verify", "tiny")
        assert "names, or --all" in refused(2, "verify", "tiny_images", "--all")
        assert "files alone" in refused(2, "verify", "--full", "--no-load")

    def test_other_answers_than_golden_fail(self, published, monkeypatch) -> None:
        folder = published / "tiny_images"
        answers = golden.read(folder)
        answers["log_prob"] = answers["log_prob"] * 1.01
        golden.write(folder, answers)
        files = write_sha256sums(folder)
        monkeypatch.setattr(
            "zoo.store.pins.pins", lambda: {"tiny_images": {"version": 1, "files": files}}
        )
        result = run("verify")
        assert result.exit_code == 1
        assert "tiny_images, golden failed: largest error" in result.stdout

    def test_an_answer_that_is_no_number_fails(self) -> None:
        for errors in ({"x": 0.1, "z": math.nan}, {"z": math.nan, "x": 3.0}):
            found = verify._judged(errors, "largest error")
            assert found == {
                "status": "failed",
                "detail": "largest error nan of the tolerance, in z",
            }
        assert verify._judged({"x": 1.0}, "")["status"] == "ok"

    def test_figures_and_export_come_again(self, published, data, monkeypatch) -> None:
        folder = published / "tiny_images"
        zoo.evaluate("tiny_images", out=folder / "metrics.json")

        def pins() -> dict[str, Any]:
            files = write_sha256sums(folder)
            return {"tiny_images": {"version": 1, "files": files}}

        monkeypatch.setattr("zoo.store.pins.pins", pins)
        lines = run_ok("verify", "--all").splitlines()
        assert lines[0].split()[2:] == ["files", "load", "golden", "metrics", "export"]
        assert lines[1].split()[2:] == ["ok"] * 5
        stored = json.loads((folder / "metrics.json").read_text())
        stored["metrics"]["bits_per_dim"]["value"] += 0.1
        (folder / "metrics.json").write_text(json.dumps(stored))
        result = run("verify", "tiny_images", "--full")
        assert result.exit_code == 1
        assert "tiny_images, metrics failed: largest change" in result.stdout

    @pytest.mark.parametrize(
        ("metric", "change", "status"),
        [
            ("bits_per_sample", 0.009, "ok"),
            ("bits_per_sample", 0.011, "failed"),
            ("recognised", 0.39, "ok"),  # of clips that another machine draws anew
            ("recognised", 0.41, "failed"),
        ],
    )
    def test_figures_of_drawn_clips_may_change_as_draws_do(
        self, metric: str, change: float, status: str, published, monkeypatch
    ) -> None:
        stored = {"split": "test", "metrics": {metric: {"value": 0.5, "two_standard_errors": 0.2}}}
        (published / "tiny_images" / "metrics.json").write_text(json.dumps(stored))
        found = {"metrics": {metric: {"value": 0.5 + change}}}
        monkeypatch.setattr("zoo.evaluation.evaluate", lambda *_, **__: found)
        files = write_sha256sums(published / "tiny_images")
        pinned = {"tiny_images": {"version": 1, "files": files}}
        monkeypatch.setattr("zoo.store.pins.pins", lambda: pinned)
        checks = verify.verify("tiny_images", ("metrics",)).checks
        assert [check.status for check in checks] == [status]

    @pytest.mark.parametrize("has_golden_rows", [True, False])
    def test_the_export_of_a_conditional_model_is_scored(
        self, has_golden_rows: bool, published, monkeypatch
    ) -> None:
        folder = published / "tiny_labels"
        if not has_golden_rows:
            (folder / golden.GOLDEN_FILE).unlink()
            files = write_sha256sums(folder)
            pinned = {"tiny_labels": {"version": 1, "files": files}}
            monkeypatch.setattr("zoo.store.pins.pins", lambda: pinned)
        found = verify.verify("tiny_labels", ("export",))
        assert [(check.name, check.status) for check in found.checks] == [("export", "ok")]

    def test_the_export_of_what_only_speaks_is_decoded(self, monkeypatch, tmp_path) -> None:
        voice = zoo.create(
            "parallel_wavenet",
            event_shape=(64,),
            layers_per_flow=(2, 2),
            residual_channels=4,
            skip_channels=4,
        )
        export = exporting.export
        monkeypatch.setattr(exporting, "export", lambda _, folder: export(voice, folder))
        monkeypatch.setattr(loading, "loaded", lambda _: voice)
        monkeypatch.setattr(loading, "resolve", lambda _: tmp_path)
        pinned = {"tiny_voice": {"version": 1, "files": {}}}
        monkeypatch.setattr("zoo.store.pins.pins", lambda: pinned)
        entry = dataclasses.replace(registry.get("tiny_labels"), name="tiny_voice")
        monkeypatch.setitem(registry.ENTRIES, "tiny_voice", entry)

        def verified() -> verify.Check:
            return verify.verify("tiny_voice", ("export",)).checks[0]

        check = verified()
        assert (check.status, check.detail.split()[0]) == ("ok", "decode")
        other = zoo.create("parallel_wavenet", **{**voice.config.to_dict(), "first_log_scale": -3})
        monkeypatch.setattr(exporting, "export", lambda _, folder: export(other, folder))
        assert verified().status == "failed"

    def test_nothing_is_published(self, monkeypatch) -> None:
        monkeypatch.setattr("zoo.store.pins.pins", dict)
        assert "nothing to verify" in run_ok("verify")


class TestDoctor:
    def test_this_machine_passes(self) -> None:
        found = {check["name"]: check for check in json.loads(run_ok("doctor", "--json"))}
        for name in ("python", "tensorflow", "keras", "cores", "cache directory", "keras backend"):
            assert found[name]["status"] == "ok", found[name]
        assert found["tensorflow"]["found"] == "2.21.0"
        assert found["checkpoint tiny_images"]["status"] == "ok"

    @pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warning", 0), ("failed", 1)])
    def test_a_failed_check_is_the_exit_code(self, monkeypatch, status: str, code: int) -> None:
        check = doctor.Check(name="thing", status=status, found="that", advice="do this")
        monkeypatch.setattr(doctor, "run", lambda: [check])
        result = run("doctor")
        assert result.exit_code == code
        assert result.stdout == f"{status}  thing  that\nthing: do this\n"

    def test_another_version_and_an_absent_package_fail(self, monkeypatch) -> None:
        from importlib import metadata

        def version(name: str) -> str:
            if name == "h5py":
                raise metadata.PackageNotFoundError(name)
            return "1.0"

        monkeypatch.setattr(metadata, "version", version)
        checks = {r.name: doctor._package(r) for r in doctor.requirements()}
        assert checks["h5py"].status == "failed"
        assert checks["h5py"].found == "not installed"
        assert checks["tensorflow"].status == "failed"
        assert checks["tensorflow"].found.startswith("1.0, tested with ")
        marked = Requirement('h5py>=3; extra == "datasets"')
        extra = doctor._package(marked, "datasets")
        assert (extra.status, extra.found) == ("warning", "not installed")
        assert extra.advice == "pip install 'density-zoo[datasets]'"
        assert doctor._package(marked).advice == "pip install 'h5py>=3'"

    def test_extras_are_looked_at_by_their_own_lines(self, monkeypatch) -> None:
        lines = ["a>=1", 'b; extra == "audio"', 'c; python_version < "3"', 'd; extra == "gs"']
        monkeypatch.setattr("importlib.metadata.requires", lambda name: lines)
        assert [r.name for r in doctor.requirements()] == ["a"]
        assert [r.name for r in doctor.requirements("audio")] == ["b"]

    def test_what_cannot_be_imported_is_a_failed_check(self, monkeypatch) -> None:
        def broken() -> None:
            raise ImportError("no TensorFlow")

        def unavailable(_: Any) -> bool:
            raise ImportError("no TFDS")

        monkeypatch.setattr("zoo.cli.publish.import_tensorflow", broken)
        monkeypatch.setattr("zoo.data.sources.available", unavailable)
        monkeypatch.setattr("zoo.data.sources.find_prepared", lambda _: None)
        monkeypatch.setitem(sys.modules, "tensorflow_probability", None)
        result = run("doctor", "--json")
        assert result.exit_code == 1
        found = {check["name"]: check for check in json.loads(result.stdout)}
        assert found["imports"]["status"] == "failed"
        assert found["dataset mnist:3.0.1"]["found"] == "no TFDS"
        assert found["python"]["status"] == "ok"

    def test_folders_that_are_missing_are_warnings(self, monkeypatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
        monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "no cache"))
        first, mnist, *_ = doctor._datasets()
        assert (first.name, first.status) == ("data directories", "warning")
        assert (mnist.status, mnist.found) == ("warning", "not prepared")
        monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path))
        assert {check.status for check in doctor._checkpoints()} == {"warning"}
        monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path / "none"))
        assert {check.status for check in doctor._checkpoints()} == {"failed"}
        (tmp_path / "file").touch()
        monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))
        assert doctor._cache().status == "warning"
