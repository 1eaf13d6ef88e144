"""`tools/torture.py` finds a lost state, and finds none where the training is sound."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest
import torture

import zoo

ROOT = Path(zoo.__file__).parent.parent


def strike(fault: str) -> None:
    """The tool, in a process that has imported TensorFlow and not started it."""
    sys.exit(torture.main(["--kills", "1", "--only", fault]))


def assert_passed(output: str, first: str) -> None:
    (line,) = [line for line in output.splitlines() if line.startswith("|")]
    assert line.startswith(first)
    assert line.endswith("| yes |")


def test_a_kill_changes_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, torture.IN_NAMESPACE: "0"}
    process = forked.Process(strike, "kill", errors=tmp_path / "errors", env=environment)
    with contextlib.closing(process):
        output = process.stdout.read()
        assert process.wait(timeout=550) == 0, output + (tmp_path / "errors").read_text()
    assert_passed(output, "| `kill -9` at random moments | 1 kills, ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "first"),
    [
        ("stages", "| `kill -9` while a model is fitted in stages | 1 kills, "),
        ("corrupt", "| the last state damaged | truncated, emptied, a byte flipped"),
        ("second", "| two trainings on one folder | the second is"),
    ],
)
def test_a_fault_changes_nothing(fault: str, first: str) -> None:
    """By the command, which starts again in a namespace of its own."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "torture.py"), "--kills", "1", "--only", fault],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert_passed(done.stdout, first)


def test_the_digest_sees_one_changed_weight(tmp_path: Path) -> None:
    import h5py
    import numpy as np

    def run(value: float) -> Path:
        folder = tmp_path / str(value)
        folder.mkdir()
        meta = np.frombuffer(b'{"counters": {"seconds": 1.0, "step": 3}}', np.uint8)
        np.savez(folder / "state.npz", meta=meta, variable_0000=np.float32([1.0, value]))
        with h5py.File(folder / "model.weights.h5", "w") as file:
            file["a"] = np.float32([1.0])
        (folder / "history.csv").write_text(f"step,seconds\n1,{value}\n")
        return folder

    same, other = run(1.0), run(1.0 + 2**-23)
    assert torture.digest(same) != torture.digest(other)
    (other / "state.npz").write_bytes((same / "state.npz").read_bytes())
    assert torture.digest(same) == torture.digest(other)  # times do not count


def test_what_is_half_written_is_not_readable(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"a": ')
    with pytest.raises(ValueError, match="Expecting value"):
        torture.readable(tmp_path)


def test_the_table_in_contributing_has_every_fault_and_none_failed() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition(torture.BEGIN)[2].partition(torture.END)[0]
    for title, _ in torture.FAULTS.values():
        (line,) = [line for line in table.splitlines() if line.startswith(f"| {title} |")]
        assert line.endswith("| yes |")
