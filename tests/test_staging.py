"""What a kill between two renames leaves, and the next publishing puts right."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.publishing.staging import recover, staged

KILLED = """
import os, signal, sys
from pathlib import Path
from zoo.publishing.staging import OLD, staged
target, moment = Path(sys.argv[1]), sys.argv[2]
with staged(target, is_published=lambda _: False) as stage:
    (stage / "content").write_text("new")
    if moment != "at work":
        target.rename(stage.with_name(OLD))
    if moment == "after both renames":
        stage.rename(target)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def content(folder: Path) -> str:
    return (folder / "content").read_text()


def killed(target: Path, moment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(target), moment], check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    assert len(list(target.parent.glob(".*.tmp"))) == 1


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "content").write_text("old")
    return folder


@pytest.mark.parametrize(
    ("moment", "published", "expected"),
    [
        ("at work", "old", "old"),
        ("between the renames", "old", "old"),
        ("after both renames", "old", "old"),  # and before the pin
        ("after both renames", "new", "new"),
        ("after both renames", "", "new"),  # nothing is announced anywhere
    ],
)
def test_the_next_one_puts_it_right(
    moment: str, published: str, expected: str, target: Path
) -> None:
    killed(target, moment)
    with staged(target, is_published=lambda folder: content(folder) == published) as stage:
        assert content(target) == expected
        assert list(stage.iterdir()) == []
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_what_others_are_at_work_on_stays(target: Path) -> None:
    with staged(target, is_published=lambda _: False) as first:
        with staged(target, is_published=lambda _: False) as second:
            assert first.is_dir()
            assert second != first
        assert first.is_dir()


@pytest.mark.parametrize(
    "name", [".model.tmp", ".model.mine.tmp", ".model.abcd1234.tmp/notes", ".models.abcd1234.tmp"]
)
def test_what_is_not_ours_stays(name: str, target: Path) -> None:
    path = target.parent / name
    path.mkdir(parents=True)
    recover(target, is_published=lambda _: False)
    assert path.is_dir()


def test_links_are_not_followed(target: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "old").mkdir(parents=True)
    (tmp_path / ".model.abcd1234.tmp").symlink_to(elsewhere)
    recover(target, is_published=lambda _: False)
    assert (elsewhere / "old").is_dir()
