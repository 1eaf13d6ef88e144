"""Publishing to folders: verified, whole or not at all, and never over what is not a checkpoint."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import commands
import forked
import numpy as np
import pytest
import tiny_checkpoints
from hosts import Host

import zoo
from zoo.errors import (
    CheckpointError,
    FormatError,
    IntegrityError,
    InvalidInputError,
    MissingCheckpointError,
    PublishError,
    UnknownModelError,
)
from zoo.publishing import copies
from zoo.store import files, pins
from zoo.store.files import replacing
from zoo.store.hashes import sha256_of, verify_files, verify_sha256sums

NAME = "tiny_features"
X = np.linspace(-2.0, 2.0, 15, dtype=np.float32).reshape(3, 5)


@pytest.fixture(autouse=True)
def source(master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint of NAME under `$ZOO_CHECKPOINTS`."""
    root, pins = master
    tiny_checkpoints.register(pins, monkeypatch, install=tmp_path / "install")
    monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return Path(shutil.copytree(root, tmp_path / "checkpoints"), NAME)


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "away" / "published"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def left(to: Path) -> list[str]:
    """What lies beside the place."""
    return sorted(path.name for path in to.parent.iterdir() if path != to)


class TestPublish:
    def test_copies_and_loads(self, source: Path, to: Path) -> None:
        published = copies.publish(NAME, to)
        files = contents(to)
        for name in pins.pins()[NAME]["files"]:
            assert files[name] == (source / name).read_bytes()
        assert set(files) == {*pins.pins()[NAME]["files"], "manifest.json", "SHA256SUMS"}
        model = zoo.load(published.address, sha256=published.sha256)
        np.testing.assert_array_equal(model.log_prob(X), zoo.load(NAME).log_prob(X))
        assert left(to) == []

    def test_the_call_it_shows_loads_it(self, to: Path) -> None:
        assert zoo.load(NAME).config == eval(str(copies.publish(NAME, to))).config

    def test_a_folder_with_a_registered_name(self, monkeypatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)
        published = copies.publish(NAME, NAME)
        assert published.address == f"./{NAME}"
        assert zoo.load(NAME).config == eval(str(published)).config

    def test_the_hashes_are_those_of_sha256sum(self, to: Path) -> None:
        published = copies.publish(NAME, to)
        subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=to, check=True)
        assert published.sha256 == hashlib.sha256((to / "SHA256SUMS").read_bytes()).hexdigest()

    def test_the_manifest_is_an_entry_of_the_pins(self, to: Path) -> None:
        copies.publish(NAME, to)
        manifest = json.loads((to / "manifest.json").read_text())
        assert {key: manifest[key] for key in ("version", "files")} == pins.pins()[NAME]
        assert (manifest["name"], manifest["family"]) == (NAME, "nice")
        verify_files(to, manifest["files"])

    def test_what_lies_beside_the_listed_files_stays(self, source: Path, to: Path) -> None:
        (source / "notes.txt").write_text("of mine")
        copies.publish(source, to)
        assert "notes.txt" not in contents(to)

    def test_a_training_run(self, source: Path, to: Path) -> None:
        (source / "SHA256SUMS").unlink()
        (source / "state.npz").write_bytes(b"the optimiser's")
        (source / "logs").mkdir()
        published = copies.publish(source, to)
        assert not {"state.npz", "logs"} & set(contents(to))
        assert json.loads((to / "manifest.json").read_text())["version"] == 0
        zoo.load(to, sha256=published.sha256)

    def test_what_was_published(self, to: Path) -> None:
        first = copies.publish(NAME, to)
        second = copies.publish(to, to.with_name("again"))
        assert second.sha256 == first.sha256
        assert contents(to.with_name("again")) == contents(to)

    def test_others_can_read_it(self, to: Path) -> None:
        umask = os.umask(0o022)
        try:
            copies.publish(NAME, to)
        finally:
            os.umask(umask)
        assert to.stat().st_mode & 0o777 == 0o755
        assert {path.stat().st_mode & 0o777 for path in to.iterdir()} == {0o644}

    def test_into_an_empty_folder_and_through_a_link(self, to: Path, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        to.parent.mkdir()
        to.symlink_to(tmp_path / "real")
        published = copies.publish(NAME, to)
        assert to.is_symlink()
        assert "SHA256SUMS" in contents(tmp_path / "real")
        assert published.address == str(to)

    def test_a_home_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert copies.publish(NAME, "~/mine").address == str(tmp_path / "mine")

    def test_over_the_web(self, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What a folder's publisher announces loads it from behind a server."""
        published = copies.publish(NAME, to)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with Host(to.parent) as host:
            model = zoo.load(f"{host.url}/published", sha256=published.sha256)
        np.testing.assert_array_equal(model.log_prob(X), zoo.load(NAME).log_prob(X))


class TestSource:
    @pytest.mark.parametrize("file", ["model.weights.h5", "config.json", "card.md"])
    def test_a_damaged_file(self, source: Path, to: Path, file: str) -> None:
        data = bytearray((source / file).read_bytes())
        data[len(data) // 2] ^= 1
        (source / file).write_bytes(data)
        for name in (NAME, source):
            with pytest.raises(IntegrityError, match=file):
                copies.publish(name, to)
        assert not to.exists()

    def test_a_truncated_training_run(self, source: Path, to: Path) -> None:
        (source / "SHA256SUMS").unlink()
        os.truncate(source / "model.weights.h5", 1000)
        with pytest.raises(FormatError, match="truncated or damaged"):
            copies.publish(source, to)
        assert not to.parent.exists()

    def test_hashes_that_leave_out_the_weights(self, source: Path, to: Path) -> None:
        lines = (source / "SHA256SUMS").read_text().splitlines(keepends=True)
        (source / "SHA256SUMS").write_text("".join(x for x in lines if "weights" not in x))
        with pytest.raises(PublishError, match=r"does not list model\.weights\.h5"):
            copies.publish(source, to)

    def test_a_file_that_changes_meanwhile(
        self, source: Path, to: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copy = shutil.copyfile

        def changing(first: Path, second: Path) -> None:
            if first.name == "card.md":
                first.write_text("changed")
            copy(first, second)

        monkeypatch.setattr(shutil, "copyfile", changing)
        with pytest.raises(PublishError, match=r"card\.md changed while"):
            copies.publish(source, to)
        assert left(to) == []
        assert not to.exists()

    def test_no_such_name(self, to: Path) -> None:
        with pytest.raises(UnknownModelError, match=NAME):
            copies.publish("tiny_feature", to)

    def test_no_weights(self, to: Path) -> None:
        with pytest.raises(MissingCheckpointError, match="no published weights"):
            copies.publish("tiny_recipe", to)

    def test_no_such_folder(self, to: Path, tmp_path: Path) -> None:
        with pytest.raises(MissingCheckpointError, match=r"config\.json is missing"):
            copies.publish(tmp_path / "absent", to)

    def test_an_address(self, to: Path) -> None:
        with pytest.raises(InvalidInputError, match="on this machine"):
            copies.publish("hf://user/repository", to)


class TestPlace:
    @pytest.fixture
    def other(self, source: Path, to: Path) -> copies.Publication:
        """Another checkpoint in the place; the source is as it was."""
        return copies.publish(source.with_name("tiny_images"), to)

    def test_the_same_again_changes_nothing(self, to: Path) -> None:
        first = copies.publish(NAME, to)
        before = {path: path.stat().st_mtime_ns for path in [to, *to.iterdir()]}
        assert copies.publish(NAME, to) == first
        assert {path: path.stat().st_mtime_ns for path in [to, *to.iterdir()]} == before
        assert left(to) == []

    def test_other_content_stays(self, other: copies.Publication, to: Path) -> None:
        before = contents(to)
        with pytest.raises(PublishError, match=r"holds other content\. .*overwrite"):
            copies.publish(NAME, to)
        assert contents(to) == before
        assert left(to) == []

    def test_a_damaged_copy_stays_unless_overwritten(self, to: Path) -> None:
        first = copies.publish(NAME, to)
        (to / "card.md").write_text("damaged")
        with pytest.raises(PublishError, match="holds other content"):
            copies.publish(NAME, to)
        assert copies.publish(NAME, to, overwrite=True) == first
        assert verify_sha256sums(to)

    def test_overwritten_it_is_gone(self, other: copies.Publication, to: Path) -> None:
        published = copies.publish(NAME, to, overwrite=True)
        assert published.sha256 == sha256_of(to / "SHA256SUMS") != other.sha256
        assert verify_sha256sums(to)
        assert left(to) == []

    def test_what_is_more_than_a_checkpoint_always_stays(
        self, other: copies.Publication, to: Path
    ) -> None:
        (to / "thesis.tex").write_text("of somebody")
        before = contents(to)
        with pytest.raises(PublishError, match=r"holds more than a checkpoint \(thesis\.tex\)"):
            copies.publish(NAME, to, overwrite=True)
        assert contents(to) == before
        assert left(to) == []

    def test_what_is_no_checkpoint_always_stays(self, to: Path) -> None:
        to.mkdir(parents=True)
        (to / "thesis.tex").write_text("of somebody")
        with pytest.raises(PublishError, match="is no published checkpoint, and stays"):
            copies.publish(NAME, to, overwrite=True)
        assert contents(to) == {"thesis.tex": b"of somebody"}

    def test_a_file_always_stays(self, to: Path) -> None:
        to.parent.mkdir()
        to.write_text("of somebody")
        with pytest.raises(PublishError, match="is a file"):
            copies.publish(NAME, to, overwrite=True)
        assert to.read_text() == "of somebody"

    def test_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(PublishError, match=r"file/place cannot be published to \(.*choose"):
            copies.publish(NAME, tmp_path / "file" / "place")

    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
    @pytest.mark.parametrize("number", [0, 2, -1])
    def test_interrupted_leaves_what_was_there(
        self,
        other: copies.Publication,
        to: Path,
        monkeypatch: pytest.MonkeyPatch,
        error: BaseException,
        number: int,
    ) -> None:
        """At the first file, at a later one, and at the last, the list of hashes."""
        before, count = contents(to), 0
        last = len(pins.pins()[NAME]["files"]) + 1

        def failing(path: Path):
            nonlocal count
            count += 1
            if count - 1 == (number if number >= 0 else last):
                raise error
            return replacing(path)

        monkeypatch.setattr(files, "replacing", failing)
        monkeypatch.setattr(copies, "replacing", failing)
        expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else PublishError
        with pytest.raises(expected):
            copies.publish(NAME, to, overwrite=True)
        assert contents(to) == before
        assert left(to) == []

    def test_an_error_at_the_last_step_puts_back_what_was_there(
        self, other: copies.Publication, to: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, rename = contents(to), Path.rename

        def failing(self: Path, target: Path) -> Path:
            if self.name == Path(target).name and not Path(target).exists():
                raise OSError(errno.EIO, "Input/output error")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", failing)
        with pytest.raises(PublishError, match="Input/output error"):
            copies.publish(NAME, to, overwrite=True)
        assert contents(to) == before
        assert left(to) == []


def publish_when_told(source: Path, to: Path, overwrite: bool, told: Path) -> None:
    """One of several processes, which all wait for the same file."""
    print("ready", flush=True)
    while not told.exists():
        time.sleep(0.001)
    copies.publish(source, to, overwrite=overwrite)


class TestProcesses:
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_of_two_at_once_one_wins_whole(
        self, source: Path, to: Path, overwrite: bool, tmp_path: Path
    ) -> None:
        sources, told = [source, source.with_name("tiny_images")], tmp_path / "told"
        running = [
            forked.Process(
                publish_when_told, folder, to, overwrite, told, errors=tmp_path / f"{number}.err"
            )
            for number, folder in enumerate(sources * 2)
        ]
        for process in running:
            assert process.stdout.readline() == "ready\n"
        told.touch()
        codes = sorted(process.wait(timeout=120) for process in running)
        for process in running:
            process.close()
        errors = [(tmp_path / f"{number}.err").read_text() for number in range(4)]
        won = [name for name in sources if not publish_fails(name, to)]
        assert len(won) == 1
        assert verify_sha256sums(to)
        assert left(to) == []
        # Twice the same content, and twice another.
        assert codes == ([0, 0, 0, 0] if overwrite else [0, 0, 1, 1]), errors
        assert sum("PublishError" in error for error in errors) == sum(codes)


def publish_fails(name: Path, to: Path) -> bool:
    try:
        copies.publish(name, to)
    except (PublishError, CheckpointError):
        return True
    return False


class TestCommand:
    def run(self, *args: object) -> tuple[int, str, str]:
        result = commands.run("publish", *args)
        return result.exit_code, result.stdout, result.stderr

    def test_prints_what_loads_it(self, to: Path) -> None:
        code, output, _ = self.run(NAME, "--to", to)
        sha256 = sha256_of(to / "SHA256SUMS")
        assert (code, output) == (0, f'zoo.load("{to}", sha256="{sha256}")\n')

    def test_json(self, to: Path) -> None:
        code, output, _ = self.run(NAME, "--to", to, "--json")
        sha256 = sha256_of(to / "SHA256SUMS")
        assert code == 0
        assert json.loads(output) == {"address": str(to), "revision": "", "sha256": sha256}

    def test_other_content(self, source: Path, to: Path) -> None:
        self.run(source.with_name("tiny_images"), "--to", to)
        code, output, error = self.run(NAME, "--to", to)
        assert (code, output) == (2, "")
        assert "holds other content" in error
        assert self.run(NAME, "--to", to, "--overwrite")[0] == 0

    def test_a_damaged_source(self, source: Path, to: Path) -> None:
        (source / "card.md").write_text("damaged")
        code, _, error = self.run(NAME, "--to", to)
        assert code == 1
        assert "card.md" in error

    def test_bad_addresses(self) -> None:
        for to in ("s3://bucket/path", "https://host/path", "hf://user"):
            assert self.run(NAME, "--to", to)[0] == 2
        assert self.run(NAME)[0] == 2
