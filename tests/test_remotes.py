"""The Hub and buckets, written to and read from.

The Hub is a fake server, asked by the real huggingface_hub. A bucket is TensorFlow's in-memory file
system under the real etils.epath. Both can refuse, break and be written to by others.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from etils.epath import backend, gpath
from fake_hub import FakeHub
from huggingface_hub import constants
from huggingface_hub.utils import _http

from zoo.errors import (
    FormatError,
    IntegrityError,
    InvalidInputError,
    MissingCheckpointError,
    MissingExtraError,
    OfflineError,
    PublishError,
)
from zoo.publishing import copies
from zoo.store import addresses, downloads
from zoo.store.hashes import sha256_of, write_sha256sums

# Of the library's own, when it sends a large file without Xet.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

CARD = "---\nlibrary_name: keras\n---\n\n# A card\n"
NEEDED = ("SHA256SUMS", "config.json", "model.weights.h5")
FILES = {*NEEDED, "card.md", "manifest.json"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint folder, as far as those who move files look at it."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"format_version": 1, "family": "nice", "config": {}})
    )
    (folder / "model.weights.h5").write_bytes(bytes(range(256)) * 20)
    (folder / "card.md").write_text(CARD)
    write_sha256sums(folder)
    return folder


def change(folder: Path, **contents: str | None) -> None:
    """Other content under `contents`' names (`card` for card.md), with new hashes."""
    for name, text in contents.items():
        path = folder / f"{name}.md"
        path.unlink(missing_ok=True) if text is None else path.write_text(text)
    write_sha256sums(folder)


def resolved(published: copies.Publication) -> Path:
    return addresses.resolve(
        published.address, revision=published.revision, sha256=published.sha256
    )


# --- the Hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    with FakeHub() as hub:
        use(hub, monkeypatch)
        yield hub


def use(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the library talk to this Hub, without pauses, and without Xet."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        hub.url + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    waiting = types.SimpleNamespace(**vars(time))
    waiting.sleep = lambda seconds: None
    monkeypatch.setattr(_http, "time", waiting)


ADDRESS = "hf://user/repository"
NAME = "user/repository"


class TestHubPublish:
    def test_makes_a_repository_and_one_commit(self, hub: FakeHub, source: Path) -> None:
        published = copies.publish(source, ADDRESS)
        commits = hub.repositories[NAME]
        assert len(commits) == 2
        assert published.revision == commits[-1][0]
        files = hub.files(NAME)
        assert set(files) == {*FILES, ".gitattributes", "README.md"}
        assert files["README.md"] == files["card.md"] == CARD.encode()
        assert files["model.weights.h5"] == (source / "model.weights.h5").read_bytes()
        assert hub.large
        assert not hub.private

    def test_makes_a_private_repository(self, hub: FakeHub, source: Path) -> None:
        copies.publish(source, ADDRESS, private=True)
        assert hub.private == {NAME}

    def test_makes_nothing_public_that_is_meant_to_be_private(
        self, hub: FakeHub, source: Path
    ) -> None:
        hub.create(NAME)
        with pytest.raises(PublishError, match="is public already"):
            copies.publish(source, ADDRESS, private=True)
        assert len(hub.repositories[NAME]) == 1

    def test_of_the_same_again_commits_nothing(self, hub: FakeHub, source: Path) -> None:
        first = copies.publish(source, ADDRESS)
        assert copies.publish(source, ADDRESS) == first
        assert len(hub.repositories[NAME]) == 2

    def test_into_a_folder_leaves_the_rest_alone(self, hub: FakeHub, source: Path) -> None:
        hub.create(NAME)
        hub.commit(NAME, {"README.md": b"mine", "config.json": b"mine"})
        published = copies.publish(source, f"{ADDRESS}/models/tiny")
        files = hub.files(NAME)
        assert files["README.md"] == files["config.json"] == b"mine"
        assert set(files) == {"README.md", "config.json", *(f"models/tiny/{f}" for f in FILES)}
        assert published.address == f"{ADDRESS}/models/tiny"
        assert (resolved(published) / "config.json").read_bytes() == files[
            "models/tiny/config.json"
        ]

    def test_does_not_replace_a_readme(self, hub: FakeHub, source: Path) -> None:
        hub.create(NAME)
        hub.commit(NAME, {"README.md": b"mine"})
        copies.publish(source, ADDRESS)
        assert hub.files(NAME)["README.md"] == b"mine"

    def test_other_content_stays_unless_overwritten(self, hub: FakeHub, source: Path) -> None:
        change(source, extra="of the first version\n")
        first = copies.publish(source, ADDRESS)
        change(source, card=CARD + "More.\n", extra=None)
        with pytest.raises(PublishError, match="holds other content"):
            copies.publish(source, ADDRESS)
        assert len(hub.repositories[NAME]) == 2
        second = copies.publish(source, ADDRESS, overwrite=True)
        assert set(hub.files(NAME)) == {*FILES, ".gitattributes", "README.md"}
        assert hub.files(NAME)["README.md"] == (CARD + "More.\n").encode()
        assert resolved(first) != resolved(second)

    def test_files_of_others_stay_unless_overwritten(self, hub: FakeHub, source: Path) -> None:
        hub.create(NAME)
        hub.commit(NAME, {"config.json": b"mine", "SHA256SUMS": b"of another form", "notes": b""})
        with pytest.raises(PublishError, match=r"holds other content \(SHA256SUMS, config\.json\)"):
            copies.publish(source, ADDRESS)
        copies.publish(source, ADDRESS, overwrite=True)
        assert set(hub.files(NAME)) == {*FILES, "README.md", "notes"}

    def test_a_commit_in_between_wins(self, hub: FakeHub, source: Path) -> None:
        hub.create(NAME)
        hub.before_commit = lambda: hub.commit(NAME, {"theirs": b""})
        with pytest.raises(PublishError, match=r"changed while .*Nothing of this was committed"):
            copies.publish(source, ADDRESS)
        assert set(hub.files(NAME)) == {"theirs"}

    @pytest.mark.parametrize("status", [401, 403])
    def test_without_the_right(self, hub: FakeHub, source: Path, status: int) -> None:
        hub.refuse = {"POST /api/repos/create": status}
        with pytest.raises(PublishError, match=rf"answered {status}: .*hf auth login"):
            copies.publish(source, ADDRESS)
        assert not hub.repositories

    def test_a_card_that_the_hub_refuses(self, hub: FakeHub, source: Path) -> None:
        change(source, card="no front matter")
        with pytest.raises(PublishError, match=r"hf://user/repository: .*"):
            copies.publish(source, ADDRESS)
        assert len(hub.repositories[NAME]) == 1

    def test_that_breaks_commits_nothing(self, hub: FakeHub, source: Path) -> None:
        hub.create(NAME)
        hub.refuse = {"PUT /lfs": 500}
        with pytest.raises(OfflineError, match="cannot be reached"):
            copies.publish(source, ADDRESS)
        assert len(hub.repositories[NAME]) == 1

    def test_of_a_damaged_source_asks_for_nothing(self, hub: FakeHub, source: Path) -> None:
        (source / "card.md").write_text("changed")
        with pytest.raises(IntegrityError, match=r"card\.md is not the file that SHA256SUMS lists"):
            copies.publish(source, ADDRESS)
        assert not hub.requests


class TestHubLoad:
    @pytest.fixture
    def published(self, hub: FakeHub, source: Path) -> copies.Publication:
        published = copies.publish(source, ADDRESS)
        hub.requests.clear()
        return published

    @pytest.mark.parametrize("revision", ["", "main", "commit"])
    def test_by_hash(self, published: copies.Publication, source: Path, revision: str) -> None:
        revision = published.revision if revision == "commit" else revision
        folder = addresses.resolve(ADDRESS, revision=revision, sha256=published.sha256)
        assert {path.name for path in folder.iterdir()} == set(NEEDED)
        for name in ("config.json", "model.weights.h5"):
            assert (folder / name).read_bytes() == (source / name).read_bytes()

    def test_by_commit_alone(
        self, hub: FakeHub, published: copies.Publication, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = addresses.resolve(ADDRESS, revision=published.revision)
        assert folder == resolved(published)
        hub.close()
        monkeypatch.setenv("ZOO_OFFLINE", "1")
        assert addresses.resolve(ADDRESS, revision=published.revision) == folder

    def test_an_earlier_commit(
        self, hub: FakeHub, published: copies.Publication, source: Path
    ) -> None:
        change(source, card=CARD + "More.\n")
        later = copies.publish(source, ADDRESS, overwrite=True)
        with pytest.raises(IntegrityError, match="SHA256SUMS is not the pinned file"):
            addresses.resolve(ADDRESS, sha256=published.sha256)
        assert resolved(published) == addresses.resolve(ADDRESS, revision=published.revision)
        assert resolved(later) != resolved(published)

    @pytest.mark.parametrize("file", NEEDED)
    @pytest.mark.parametrize(
        "damage",
        [lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: data[: len(data) // 2]],
    )
    def test_damage_on_the_way(
        self, hub: FakeHub, published: copies.Publication, file: str, damage: Callable
    ) -> None:
        hub.damage = {file: damage}
        with pytest.raises((IntegrityError, OfflineError), match=r"pinned file|cannot be reached"):
            resolved(published)
        folder = downloads.cache_dir() / "sha256" / published.sha256
        assert not (folder / file).exists()
        assert not (folder / "SHA256SUMS").exists()
        hub.damage = {}
        assert resolved(published) == folder
        assert {path.name for path in folder.iterdir()} == set(NEEDED)

    @pytest.mark.parametrize(
        ("address", "revision"),
        [
            ("hf://user/absent", ""),
            ("hf://user/repository/absent", ""),
            (ADDRESS, "absent"),
            (ADDRESS, "../main"),
        ],
    )
    def test_nothing_there(
        self, published: copies.Publication, address: str, revision: str
    ) -> None:
        with pytest.raises(MissingCheckpointError, match=r"answered 404.*Check the address"):
            addresses.resolve(address, revision=revision, sha256=published.sha256)

    @pytest.mark.parametrize("status", [401, 403])
    def test_no_right(self, hub: FakeHub, published: copies.Publication, status: int) -> None:
        hub.refuse = {"HEAD": status}
        with pytest.raises(MissingCheckpointError, match=rf"answered {status}: .*hf auth login"):
            resolved(published)

    def test_a_hub_in_trouble(self, hub: FakeHub, published: copies.Publication) -> None:
        hub.refuse = {"HEAD": 503}
        with pytest.raises(OfflineError, match="cannot be reached"):
            resolved(published)

    def test_no_hub(self, hub: FakeHub, published: copies.Publication, source: Path) -> None:
        hub.close()
        with pytest.raises(OfflineError, match=r"cannot be reached \(ConnectError"):
            resolved(published)
        with pytest.raises(OfflineError, match="cannot be reached"):
            copies.publish(source, ADDRESS)

    def test_the_library_s_own_offline_switch(
        self, published: copies.Publication, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(OfflineError, match="HF_HUB_OFFLINE"):
            resolved(published)

    def test_a_repository_that_is_no_checkpoint(self, hub: FakeHub) -> None:
        hub.create(NAME)
        commit = hub.commit(NAME, {"SHA256SUMS": b"", "config.json": b"{}"})
        with pytest.raises(FormatError, match=r"does not list config\.json"):
            addresses.resolve(ADDRESS, revision=commit)

    def test_a_name_that_the_hub_does_not_take(self) -> None:
        with pytest.raises(MissingCheckpointError, match="hf://user/a--b"):
            addresses.resolve("hf://user/a--b", sha256="0" * 64)


def test_the_hub_from_another_process_by_its_environment(source: Path, tmp_path: Path) -> None:
    """Nothing patched: `zoo publish`, then a load, each as a user runs it."""
    with FakeHub() as hub:
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
        output = subprocess.run(
            [sys.executable, "-m", "zoo.cli", "publish", source, "--to", ADDRESS, "--json"],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
            env=environment,
        ).stdout
        published = json.loads(output)
        code = f"from zoo.store import addresses; print(addresses.resolve(**{published!r}))"
        folder = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
            env=environment,
        ).stdout.strip()
    weights = Path(folder, "model.weights.h5").read_bytes()
    assert weights == (source / "model.weights.h5").read_bytes()


# --- buckets


class RamBackend(backend._TfBackend):
    """gs:// as TensorFlow's ram://, which appends to a file where a bucket replaces it: not here.

    `faults[operation]` is raised in place of an operation, `after[operation]` called once after it.
    """

    def __init__(self) -> None:
        self.faults: dict[str, Exception] = {}
        self.calls: list[tuple[str, ...]] = []
        self.after: dict[str, Callable[[], None]] = {}

    def local(self, path: Any) -> str:
        return os.fspath(path).replace("gs://", "ram://zoo/", 1)

    @property
    def gfile(self) -> Any:
        def call(operation: str) -> Callable[..., Any]:
            def inner(*paths: Any, **options: Any) -> Any:
                self.calls.append((operation, *map(str, paths)))
                if operation in self.faults:
                    raise self.faults[operation]
                places = list(map(self.local, paths))
                if operation == "copy" and tf.io.gfile.exists(places[1]):
                    tf.io.gfile.remove(places[1])
                result = getattr(tf.io.gfile, operation)(*places, **options)
                self.after.pop(operation, lambda: None)()
                return result

            return inner

        class Gfile:
            def __getattr__(self, operation: str) -> Callable[..., Any]:
                return call(operation)

        return Gfile()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RamBackend:
    ram = RamBackend()
    monkeypatch.setattr(backend, "tf_backend", ram)
    monkeypatch.setattr(gpath, "_GCS_BACKENDS", {ram})
    return ram


@pytest.fixture
def gs(bucket: RamBackend, tmp_path: Path) -> str:
    """An address that no other test uses."""
    return f"gs://bucket/{tmp_path.name}/tiny"


def ram(address: str) -> str:
    return address.replace("gs://", "ram://zoo/", 1)


def listing(address: str) -> set[str]:
    return set(tf.io.gfile.listdir(ram(address)))


def write(address: str, content: str) -> None:
    if tf.io.gfile.exists(ram(address)):
        tf.io.gfile.remove(ram(address))
    with tf.io.gfile.GFile(ram(address), "w") as file:
        file.write(content)


class TestBucket:
    def test_publish_and_load(self, gs: str, source: Path) -> None:
        published = copies.publish(source, gs)
        assert listing(gs) == FILES
        assert (published.address, published.revision) == (gs, "")
        folder = resolved(published)
        for name in ("config.json", "model.weights.h5"):
            assert (folder / name).read_bytes() == (source / name).read_bytes()

    def test_the_list_comes_last(self, bucket: RamBackend, gs: str, source: Path) -> None:
        copies.publish(source, gs)
        written = [call[2] for call in bucket.calls if call[0] == "copy" and call[2].startswith(gs)]
        assert {path.rpartition("/")[2] for path in written} == FILES
        assert written[-1] == f"{gs}/SHA256SUMS"

    def test_the_same_again_writes_nothing(self, bucket: RamBackend, gs: str, source: Path) -> None:
        first = copies.publish(source, gs)
        bucket.calls.clear()
        assert copies.publish(source, gs) == first
        assert not [call for call in bucket.calls if call[0] == "copy" and call[2].startswith(gs)]

    def test_interrupted_it_is_not_loaded_and_can_be_finished(
        self, bucket: RamBackend, gs: str, source: Path
    ) -> None:
        sha256 = copies.publish(source, source.parent / "elsewhere").sha256
        bucket.after["copy"] = lambda: bucket.faults.update(
            copy=tf.errors.UnavailableError(None, None, "the line is down")
        )
        with pytest.raises(OfflineError, match="UnavailableError: the line is down"):
            copies.publish(source, gs)
        assert len(listing(gs)) == 1
        assert "SHA256SUMS" not in listing(gs)
        bucket.faults.clear()
        with pytest.raises(MissingCheckpointError, match="SHA256SUMS"):
            addresses.resolve(gs, sha256=sha256)
        assert copies.publish(source, gs).sha256 == sha256
        assert listing(gs) == FILES

    def test_other_content_stays_unless_overwritten(self, gs: str, source: Path) -> None:
        change(source, extra="of the first version\n")
        first = copies.publish(source, gs)
        change(source, card=CARD + "More.\n", extra=None)
        with pytest.raises(PublishError, match=r"holds other content .*overwrite"):
            copies.publish(source, gs)
        assert "extra.md" in listing(gs)
        write(f"{gs}/notes", "of somebody else")
        second = copies.publish(source, gs, overwrite=True)
        assert listing(gs) == {*FILES, "notes"}
        resolved(second)
        with pytest.raises(IntegrityError, match="SHA256SUMS is not the pinned file"):
            resolved(first)

    def test_files_of_others_stay_unless_overwritten(self, gs: str, source: Path) -> None:
        write(f"{gs}/SHA256SUMS", "of another form")
        with pytest.raises(PublishError, match=r"holds other content \(SHA256SUMS\)"):
            copies.publish(source, gs)
        resolved(copies.publish(source, gs, overwrite=True))

    def test_a_second_publisher_is_noticed(self, bucket: RamBackend, gs: str, source: Path) -> None:
        bucket.after["copy"] = lambda: write(f"{gs}/card.md", "of somebody else")
        with pytest.raises(IntegrityError, match=r"card\.md is not what was written"):
            copies.publish(source, gs)

    def test_damage_is_refused_and_not_kept(self, gs: str, source: Path) -> None:
        published = copies.publish(source, gs)
        write(f"{gs}/model.weights.h5", "damaged")
        with pytest.raises(IntegrityError, match=r"model\.weights\.h5 is not the pinned file"):
            resolved(published)
        folder = downloads.cache_dir() / "sha256" / published.sha256
        assert {path.name for path in folder.iterdir()} == {"config.json"}

    def test_nothing_there(self, gs: str) -> None:
        with pytest.raises(
            MissingCheckpointError, match=r"no gs://.*/SHA256SUMS\. Check the address"
        ):
            addresses.resolve(gs, sha256="0" * 64)

    def test_no_right(self, bucket: RamBackend, gs: str, source: Path) -> None:
        denied = tf.errors.PermissionDeniedError(None, None, "not for you")
        bucket.faults = {"copy": denied, "exists": denied}
        with pytest.raises(MissingCheckpointError, match=r"not for you.*gcloud auth"):
            addresses.resolve(gs, sha256="0" * 64)
        with pytest.raises(PublishError, match=r"not for you.*gcloud auth"):
            copies.publish(source, gs)


@pytest.mark.parametrize(
    ("address", "module", "extra"),
    [(ADDRESS, "huggingface_hub", "hub"), ("gs://bucket/path", "etils", "gs")],
)
def test_a_library_that_is_not_installed(
    address: str, module: str, extra: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'density-zoo\[{extra}\]'"):
        addresses.resolve(address, sha256="0" * 64)
    with pytest.raises(MissingExtraError, match=rf"pip install 'density-zoo\[{extra}\]'"):
        copies.publish(source, address)


def test_the_web_is_only_read(source: Path) -> None:
    with pytest.raises(PublishError, match="can be read, not written"):
        copies.publish(source, "https://host/path")


@pytest.mark.parametrize("to", ["gs://bucket/path", "folder"])
def test_only_a_repository_is_private(source: Path, to: str) -> None:
    with pytest.raises(InvalidInputError, match="private goes with an hf:// address"):
        copies.publish(source, to, private=True)


def test_the_hash_is_the_same_everywhere(
    hub: FakeHub, gs: str, source: Path, tmp_path: Path
) -> None:
    places = [ADDRESS, f"{ADDRESS}/folder", gs, tmp_path / "folder"]
    assert len({copies.publish(source, place).sha256 for place in places}) == 1
    copy = Path(shutil.copytree(tmp_path / "folder", tmp_path / "renamed"))
    again = copies.publish(copy, tmp_path / "again")
    assert again.sha256 == sha256_of(tmp_path / "folder" / "SHA256SUMS")
