"""Buckets, and what all addresses have in common."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from fake_hub import FakeHub
from remote_places import (
    ADDRESS,
    CARD,
    FILES,
    RamBackend,
    change,
    listing,
    resolved,
    write,
)

from zoo.errors import (
    IntegrityError,
    InvalidInputError,
    MissingCheckpointError,
    MissingExtraError,
    OfflineError,
    PublishError,
)
from zoo.publishing import copies
from zoo.store import addresses, downloads
from zoo.store.hashes import sha256_of

# Of the library's own, when it sends a large file without Xet.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


class TestBucket:
    def test_publish_and_load(self, gs: str, source: Path) -> None:
        published = copies.publish(source, gs)
        assert listing(gs) == FILES
        assert (published.address, published.revision) == (gs, "")
        folder = resolved(published)
        for name in ("config.json", "model.weights.h5"):
            assert (folder / name).read_bytes() == (source / name).read_bytes()

    def test_a_file_larger_than_any_is_not_copied(
        self, bucket: RamBackend, gs: str, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = copies.publish(source, gs)
        bucket.calls.clear()
        monkeypatch.setattr(downloads, "MAX_BYTES", 100)
        with pytest.raises(IntegrityError, match=r"weights\.h5 has 5,120 bytes; 100 at most"):
            resolved(published)
        assert not [call for call in bucket.calls if call[0] == "copy" and "weights" in call[1]]

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
