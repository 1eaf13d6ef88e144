"""SHA-256 of a folder's files: written, verified, and each kind of damage refused."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from zoo.errors import (
    FormatError,
    IntegrityError,
    MissingCheckpointError,
)
from zoo.store.hashes import sha256_of, verify_files, verify_sha256sums, write_sha256sums


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("alpha")
    (folder / "b.bin").write_bytes(bytes(range(256)))
    (folder / ".hidden").write_text("not listed")
    return folder


class TestHashes:
    def test_against_hashlib(self, folder: Path) -> None:
        expected = hashlib.sha256(bytes(range(256))).hexdigest()
        assert sha256_of(folder / "b.bin") == expected

    def test_sums_are_those_of_sha256sum(self, folder: Path) -> None:
        files = write_sha256sums(folder)
        assert sorted(files) == ["a.txt", "b.bin"]
        assert files["a.txt"] == {"sha256": hashlib.sha256(b"alpha").hexdigest(), "size": 5}
        assert verify_sha256sums(folder)
        if shutil.which("sha256sum"):
            subprocess.run(
                ["sha256sum", "--check", "--status", "SHA256SUMS"], cwd=folder, check=True
            )

    def test_a_folder_without_sums_is_not_verified(self, folder: Path) -> None:
        assert verify_sha256sums(folder) is False

    @pytest.mark.parametrize("position", [0, 100, 255])
    def test_one_flipped_bit(self, folder: Path, position: int) -> None:
        pinned = write_sha256sums(folder)
        verify_files(folder, pinned)
        data = bytearray((folder / "b.bin").read_bytes())
        data[position] ^= 1
        (folder / "b.bin").write_bytes(data)
        with pytest.raises(IntegrityError, match=r"b\.bin has the SHA-256"):
            verify_files(folder, pinned)
        with pytest.raises(IntegrityError, match=r"b\.bin is not the file"):
            verify_sha256sums(folder)

    def test_another_size(self, folder: Path) -> None:
        pinned = write_sha256sums(folder)
        os.truncate(folder / "b.bin", 10)
        with pytest.raises(IntegrityError, match="has 10 bytes; 256 are pinned"):
            verify_files(folder, pinned)

    def test_a_missing_file_and_a_missing_folder(self, folder: Path, tmp_path: Path) -> None:
        pinned = write_sha256sums(folder)
        (folder / "a.txt").unlink()
        with pytest.raises(MissingCheckpointError, match=r"a\.txt is missing in"):
            verify_files(folder, pinned)
        with pytest.raises(MissingCheckpointError, match=r"a\.txt is missing in"):
            verify_sha256sums(folder)
        with pytest.raises(MissingCheckpointError, match="No checkpoint folder"):
            verify_files(tmp_path / "absent", pinned)

    @pytest.mark.parametrize("line", ["abc  a.txt", f"{'0' * 64}  ../a.txt", "nonsense"])
    def test_malformed_sums(self, folder: Path, line: str) -> None:
        (folder / "SHA256SUMS").write_text(line + "\n")
        with pytest.raises(FormatError, match="no 'hash  file name'"):
            verify_sha256sums(folder)
