"""What does not fit is refused, with the reason, before anything is run."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tiny_steps import TINY

from zoo.core.recipe import variant
from zoo.errors import (
    ConfigError,
    ExportError,
    FormatError,
    IntegrityError,
    MissingCheckpointError,
    TrainingError,
    WeightsMismatchError,
)
from zoo.training import portable, state
from zoo.training.portable import arrays, exporting, importing


@pytest.fixture
def folder(exported: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of an exported step, to be spoilt."""
    return shutil.copytree(exported("made"), tmp_path / "made")


@pytest.fixture
def run(runner: ModuleType, folder: Path, tmp_path: Path) -> Path:
    """What the runner leaves after five steps of it."""
    out = tmp_path / "run"
    assert runner.main([str(folder), "--out", str(out), "--steps", "5"]) == 0
    return out


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes a JSON file; a manifest's new hash goes into the progress.json beside it."""
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    progress = path.with_name(importing.PROGRESS_FILE)
    if path.name == exporting.MANIFEST_FILE and progress.exists():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        edit(progress, lambda p: p.update(manifest_sha256=digest))


# The runner.

OF_MANIFEST = {
    "format": (lambda m: m.update(format_version=9), "format version 9; this runner reads 1"),
    "older jax": (
        lambda m: m["jax"].update(version="99.1.0"),
        "exported by jax 99.1.0, and this host has the older",
    ),
    "convention": (
        lambda m: m["jax"].update(calling_convention=99),
        "calling convention 99; jax .* runs .* install jax",
    ),
    "platform": (lambda m: m.update(platforms=["tpu"]), "exported for tpu, and this host is cpu"),
    "another model": (
        lambda m: m["state"]["arrays"][0].update(shape=[7, 7]),
        "train.jax takes .* arrays and the manifest lists",
    ),
    "another batch": (
        lambda m: m["functions"]["train"]["arguments"][0].update(shape=[32, 3]),
        r"\(\(16, 3\), 'float32'\), not \(\(32, 3\), 'float32'\)",
    ),
    "fewer bytes than arrays": (
        lambda m: m["data"]["train"]["arrays"][0].update(shape=[97, 3]),
        "hold .* bytes; expected",
    ),
    "no losses": (lambda m: m.update(reference=[]), "without --reference-steps"),
}


def refusal(runner: ModuleType, capsys: Any, *arguments: str) -> str:
    """The reason that the runner gives for running nothing."""
    assert runner.main(list(arguments)) == 2
    printed = capsys.readouterr()
    assert "step 0:" not in printed.out  # no step was run
    return printed.err


@pytest.mark.parametrize("case", OF_MANIFEST)
def test_a_manifest_that_does_not_fit(
    case: str, folder: Path, runner: ModuleType, capsys: Any
) -> None:
    change, reason = OF_MANIFEST[case]
    edit(folder / "manifest.json", change)
    assert re.search(reason, refusal(runner, capsys, str(folder), "--check"))


def test_a_file_that_is_missing_or_damaged(folder: Path, runner: ModuleType, capsys: Any) -> None:
    for file in ("train.jax", "state/state-00.bin", "data/train-00.bin"):
        path = folder / file
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        reason = refusal(runner, capsys, str(folder), "--check")
        assert f"{path} is not the file that was written" in reason
        path.unlink()
        assert f"{path} is missing" in refusal(runner, capsys, str(folder), "--check")
        path.write_bytes(content)
    (folder / "manifest.json").write_text("{")
    assert "is not JSON" in refusal(runner, capsys, str(folder), "--check")
    (folder / "manifest.json").unlink()
    assert "is missing" in refusal(runner, capsys, str(folder), "--check")


def test_a_run_of_another_export_is_not_gone_on_with(
    run: Path, folder: Path, runner: ModuleType, capsys: Any
) -> None:
    edit(folder / "manifest.json", lambda m: m.update(name="another"))
    reason = refusal(runner, capsys, str(folder), "--out", str(run))
    assert "is a run of another export" in reason


def test_two_runs_in_one_folder(
    folder: Path, runner: ModuleType, capsys: Any, tmp_path: Path
) -> None:
    with runner.locked(tmp_path / "run"):
        reason = refusal(runner, capsys, str(folder), "--out", str(tmp_path / "run"))
    assert "Another run is writing to" in reason


def test_a_loss_that_is_not_finite_ends_the_run(
    folder: Path, runner: ModuleType, capsys: Any, tmp_path: Path
) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = manifest["data"]["train"]
    x, context = arrays.read(folder / "data", entry["arrays"], entry["parts"])
    x = x.copy()
    x[::16] = np.nan
    spoilt = arrays.write(
        folder / "data", "train", [("x", x), ("context", context)], part_bytes=10**6
    )
    edit(folder / "manifest.json", lambda m: m["data"].update(train=spoilt))
    assert runner.main([str(folder), "--out", str(tmp_path / "run")]) == 1
    assert re.search(r"Step \d+: loss nan nats", capsys.readouterr().err)


# The import.


def test_an_import_of_what_does_not_fit(run: Path, tmp_path: Path) -> None:
    def bring(name: str = "made") -> None:
        portable.import_step(run, tmp_path / "back", name=name)

    with pytest.raises(TrainingError, match="is a run of made, not of maf_magic"):
        bring("maf_magic")
    good = (run / "manifest.json").read_text()
    for change, error, reason in (
        (lambda m: m.update(format_version=9), FormatError, "format version 9; this zoo reads 1"),
        (
            lambda m: m["recipe"]["config"].update(hidden_units=[9]),
            WeightsMismatchError,
            "'shape': .* \\(exported: ",
        ),
        (
            lambda m: m["state"]["arrays"].pop(),
            WeightsMismatchError,
            "state has .* variables, the recipe's model and optimiser have",
        ),
    ):
        edit(run / "manifest.json", change)
        with pytest.raises(error, match=reason):
            bring()
        (run / "manifest.json").write_text(good)
        edit(run / "manifest.json", lambda m: None)
    (run / "manifest.json").write_text(good + " ")
    with pytest.raises(FormatError, match="of another export"):
        bring()
    assert [path.name for path in (tmp_path / "back").iterdir()] == [".lock"]


def test_an_import_with_parts_missing(run: Path, tmp_path: Path) -> None:
    (weights,) = run.glob("weights-*")
    (state_folder,) = run.glob("state-*")
    part = weights / "part-00.bin"
    content = part.read_bytes()
    part.write_bytes(content[:-1])
    with pytest.raises(IntegrityError, match="truncated"):
        portable.import_step(run, tmp_path / "back", name="made")
    part.unlink()
    with pytest.raises(MissingCheckpointError, match=r"part-00\.bin is missing"):
        portable.import_step(run, tmp_path / "back", name="made")
    part.write_bytes(content)
    (state_folder / "part-00.bin").unlink()
    with pytest.raises(MissingCheckpointError, match=r"part-00\.bin is missing"):
        portable.import_step(run, tmp_path / "back", name="made")
    shutil.rmtree(state_folder)  # left behind on purpose: the weights alone
    portable.import_step(run, tmp_path / "back", name="made")
    assert not (tmp_path / "back" / state.STATE_FILE).exists()
    assert (tmp_path / "back" / "model.weights.h5").exists()
    shutil.rmtree(weights)
    edit(run / "progress.json", lambda p: p.update(weights=None))
    with pytest.raises(MissingCheckpointError, match="neither weights of a validation nor"):
        portable.import_step(run, tmp_path / "back", name="made")
    with pytest.raises(MissingCheckpointError, match=r"its --out"):
        portable.import_step(tmp_path, tmp_path / "back", name="made")


def test_an_import_does_not_replace_a_run_that_is_ahead(
    run: Path, folder: Path, runner: ModuleType, tmp_path: Path
) -> None:
    ahead, back = tmp_path / "ahead", tmp_path / "back"
    assert runner.main([str(folder), "--out", str(ahead), "--steps", "7"]) == 0
    portable.import_step(ahead, back, name="made")
    with pytest.raises(TrainingError, match="at step 7, and what is imported ends at step 5"):
        portable.import_step(run, back, name="made")


# The export.


def test_an_export_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def export(recipe: Any = TINY["made"], **options: Any) -> None:
        options = {"name": "made", "run_folder": tmp_path / "none", **options}
        portable.export_step(recipe, tmp_path / "new", **options)

    with pytest.raises(ExportError, match="cuda, rocm, tpu, cpu; got gpu"):
        export(platforms=["gpu"])
    with pytest.raises(ExportError, match="set bucket_size to 0"):
        export(variant(TINY["made"], bucket_size=8))
    with pytest.raises(ConfigError, match="parts of at least one byte"):
        export(data_part_bytes=0)
    whitened = {"event_shape": [3], "preprocessing": {"whitening": "zca"}}
    with pytest.raises(ConfigError, match="TF32 would round the whitening"):
        export(variant(TINY["made"], config=whitened, conditioner_dtype="tensorfloat32"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"pip install 'density-zoo\[portable\]'"):
        export()
    assert not (tmp_path / "new").exists()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file").touch()
    with pytest.raises(ExportError, match="is not empty"):
        export()


def test_parts_are_bounded_and_cross_arrays(tmp_path: Path, rng: np.random.Generator) -> None:
    given = [
        ("a", rng.normal(size=(5, 3)).astype("float32")),
        ("b", np.array(7, np.int64)),
        ("empty", np.ones((0, 4), np.uint8)),
        ("zeros", np.zeros((2, 2), np.float32)),  # no bytes
        ("c", rng.integers(0, 256, (11,)).astype(np.uint8)),
    ]
    index = arrays.write(tmp_path, "part", given, part_bytes=16)
    assert [part["size"] for part in index["parts"]] == [16, 16, 16, 16, 15]
    for (_, expected), found in zip(
        given, arrays.read(tmp_path, index["arrays"], index["parts"]), strict=True
    ):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(FormatError, match="end before the array 'b'"):
        arrays.read(tmp_path, index["arrays"], index["parts"][:-1])
    with pytest.raises(FormatError, match="79 bytes; their arrays have 68"):
        arrays.read(tmp_path, index["arrays"][:-1], index["parts"])
