"""From wherever the files are, in one order; what is downloaded, and once."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from hosts import Host
from nice_tiny import NAME, assert_same

import zoo
from zoo import loading
from zoo.errors import (
    IntegrityError,
    MissingCheckpointError,
    OfflineError,
)
from zoo.store import downloads


def cached() -> Path:
    return downloads.cache_dir() / NAME


class TestDownload:
    def test_fills_the_cache_once(self, host: Host, trained, pins: dict) -> None:
        assert loading.local_folder(NAME) is None
        assert_same(zoo.load(NAME), trained)
        assert_same(zoo.load(NAME), trained)
        assert host.requests == {f"/{NAME}/{file}": 1 for file in pins["files"]}
        assert loading.local_folder(NAME) == cached()
        assert {path.name for path in cached().iterdir()} == set(pins["files"])

    def test_hashes_each_file_once_as_it_comes_or_where_it_lies(
        self, host: Host, master: Path, hashed
    ) -> None:
        cached().mkdir(parents=True)
        shutil.copy(master / "card.md", cached())
        hashed.clear()
        zoo.load(NAME)
        assert hashed == {"card.md": 1}
        assert f"/{NAME}/card.md" not in host.requests

    def test_damage_left_in_the_cache_is_not_completed(self, host: Host) -> None:
        cached().mkdir(parents=True)
        (cached() / "card.md").write_text("# A tiny NICE?\n")
        with pytest.raises(IntegrityError, match=r"card\.md has"):
            zoo.load(NAME)
        assert not host.requests

    def test_another_file_of_the_same_size_is_refused_and_not_kept(self, host: Host) -> None:
        path = host.root / NAME / "model.weights.h5"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match=r"model\.weights\.h5 is not the pinned file"):
            zoo.load(NAME)
        assert not (cached() / "model.weights.h5").exists()
        assert not list(cached().glob("*tmp*"))
        assert loading.local_folder(NAME) is None

    def test_goes_on_where_it_stopped(self, host: Host, master: Path, trained) -> None:
        away = host.root / "away"
        (host.root / NAME / "recipe.json").rename(away)
        with pytest.raises(MissingCheckpointError, match=r"recipe\.json answered 404"):
            zoo.load(NAME)
        away.rename(host.root / NAME / "recipe.json")
        before = host.requests[f"/{NAME}/config.json"]
        assert_same(zoo.load(NAME), trained)
        assert host.requests[f"/{NAME}/config.json"] == before == 1

    def test_damage_in_the_cache_is_refused(self, host: Host) -> None:
        zoo.load(NAME)
        with (cached() / "card.md").open("a") as card:
            card.write("x")
        with pytest.raises(IntegrityError, match=r"card\.md has"):
            zoo.load(NAME)

    def test_a_later_version_has_its_own_folder(
        self, host: Host, master: Path, pins: dict, trained, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        zoo.load(NAME)
        later = {"version": 2, "files": pins["files"]}
        monkeypatch.setattr("zoo.store.pins.pins", lambda: {NAME: later})
        with pytest.raises(MissingCheckpointError, match=f"{NAME}.v2/.* answered 404"):
            zoo.load(NAME)
        shutil.copytree(master, host.root / f"{NAME}.v2")
        assert_same(zoo.load(NAME), trained)
        assert loading.local_folder(NAME) == cached().with_name(f"{NAME}.v2")

    def test_two_at_once_fetch_each_file_once(self, host: Host, pins: dict) -> None:
        threads = [threading.Thread(target=loading.resolve, args=(NAME,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert host.requests == {f"/{NAME}/{file}": 1 for file in pins["files"]}

    @pytest.mark.parametrize("value", ["1", "on", "YES", "True"])
    def test_offline_forbids_it(
        self, host: Host, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv("ZOO_OFFLINE", value)
        with pytest.raises(OfflineError, match="ZOO_OFFLINE forbids a download"):
            zoo.load(NAME)
        assert not host.requests
        assert not cached().exists()

    def test_offline_reads_the_cache(
        self, host: Host, trained, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        zoo.load(NAME)
        host.requests.clear()
        monkeypatch.setenv("ZOO_OFFLINE", "1")
        assert_same(zoo.load(NAME), trained)
        assert not host.requests

    def test_a_read_only_cache_is_read(self, host: Host, trained) -> None:
        zoo.load(NAME)
        host.requests.clear()
        cache = downloads.cache_dir()
        for lock in cache.glob("*.lock"):
            lock.unlink()
        before = sorted(cache.rglob("*"))
        folders = [cache, cached()]
        for folder in folders:
            folder.chmod(0o555)
        try:
            assert_same(zoo.load(NAME), trained)
        finally:
            for folder in folders:
                folder.chmod(0o755)
        assert sorted(cache.rglob("*")) == before
        assert not host.requests

    def test_a_cache_that_cannot_be_written(
        self, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))
        with pytest.raises(MissingCheckpointError, match=r"cannot be written .* Set ZOO_CACHE"):
            zoo.load(NAME)
        assert not host.requests

    def test_no_network(self, host: Host) -> None:
        host.close()
        with pytest.raises(OfflineError, match="cannot be reached"):
            zoo.load(NAME)

    def test_nowhere_to_download_from(self) -> None:
        with pytest.raises(MissingCheckpointError) as caught:
            zoo.load(NAME)
        parts = ("Looked in", str(cached()), "ZOO_CHECKPOINTS", "checkout", "ZOO_BASE_URL", "hf://")
        for part in parts:
            assert part in str(caught.value)


class TestLookUp:
    def test_order(
        self, host: Host, master: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install = tmp_path / "install"
        (install / "pyproject.toml").touch()
        monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path / "chosen"))
        places = [
            tmp_path / "chosen" / NAME,
            install / "checkpoints" / NAME,
            install / "zoo" / "_checkpoints" / NAME,
            cached(),
        ]
        for place in places:
            shutil.copytree(master, place)
        for place in places:
            assert loading.resolve(NAME) == place
            assert not host.requests
            shutil.rmtree(place)
        assert loading.resolve(NAME) == cached()
        assert host.requests

    def test_damage_is_not_passed_over_for_the_next_place(
        self, master: Path, published: Path
    ) -> None:
        shutil.copytree(master, cached())
        (published / "card.md").write_text("changed")
        with pytest.raises(IntegrityError, match=str(published)):
            zoo.load(NAME)

    def test_checkpoints_beside_an_installed_package_are_not_ours(
        self, master: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(master, tmp_path / "install" / "checkpoints" / NAME)
        assert loading.local_folder(NAME) is None

    def test_chosen_checkpoints_have_to_exist(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ZOO_CHECKPOINTS", str(tmp_path / "typo"))
        with pytest.raises(MissingCheckpointError, match=r"ZOO_CHECKPOINTS is .*not a folder"):
            zoo.load(NAME)

    def test_the_cache_is_where_its_variables_say(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ZOO_CACHE", "/a")
        monkeypatch.setenv("XDG_CACHE_HOME", "/b")
        monkeypatch.setenv("HOME", "/c")
        assert downloads.cache_dir() == Path("/a")
        monkeypatch.delenv("ZOO_CACHE")
        assert downloads.cache_dir() == Path("/b/zoo")
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert downloads.cache_dir() == Path("/c/.cache/zoo")
