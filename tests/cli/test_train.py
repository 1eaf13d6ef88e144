"""`zoo train` and `zoo step`."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_steps
from commands import refused, run, run_ok

from zoo.cli import train as train_command
from zoo.errors import InvalidInputError
from zoo.store.hashes import sha256_of
from zoo.store.weights import WEIGHTS_FILE


class TestTrain:
    def test_train_score_and_resume(self, data, images: np.ndarray) -> None:
        options = ("--set", "max_epochs=1", "--set", "optimizer.learning_rate=0.002")
        result = run("train", "tiny_recipe", *options)
        assert result.exit_code == 0, result.output
        assert "finished after step 4 (epoch 1)" in result.stdout
        assert "weights, history and state in runs/tiny_recipe" in result.stdout
        assert "tiny_recipe: step 1 of 4, nats" in result.stderr
        recipe = json.loads(Path("runs/tiny_recipe/recipe.json").read_text())
        assert recipe["training"]["max_epochs"] == 1
        np.save("a.npy", images)
        assert "mean" in run_ok("score", "runs/tiny_recipe", "a.npy")
        assert "--resume" in refused(1, "train", "tiny_recipe")
        assert "finished after step 4 (epoch 1)" in run_ok("train", "tiny_recipe", "--resume")
        for more in (("--set", "max_epochs=2"), ()):  # the run's recipe, at another rate, goes on
            text = run_ok("train", "tiny_recipe", "--resume", *more)
            assert "finished after step 8 (epoch 2)" in text
        recipe = json.loads(Path("runs/tiny_recipe/recipe.json").read_text())
        assert recipe["training"]["max_epochs"] == 2
        assert recipe["training"]["optimizer"]["learning_rate"] == 0.002
        record = Path("runs/tiny_recipe/run.json")
        record.write_text(json.dumps({**json.loads(record.read_text()), "name": "another"}))
        text = refused(1, "train", "tiny_recipe", "--resume")
        assert "a recipe with other optimizer; a run resumes under its own recipe" in text
        record.unlink()  # killed before it ended once
        assert "with the --set that" in refused(1, "train", "tiny_recipe", "--resume")
        assert "epoch 2" in run_ok("train", "tiny_recipe", "--resume", *options[2:])

    def test_a_folder_of_another_model_is_not_resumed(self, data) -> None:
        run_ok("train", "tiny_recipe", "--max-seconds", 0, "--out", "one")
        text = refused(1, "train", "tiny_features", "--resume", "--out", "one")
        assert "belongs to a recipe with other" in text

    def test_a_run_is_plotted(self, data) -> None:
        run_ok("train", "tiny_recipe", "--set", "max_epochs=1")
        assert run_ok("plot", "runs/tiny_recipe") == "runs/tiny_recipe/history.png\n"
        assert Path("runs/tiny_recipe/history.png").read_bytes().startswith(b"\x89PNG")
        assert run_ok("plot", "runs/tiny_recipe", "-o", "a.png") == "a.png\n"
        assert "history.csv does not exist" in refused(1, "plot", "nowhere")

    def test_another_folder_and_a_time_limit(self, data) -> None:
        text = run_ok("train", "tiny_recipe", "--out", "elsewhere", "--max-seconds", 0)
        assert "time limit after step 1 " in text
        assert Path("elsewhere/state.npz").is_file()

    def test_a_folder_of_something_else_wants_overwrite(self, data) -> None:
        Path("notes").mkdir()
        Path("notes/a.txt").write_text("mine")
        options = ("train", "tiny_recipe", "--out", "notes", "--max-seconds", 0)
        assert "holds something that is no run, a.txt" in refused(1, *options)
        assert "time limit after step 1 " in run_ok(*options, "--overwrite")
        assert Path("notes/a.txt").read_text() == "mine"
        assert "leave out --overwrite" in refused(2, *options, "--overwrite", "--resume")

    def test_from_the_weights_of_another_run(self, data) -> None:
        run_ok("train", "tiny_recipe", "--set", "max_epochs=1", "--out", "first")
        starts = []
        for start in ("first", "first/model.weights.h5"):
            out = Path(f"second-{len(starts)}")
            run_ok(
                "train", "tiny_recipe", "--set", "max_epochs=1", "--set",
                "optimizer.learning_rate=0", "--set", "ema_decay=0", "--from", start, "--out", out,
            )  # fmt: skip
            starts.append((out / WEIGHTS_FILE).read_bytes())
            origin = json.loads((out / "run.json").read_text())["started_from"]
            assert origin["sha256"] == sha256_of("first/model.weights.h5")
            assert origin["name"] == "first"
        assert json.loads(Path("first/run.json").read_text())["started_from"] is None
        assert starts == [Path("first", WEIGHTS_FILE).read_bytes()] * 2
        assert "no published weights" in refused(
            1, "train", "tiny_recipe", "--from", "tiny_recipe", "--out", "third"
        )
        assert "--from: no folder runs/typo" in refused(
            2, "train", "tiny_recipe", "--from", "runs/typo", "--out", "third"
        )

    def test_a_step_goes_out_and_its_run_comes_back(self, data, images: np.ndarray) -> None:
        pytest.importorskip("jax", reason="the extra 'portable' is not installed")
        if not tiny_steps.RUNNER.is_file():
            pytest.skip("tools/ is not part of an installation")
        text = run_ok(
            "step", "export", "tiny_recipe", "step", "--set", "max_epochs=1",
            "--platforms", "cpu, cuda", "--reference-steps", 2, "--part-size", "0.0005",
        )  # fmt: skip
        assert text == "step\n"
        manifest = json.loads(Path("step/manifest.json").read_text())
        assert manifest["platforms"] == ["cpu", "cuda"]
        assert len(manifest["reference"]) == 2
        assert [part["size"] for part in manifest["data"]["train"]["parts"]] == [500, 12]
        command = [sys.executable, str(tiny_steps.RUNNER), "step", "--out", "back"]
        subprocess.run(command, check=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
        text = run_ok("step", "import", "tiny_recipe", "back")
        assert "finished after step 4 (epoch 1)" in text
        np.save("a.npy", images)
        assert "mean" in run_ok("score", "runs/tiny_recipe", "a.npy")
        assert "is a run of tiny_recipe" in refused(1, "step", "import", "tiny_images", "back")

    def test_a_run_that_did_not_come_back_is_named(self) -> None:
        assert "its --out" in refused(1, "step", "import", "tiny_recipe", "back")

    @pytest.mark.parametrize(
        "command", [("train", "tiny_recipe"), ("step", "export", "nice_mnist", "x")]
    )
    def test_a_resumed_run_has_weights_of_its_own(self, command: tuple[str, ...]) -> None:
        assert "leave out --from" in refused(2, *command, "--resume", "--from", "nice_mnist")

    def test_bad_overrides_and_nothing_to_resume(self, data) -> None:
        assert "No field 'batch'" in refused(2, "train", "tiny_recipe", "--set", "batch=3")
        assert "must be of type int" in refused(
            2, "train", "tiny_recipe", "--set", "batch_size=many"
        )
        assert "Nothing to resume" in refused(1, "train", "tiny_recipe", "--resume")

    @pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
    def test_a_signal_is_the_exit_code(self, monkeypatch, name: str, code: int) -> None:
        from zoo import training

        stopped = training.TrainingResult(
            folder=Path("runs/x"),
            step=3,
            epoch=0,
            best_step=0,
            best_validation_nats=math.inf,
            seconds=1.0,
            reason=f"signal {name}",
        )
        monkeypatch.setattr(training, "train", lambda *args, **kwargs: stopped)
        result = run("train", "tiny_recipe")
        assert result.exit_code == code
        assert f"signal {name} after step 3" in result.stdout
        assert "best validation" not in result.stdout

    def test_the_strategy_is_made_and_trained_under(self, data, monkeypatch) -> None:
        from zoo import training
        from zoo.training import devices

        asked: list[Any] = []

        def create(*args: Any, **options: Any) -> str:
            asked.append((args, options))
            return "strategy"

        def train(*_: Any, **options: Any) -> Any:
            asked.append(options["strategy"])
            raise InvalidInputError("enough")

        monkeypatch.setattr(devices, "create", create)
        monkeypatch.setattr(training, "train", train)
        options = ("--strategy", "tpu", "--tpu", "v5", "--tpu-zone", "eu", "--worker-timeout", 9)
        assert refused(2, "train", "tiny_recipe", *options) == "zoo: enough\n"
        made = {"replicas": 0, "tpu": "v5", "zone": "eu", "worker_timeout": 9.0}
        assert asked == [(("tpu",), made), "strategy"]
        assert refused(2, "train", "tiny_recipe") == "zoo: enough\n"
        assert asked[2][0] == ("auto",)
        assert asked[2][1]["worker_timeout"] == devices.WORKER_TIMEOUT == 300.0

    def test_a_strategy_that_cannot_be_is_refused(self, data) -> None:
        text = refused(2, "train", "tiny_recipe", "--strategy", "all")
        assert "out of auto, one, mirrored, multiworker, tpu; got 'all'" in text

    def test_without_a_terminal_a_line_a_minute(self, monkeypatch, capsys) -> None:
        now = 100.0
        monkeypatch.setattr(train_command.time, "monotonic", lambda: now)
        with train_command.training_display("name") as progress:
            for step in range(1, 200):
                now = 100.0 + step
                progress(step, 500, {"nats": 2.5, "gradient_norm": 3.0})
        lines = capsys.readouterr().err.splitlines()
        assert [line.split()[2] for line in lines] == ["1", "61", "121", "181"]
        assert lines[0] == "name: step 1 of 500, nats 2.5, gradient norm 3"

    def test_on_a_terminal_a_bar_on_stderr(self, monkeypatch, capsys) -> None:
        monkeypatch.setattr(train_command, "interactive", lambda: True)
        monkeypatch.setattr("zoo.media.console.interactive", lambda: True)
        with train_command.training_display("name") as progress:
            progress(500, 500, {"nats": 2.5})
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "500/500" in captured.err
