"""Loading from addresses: one hash pins everything, and each way a host can fail has its error.

Hosts are real web servers on the loopback interface; Hub and buckets: tests/test_remotes.py.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoints
from edits import flip
from hosts import Host

import zoo
from zoo.errors import (
    FormatError,
    IntegrityError,
    InvalidInputError,
    MissingCheckpointError,
    OfflineError,
    WeightsMismatchError,
)
from zoo.store import addresses, downloads, remotes
from zoo.store.hashes import sha256_of, write_sha256sums

NAME = "tiny_features"
NEEDED = ("SHA256SUMS", "config.json", "model.weights.h5")
X = np.linspace(-2.0, 2.0, 15, dtype=np.float32).reshape(3, 5)
ANY = "0" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published folder; tests work on copies."""
    root = tmp_path_factory.mktemp("master")
    tiny_checkpoints.publish(root)
    return root / NAME


@pytest.fixture
def served(master: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(master, tmp_path / "host" / NAME))


@pytest.fixture
def host(served: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Host(served.parent) as host:
        yield host


@pytest.fixture
def address(host: Host) -> str:
    return f"{host.url}/{NAME}"


@pytest.fixture
def sha256(master: Path) -> str:
    return sha256_of(master / "SHA256SUMS")


def cached(sha256: str) -> Path:
    return downloads.cache_dir() / "sha256" / sha256


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def rehash(folder: Path) -> str:
    """What a publisher of this content would announce."""
    write_sha256sums(folder)
    return sha256_of(folder / "SHA256SUMS")


class TestLoad:
    def test_is_the_model_of_the_folder(self, address: str, sha256: str, master: Path) -> None:
        model = zoo.load(address, sha256=sha256)
        np.testing.assert_array_equal(model.log_prob(X), zoo.load(master).log_prob(X))

    def test_hashes_each_file_once(self, address: str, sha256: str, hashed) -> None:
        hashed.clear()
        zoo.load(address, sha256=sha256)
        assert not hashed  # each was hashed as it came
        zoo.load(address, sha256=sha256)
        assert hashed == dict.fromkeys(NEEDED, 1)

    def test_upper_case_and_a_slash_at_the_end_make_no_difference(
        self, address: str, sha256: str
    ) -> None:
        assert addresses.resolve(address + "/", sha256=sha256.upper()) == cached(sha256)

    def test_fetches_three_files_once(self, host: Host, address: str, sha256: str) -> None:
        for _ in range(2):
            addresses.resolve(address, sha256=sha256)
        assert host.requests == {f"/{NAME}/{file}": 1 for file in NEEDED}
        assert names(cached(sha256)) == set(NEEDED)

    def test_cached_files_are_as_readable_as_any(self, address: str, sha256: str) -> None:
        addresses.resolve(address, sha256=sha256)
        (cached(sha256) / "any").touch()
        modes = {path.stat().st_mode for path in cached(sha256).iterdir()}
        assert modes == {(cached(sha256) / "any").stat().st_mode}

    def test_equal_content_elsewhere_is_not_fetched_again(
        self, host: Host, address: str, sha256: str
    ) -> None:
        addresses.resolve(address, sha256=sha256)
        host.requests.clear()
        assert addresses.resolve("https://elsewhere.invalid/it", sha256=sha256) == cached(sha256)
        assert not host.requests

    def test_fresh_or_other_weights(self, address: str, sha256: str, master: Path) -> None:
        expected = zoo.load(master)
        fresh = zoo.load(address, weights=False, sha256=sha256)
        assert fresh.config == expected.config
        assert not np.array_equal(fresh.log_prob(X), expected.log_prob(X))
        model = zoo.load(address, master / "model.weights.h5", sha256=sha256)
        np.testing.assert_array_equal(model.log_prob(X), expected.log_prob(X))

    def test_weights_are_no_address(self, master: Path, address: str) -> None:
        with pytest.raises(InvalidInputError, match="weights takes a path"):
            zoo.load(master, weights=address)


class TestFolder:
    def test_with_its_hash(self, served: Path, sha256: str) -> None:
        expected = zoo.load(served).log_prob(X)
        np.testing.assert_array_equal(zoo.load(served, sha256=sha256).log_prob(X), expected)

    def test_with_another_hash(self, served: Path) -> None:
        with pytest.raises(IntegrityError, match=r"SHA256SUMS has the SHA-256 .* is expected"):
            zoo.load(served, sha256=ANY)

    def test_without_hashes(self, served: Path, sha256: str) -> None:
        (served / "SHA256SUMS").unlink()
        zoo.load(served)
        with pytest.raises(MissingCheckpointError, match="SHA256SUMS is missing"):
            zoo.load(served, sha256=sha256)

    @pytest.mark.parametrize("file", ["config.json", "model.weights.h5"])
    def test_a_file_that_the_hash_does_not_cover(self, served: Path, file: str) -> None:
        """Unlisted, it could be anything."""
        sums = served / "SHA256SUMS"
        lines = sums.read_text().splitlines(keepends=True)
        sums.write_text("".join(line for line in lines if file not in line))
        with pytest.raises(FormatError, match=f"does not list {file}"):
            zoo.load(served, sha256=sha256_of(sums))


class TestRefusals:
    @pytest.mark.parametrize(
        ("address", "revision"),
        [
            ("https://host/path", ""),
            ("gs://bucket/path", ""),
            ("hf://user/repository", ""),
            ("hf://user/repository", "main"),
            ("hf://user/repository", COMMIT[:7]),
            ("hf://user/repository", COMMIT + "\n"),
        ],
    )
    def test_no_hash(self, address: str, revision: str) -> None:
        with pytest.raises(InvalidInputError, match=r"can change.*pass sha256="):
            zoo.load(address, revision=revision)

    @pytest.mark.parametrize("sha256", ["abc", "g" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n", 7])
    @pytest.mark.parametrize("name", ["https://host/path", "some/folder"])
    def test_no_such_hash(self, name: str, sha256) -> None:
        with pytest.raises(InvalidInputError, match="64 hexadecimal digits"):
            zoo.load(name, sha256=sha256)

    @pytest.mark.parametrize(
        "address",
        [
            "s3://bucket/path",
            "ftp://host/path",
            "file:///etc",
            "hf://user",
            "hf://user/repository@main",
            "hf://user/../other",
            "hf://",
            "gs://bucket",
            "gs:///path",
            "https://",
            "https:///path",
            "https://host/path?token=1",
            "https://host/path#part",
        ],
    )
    def test_no_such_address(self, address: str) -> None:
        with pytest.raises(InvalidInputError, match=r"Expected .*; got") as caught:
            zoo.load(address, sha256=ANY)
        assert address in str(caught.value)

    def test_a_password_in_an_address_is_not_repeated(self) -> None:
        with pytest.raises(InvalidInputError, match="holds a user name") as caught:
            zoo.load("https://me:hunter2@host/path", sha256=ANY)
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(
        "name", ["https://host/path", "gs://bucket/path", "some/folder", "nice_mnist"]
    )
    def test_a_revision_where_there_are_none(self, name: str) -> None:
        with pytest.raises(InvalidInputError, match="revision goes with an hf:// address"):
            zoo.load(name, revision=COMMIT)

    def test_a_hash_for_a_name(self) -> None:
        with pytest.raises(InvalidInputError, match="pinned by the installed zoo"):
            zoo.load("nice_mnist", sha256=ANY)

    @pytest.mark.parametrize("name", ["some/folder", "nice_mnist", "C:\\models", Path("hf://a/b")])
    def test_these_are_no_addresses(self, name) -> None:
        assert not remotes.is_address(name)


class TestContent:
    def test_another_checkpoint_than_the_pinned_one(
        self, served: Path, address: str, sha256: str
    ) -> None:
        (served / "card.md").write_text("# Another\n")
        other = rehash(served)
        with pytest.raises(IntegrityError, match="SHA256SUMS is not the pinned file"):
            addresses.resolve(address, sha256=sha256)
        assert not (names(cached(sha256)) & set(NEEDED))
        assert addresses.resolve(address, sha256=other) == cached(other)

    @pytest.mark.parametrize("file", NEEDED)
    def test_a_flipped_byte(self, served: Path, address: str, sha256: str, file: str) -> None:
        flip(served / file)
        with pytest.raises(IntegrityError, match=f"{file} is not the pinned file"):
            addresses.resolve(address, sha256=sha256)
        assert file not in names(cached(sha256))
        assert "SHA256SUMS" not in names(cached(sha256))

    @pytest.mark.parametrize(
        "line",
        [
            "no hash",
            f"{ANY}  ../config.json",
            f"{ANY}  /etc/passwd",
            f"{ANY}  ..",
            f"{'x' * 64}  config.json",
            f"{ANY}  card.md",  # twice
            f"{ANY}  SHA256SUMS",
        ],
    )
    def test_a_list_of_another_form(self, served: Path, address: str, line: str) -> None:
        sums = served / "SHA256SUMS"
        sums.write_text(f"{sums.read_text()}{line}\n")
        with pytest.raises(FormatError, match="no 'hash  file name'"):
            addresses.resolve(address, sha256=sha256_of(sums))

    def test_a_list_that_is_no_text(self, served: Path, address: str) -> None:
        (served / "SHA256SUMS").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(FormatError, match="is not text"):
            addresses.resolve(address, sha256=sha256_of(served / "SHA256SUMS"))

    def test_a_list_without_weights(self, served: Path, address: str) -> None:
        (served / "model.weights.h5").unlink()
        with pytest.raises(FormatError, match=r"does not list model\.weights\.h5"):
            addresses.resolve(address, sha256=rehash(served))

    def test_a_config_for_other_weights(self, served: Path, address: str) -> None:
        path = served / "config.json"
        values = json.loads(path.read_text())
        values["config"]["hidden_units"] = [9]
        path.write_text(json.dumps(values))
        with pytest.raises(WeightsMismatchError, match="Nothing was loaded"):
            zoo.load(address, sha256=rehash(served))

    def test_nothing_is_executed_that_comes_along(
        self, host: Host, served: Path, address: str, tmp_path: Path
    ) -> None:
        mark = tmp_path / "mark"
        for name in ("__init__.py", "modeling.py", "setup.py", "conftest.py"):
            (served / name).write_text(f"open({str(mark)!r}, 'w')\n")
        zoo.load(address, sha256=rehash(served))
        assert not mark.exists()
        assert host.requests == {f"/{NAME}/{file}": 1 for file in NEEDED}


class TestHost:
    def test_breaks_off_once(self, host: Host, address: str, sha256: str) -> None:
        host.faults[f"/{NAME}/model.weights.h5"] = ["interrupted"]
        assert addresses.resolve(address, sha256=sha256) == cached(sha256)
        assert host.requests[f"/{NAME}/model.weights.h5"] == 2

    def test_breaks_off_always_and_recovers(self, host: Host, address: str, sha256: str) -> None:
        host.faults[f"/{NAME}/model.weights.h5"] = ["interrupted"] * 2
        with pytest.raises(OfflineError, match=r"model\.weights\.h5 cannot be reached"):
            addresses.resolve(address, sha256=sha256)
        assert names(cached(sha256)) == {"config.json"}
        addresses.resolve(address, sha256=sha256)
        assert host.requests[f"/{NAME}/config.json"] == 1
        assert names(cached(sha256)) == set(NEEDED)

    @pytest.mark.parametrize("fault", ["truncated", "corrupted"])
    @pytest.mark.parametrize("file", NEEDED)
    def test_sends_other_bytes(
        self, host: Host, address: str, sha256: str, fault: str, file: str
    ) -> None:
        host.faults[f"/{NAME}/{file}"] = [fault] * 2
        with pytest.raises(IntegrityError, match=f"{file} is not the pinned file"):
            addresses.resolve(address, sha256=sha256)
        assert not (names(cached(sha256)) & {file, "SHA256SUMS"})
        assert addresses.resolve(address, sha256=sha256) == cached(sha256)

    def test_falls_silent(
        self, host: Host, address: str, sha256: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.2)
        host.faults[f"/{NAME}/model.weights.h5"] = ["silent"] * 2
        start = time.monotonic()
        with pytest.raises(OfflineError, match=r"cannot be reached .*timed out"):
            addresses.resolve(address, sha256=sha256)
        assert names(cached(sha256)) == {"config.json"}
        assert time.monotonic() - start < 15  # two attempts; of 30 s each without the timeout above

    def test_is_slow_but_alive(
        self, host: Host, address: str, sha256: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.2)
        host.faults[f"/{NAME}/model.weights.h5"] = ["slow"]
        start = time.monotonic()
        assert addresses.resolve(address, sha256=sha256) == cached(sha256)
        assert time.monotonic() - start > downloads.TIMEOUT_SECONDS

    @pytest.mark.parametrize(
        ("fault", "error", "status"),
        [("forbidden", MissingCheckpointError, 403), ("unavailable", OfflineError, 503)],
    )
    def test_refuses(
        self, host: Host, address: str, sha256: str, fault: str, error: type, status: int
    ) -> None:
        host.faults[f"/{NAME}/SHA256SUMS"] = [fault] * 2
        with pytest.raises(error, match=rf"SHA256SUMS answered {status}\. Check the address"):
            addresses.resolve(address, sha256=sha256)

    def test_has_nothing_there(self, host: Host) -> None:
        with pytest.raises(MissingCheckpointError, match="SHA256SUMS answered 404"):
            zoo.load(f"{host.url}/absent", sha256=ANY)

    def test_is_not_there(self, host: Host, address: str, sha256: str) -> None:
        host.close()
        with pytest.raises(OfflineError, match="cannot be reached"):
            zoo.load(address, sha256=sha256)


class TestCache:
    def test_offline_forbids_a_download(
        self, host: Host, address: str, sha256: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ZOO_OFFLINE", "1")
        for options in ({"sha256": sha256}, {}):
            where = address if options else "hf://user/repository"
            with pytest.raises(OfflineError, match="ZOO_OFFLINE forbids a download"):
                addresses.resolve(where, revision="" if options else COMMIT, **options)
        assert not host.requests
        assert not names(downloads.cache_dir())

    def test_offline_reads_it(
        self, host: Host, address: str, sha256: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        addresses.resolve(address, sha256=sha256)
        host.close()
        monkeypatch.setenv("ZOO_OFFLINE", "1")
        assert addresses.resolve(address, sha256=sha256) == cached(sha256)

    @pytest.mark.parametrize("file", NEEDED)
    def test_damage_is_refused(self, address: str, sha256: str, file: str) -> None:
        addresses.resolve(address, sha256=sha256)
        flip(cached(sha256) / file)
        with pytest.raises(IntegrityError, match=file):
            zoo.load(address, sha256=sha256)

    def test_a_half_filled_folder_is_completed(self, host: Host, address: str, sha256: str) -> None:
        addresses.resolve(address, sha256=sha256)
        (cached(sha256) / "SHA256SUMS").unlink()
        flip(cached(sha256) / "config.json")
        host.requests.clear()
        addresses.resolve(address, sha256=sha256)
        assert host.requests == {f"/{NAME}/{file}": 1 for file in ("SHA256SUMS", "config.json")}

    def test_read_only_it_is_read(self, host: Host, address: str, sha256: str) -> None:
        addresses.resolve(address, sha256=sha256)
        host.close()
        cache = downloads.cache_dir()
        for lock in cache.rglob("*.lock"):
            lock.unlink()
        before = sorted(cache.rglob("*"))
        folders = [cache, *(path for path in before if path.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        try:
            addresses.resolve(address, sha256=sha256)
        finally:
            for folder in folders:
                folder.chmod(0o755)
        assert sorted(cache.rglob("*")) == before

    def test_that_cannot_be_written(
        self, host: Host, address: str, sha256: str, tmp_path: Path, monkeypatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))
        with pytest.raises(MissingCheckpointError, match=r"cannot be written .* Set ZOO_CACHE"):
            addresses.resolve(address, sha256=sha256)
        assert not host.requests

    def test_another_process_holds_it(
        self, address: str, sha256: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(downloads, "LOCK_SECONDS", 0.1)
        with (
            downloads.filling(cached(sha256), what="a test"),
            pytest.raises(OfflineError, match=r"Another process has been downloading .*\.lock"),
        ):
            addresses.resolve(address, sha256=sha256)


def start(address: str, sha256: str) -> subprocess.Popen[str]:
    """`addresses.resolve` in a process of its own, with this one's environment."""
    code = (
        f"from zoo.store import addresses; print(addresses.resolve({address!r}, sha256={sha256!r}))"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


class TestProcesses:
    def test_two_at_once_fetch_each_file_once(self, host: Host, address: str, sha256: str) -> None:
        host.faults = {f"/{NAME}/{file}": ["slow"] for file in NEEDED}
        running = [start(address, sha256) for _ in range(2)]
        outputs = [process.communicate(timeout=60)[0] for process in running]
        assert [process.returncode for process in running] == [0, 0]
        assert outputs == [f"{cached(sha256)}\n"] * 2
        assert host.requests == {f"/{NAME}/{file}": 1 for file in NEEDED}

    def test_one_that_is_killed_leaves_nothing_that_is_trusted(
        self, host: Host, address: str, sha256: str
    ) -> None:
        path = f"/{NAME}/model.weights.h5"
        host.faults[path] = ["silent"]
        process = start(address, sha256)
        deadline = time.monotonic() + 60
        while not host.requests[path]:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert not (names(cached(sha256)) & {"SHA256SUMS", "model.weights.h5"})
        addresses.resolve(address, sha256=sha256)
        assert host.requests[f"/{NAME}/config.json"] == 1


class TestBounds:
    def test_more_than_expected_ends_it(
        self, host: Host, address: str, sha256: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before all of it has come."""
        monkeypatch.setattr(downloads, "MAX_BYTES", 100)
        with pytest.raises(IntegrityError, match=r"weights\.h5 .*more than 100 bytes"):
            addresses.resolve(address, sha256=sha256)
        assert names(cached(sha256)) == {"config.json"}

    def test_dripping_ends_it(
        self, host: Host, address: str, sha256: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every piece comes in time, and the whole does not."""
        monkeypatch.setattr(downloads, "TOTAL_SECONDS", 0.1)
        host.faults[f"/{NAME}/model.weights.h5"] = ["slow"] * 2
        with pytest.raises(OfflineError, match=r"took more than 0\.1 s"):
            addresses.resolve(address, sha256=sha256)

    def test_what_killed_downloads_left_is_removed(self, address: str, sha256: str) -> None:
        """And nothing else."""
        folder = cached(sha256)
        (folder / ".incoming-ab12").mkdir(parents=True)
        (folder / ".incoming-ab12" / "SHA256SUMS").touch()
        (folder / ".model.weights.h5.ab_c0123.tmp").write_bytes(b"half")
        (folder / ".mine.tmp").touch()
        (folder / "notes.tmp").touch()
        addresses.resolve(address, sha256=sha256)
        assert names(folder) == {*NEEDED, "notes.tmp", ".mine.tmp"}
