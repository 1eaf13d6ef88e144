"""What is said while TensorFlow is imported: a stand-in speaks as its libraries do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOISE = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795893172.862256   16758 port.cc:153] oneDNN custom operations are on.",
    "E0000 00:00:1795893473.442898   18681 cuda_platform.cc:52] failed call to cuInit",
    "2026-11-28 19:10:00.123456: I tensorflow/core/platform/cpu_feature_guard.cc:210] AVX2",
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow.",
)
OTHER = "a line of another thread"


def said(folder: Path, code: str, *, level: str = "", fails: bool = False) -> list[str]:
    """The lines on stderr of a Python that imports a stand-in for TensorFlow."""
    text = "\n".join((*NOISE, OTHER, ""))
    end = "raise ImportError('no library')" if fails else "said = True"
    (folder / "tensorflow.py").write_text(f"import os\nos.write(2, {text.encode()!r})\n{end}\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {key: value for key, value in os.environ.items() if not key.startswith("TF_CPP")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        env={**env, "PYTHONPATH": path} | ({"TF_CPP_MIN_LOG_LEVEL": level} if level else {}),
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr.splitlines()


USE = "import zoo, tensorflow as tf; assert tf.said and tf.__spec__.loader is tf.__loader__"


@pytest.mark.parametrize("level", ["", "2", "3"])
def test_the_import_is_quiet_and_lines_of_others_are_shown(tmp_path: Path, level: str) -> None:
    assert said(tmp_path, USE, level=level) == [OTHER]


def test_a_user_who_wants_to_see_all_does(tmp_path: Path) -> None:
    assert said(tmp_path, USE, level="0") == [*NOISE, OTHER]
    assert said(tmp_path, USE, level="1") == [*NOISE, OTHER]


def test_an_import_that_fails_shows_all(tmp_path: Path) -> None:
    lines = said(tmp_path, "import zoo, tensorflow", fails=True)
    assert lines[: len(NOISE) + 1] == [*NOISE, OTHER]
    assert lines[-1] == "ImportError: no library"


def test_the_level_is_set_for_what_comes_after(tmp_path: Path) -> None:
    level = "import os; assert os.environ['TF_CPP_MIN_LOG_LEVEL'] == {!r}"
    assert said(tmp_path, f"{USE}; {level.format('3')}") == [OTHER]
    assert said(tmp_path, f"{USE}; {level.format('2')}", level="2") == [OTHER]


def test_without_a_stream_for_stderr(tmp_path: Path) -> None:
    assert said(tmp_path, f"import sys; sys.stderr = None; {USE}") == [OTHER]


def test_what_was_imported_before_stays_as_it_is(tmp_path: Path) -> None:
    code = "import tensorflow, zoo, sys; assert not [f for f in sys.meta_path if 'Quiet' in str(f)]"
    assert said(tmp_path, code) == [*NOISE, OTHER]
