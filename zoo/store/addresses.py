"""What lies at an address, as a verified folder on this machine.

The caller pins content by one hash, the SHA-256 of the folder's `SHA256SUMS`, which holds those of
all the files. Without it nothing is loaded, with one exception: a full commit hash as the revision
of an hf:// address, whose content the Hub promises not to change.

    sha256 ──▶ SHA256SUMS ──▶ config.json, model.weights.h5

These three files are all that is downloaded, and none is executed. They lie in the cache under the
hash, wherever they came from, and `SHA256SUMS` comes last: a folder with it is complete. They are
hashed on every load. A cache that holds them is only read: it may be read-only, and the network is
not asked.

    <cache>/sha256/<hash>/          the three files
    <cache>/revisions/<hash>/       SHA256SUMS of a commit, the hash that of address and commit
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path

from zoo.errors import FormatError, IntegrityError, InvalidInputError, OfflineError
from zoo.store import downloads, remotes
from zoo.store.folder import CONFIG_FILE
from zoo.store.hashes import SUMS_FILE, read_sha256sums, sha256_of, verify_listed
from zoo.store.weights import WEIGHTS_FILE

__all__ = ["NEEDED", "checked_sha256", "resolve", "verify"]

NEEDED = (CONFIG_FILE, WEIGHTS_FILE)
"""The files that make a model."""


def resolve(address: str, *, revision: str = "", sha256: str = "") -> Path:
    """The folder in the cache with the files at an address, verified; downloaded where need be.

    Args:
        address: "hf://user/repository[/folder]", "gs://bucket/path" or "https://host/path".
        revision: A branch, tag or commit of an hf:// address.
        sha256: That of `SHA256SUMS`; may be left out where `revision` is a full commit hash.

    Raises:
        InvalidInputError: No such kind of address, no sha256, or a malformed one.
        MissingCheckpointError: Nothing there, no right to read it, or the cache cannot be written.
        MissingExtraError: The library for this kind of address is not installed.
        OfflineError: A download is needed, and is forbidden or not possible.
        IntegrityError: A file is not the pinned one.
        FormatError: It is not a checkpoint folder.
    """
    remote = remotes.parse(address, revision=revision)
    digest = checked_sha256(sha256) if sha256 else _digest_of_commit(remote)
    folder = downloads.cache_dir() / "sha256" / digest
    if (folder / SUMS_FILE).is_file():
        verify(folder, digest)
    else:
        _refuse_offline(remote)
        with downloads.filling(folder, what=str(remote)):
            _fill(folder, remote, digest)
    return folder


def checked_sha256(sha256: str) -> str:
    """The hash in lower case. Raises InvalidInputError for anything but 64 hexadecimal digits."""
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise InvalidInputError(f"sha256 is 64 hexadecimal digits; got {sha256!r}.")
    return sha256.lower()


def verify(folder: Path, sha256: str, *, whole: bool = False) -> None:
    """Checks a folder's `SHA256SUMS` against its hash, and config and weights against it.

    whole: every file that it lists is checked.

    Raises:
        MissingCheckpointError: One of them is absent.
        IntegrityError: One of them has another hash.
        FormatError: `SHA256SUMS` does not list config and weights.
    """
    digests = read_sha256sums(folder)
    if (found := sha256_of(folder / SUMS_FILE)) != sha256:
        raise IntegrityError(
            f"{folder / SUMS_FILE} has the SHA-256 {found[:16]}…; {sha256[:16]}… is expected. The "
            "folder holds another checkpoint or is damaged: check the hash, or remove the folder."
        )
    needed = {file: _listed(digests, file, folder) for file in NEEDED}
    for file, digest in (digests if whole else needed).items():
        verify_listed(folder / file, digest)


def _listed(digests: dict[str, str], file: str, where: object) -> str:
    if file not in digests:
        raise FormatError(f"{SUMS_FILE} in {where} does not list {file}: it is no checkpoint's.")
    return digests[file]


def _digest_of_commit(remote: remotes.Remote) -> str:
    """The hash of `SHA256SUMS` at an immutable revision: asked for once, then remembered."""
    if not remote.is_immutable:
        raise InvalidInputError(
            f"What lies at {remote} can change, so it is loaded by its hash alone: pass sha256=, "
            f"the SHA-256 of its {SUMS_FILE}, which `zoo publish` printed. On the Hub a full "
            "commit hash as revision= does as well."
        )
    key = hashlib.sha256(repr(remote).encode()).hexdigest()
    folder = downloads.cache_dir() / "revisions" / key
    path = folder / SUMS_FILE
    if not path.is_file():
        _refuse_offline(remote)
        with downloads.filling(folder, what=str(remote)):
            if not path.is_file():
                remote.fetch(SUMS_FILE, folder, "")
    return sha256_of(path)


def _refuse_offline(remote: remotes.Remote) -> None:
    if downloads.is_offline():
        raise OfflineError(
            f"{remote} is not in the cache ({downloads.cache_dir()}) and ZOO_OFFLINE forbids a "
            "download. Load it once with the network, or unset ZOO_OFFLINE."
        )


def _fill(folder: Path, remote: remotes.Remote, sha256: str) -> None:
    """Fetches what the folder lacks, `SHA256SUMS` last; under the folder's lock.

    Each file is hashed once: as it comes, or where it lies.
    """
    if (folder / SUMS_FILE).is_file():
        verify(folder, sha256)  # another process was faster
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=f"{downloads.INCOMING}-") as incoming:
        remote.fetch(SUMS_FILE, Path(incoming), sha256)
        digests = read_sha256sums(incoming)
        wanted = {file: _listed(digests, file, remote) for file in NEEDED}
        for file, digest in wanted.items():
            there = (folder / file).is_file() and sha256_of(folder / file) == digest
            if not there:
                remote.fetch(file, folder, digest)
        Path(incoming, SUMS_FILE).replace(folder / SUMS_FILE)
