"""The Hugging Face Hub: publishing to it and loading from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_hub import FakeHub
from huggingface_hub import constants
from remote_places import (
    ADDRESS,
    CARD,
    FILES,
    NAME,
    NEEDED,
    change,
    resolved,
)

from zoo.errors import (
    FormatError,
    IntegrityError,
    MissingCheckpointError,
    OfflineError,
    PublishError,
)
from zoo.publishing import copies
from zoo.store import addresses, downloads

# Of the library's own, when it sends a large file without Xet.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


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

    def test_a_file_larger_than_any_is_not_downloaded(
        self, hub: FakeHub, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = copies.publish(source, ADDRESS)
        monkeypatch.setattr(downloads, "MAX_BYTES", 100)
        with pytest.raises(IntegrityError, match=r"weights\.h5 has 5,120 bytes; 100 at most"):
            resolved(published)
        assert not list(downloads.cache_dir().rglob("model.weights.h5"))

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
