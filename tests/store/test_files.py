"""Files whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from zoo.errors import (
    FormatError,
    MissingCheckpointError,
)
from zoo.store.files import read_json, write_json_atomic, write_text_atomic


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": {"text": "é"}}
    path = write_json_atomic(tmp_path / "new" / "value.json", value)
    assert read_json(path) == value
    assert [p.name for p in path.parent.iterdir()] == ["value.json"]


@pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}])
def test_json_refuses_what_json_cannot_hold(tmp_path: Path, value) -> None:
    path = write_json_atomic(tmp_path / "value.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomic(path, value)
    assert read_json(path) == 1


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    path.write_text("1")
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from zoo.store.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('2')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)
    assert done.returncode == -9
    assert path.read_text() == "1"


def test_files_have_the_usual_permissions(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    written = write_text_atomic(tmp_path / "written", "x")
    assert written.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, MissingCheckpointError, "value.json is missing in"),
        (b'{"a": ', FormatError, "is not JSON"),
        (b"\xff\xfe\x00", FormatError, "is not JSON"),
    ],
    ids=["missing", "truncated", "binary"],
)
def test_unreadable_json(tmp_path: Path, content, error, message) -> None:
    if content is not None:
        (tmp_path / "value.json").write_bytes(content)
    with pytest.raises(error, match=message):
        read_json(tmp_path / "value.json")
