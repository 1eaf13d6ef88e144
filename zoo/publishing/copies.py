"""Publishing: a checkpoint folder copied, with its card, manifest and hashes, to where it is read.

    "some/folder"                    a folder that is not there yet
    "hf://user/repository[/folder]"  the Hugging Face Hub: one commit
    "gs://bucket/path"               Google Cloud Storage: `SHA256SUMS` last

`zoo.load` takes the same addresses, and https:// for a folder behind a web server. The source is
verified first, copied, and the copy verified. Each copy has a `manifest.json` (name, version,
family, and every file's size and hash) and a `SHA256SUMS` over all files, manifest included, whose
own SHA-256 pins them all. Equal content gives equal bytes: that hash is the same everywhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import loading
from zoo.errors import CheckpointError, InvalidInputError, PublishError, ZooError
from zoo.publishing.card import CARD_FILE
from zoo.publishing.staging import OLD, staged
from zoo.store import pins, remotes
from zoo.store.files import check_file, replacing, write_json_atomic
from zoo.store.folder import CONFIG_FILE, METRICS_FILE, RECIPE_FILE, RUN_FILE, read_config
from zoo.store.hashes import (
    SUMS_FILE,
    read_sha256sums,
    sha256_of,
    verify_sha256sums,
    write_sha256sums,
)
from zoo.store.weights import WEIGHTS_FILE

__all__ = ["MANIFEST_FILE", "Publication", "is_run", "parsed_address", "publish"]

MANIFEST_FILE = "manifest.json"
MANIFEST_VERSION = 1
_ATTEMPTS = 20  # at a place where others publish at the same time
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)

# Of a folder without SHA256SUMS: what a checkpoint is made of, and no training state or logs.
_OF_A_RUN = (
    CONFIG_FILE,
    RECIPE_FILE,
    WEIGHTS_FILE,
    "card.md",
    "golden.npz",
    "history.csv",
    METRICS_FILE,
    RUN_FILE,
    "calibration.png",
    "pairs.png",
    "samples.csv",
    "samples.png",
)


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Where a checkpoint was published to, and what pins it: the arguments of `zoo.load`.

    `revision` is the commit of an hf:// address, "" elsewhere.
    """

    address: str
    sha256: str
    revision: str = ""

    def __str__(self) -> str:
        """The call that loads it."""
        revision = f', revision="{self.revision}"' if self.revision else ""
        return f'zoo.load("{self.address}"{revision}, sha256="{self.sha256}")'


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A verified folder, and those of its files that are published: {file: SHA-256}."""

    folder: Path
    name: str
    version: int
    digests: Mapping[str, str]


def publish(
    name: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    private: bool = False,
) -> Publication:
    """Copies a checkpoint to an address; a reader finds all of it there, or none.

    Publishing again what is there already changes nothing, and finishes what was interrupted.

    Args:
        name: A name with published weights, or the path of a checkpoint folder. A folder without
            `SHA256SUMS` is loaded once to see that it is whole. A run of `zoo train` is copied as
            it is; `zoo.publishing.release` makes a release of it.
        to: The path of a folder, or an hf:// or gs:// address.
        overwrite: Replace another checkpoint that lies there. Only what a `SHA256SUMS` lists is
            ever replaced in a folder.
        private: A repository that has to be made on the Hub is a private one.

    Raises:
        UnknownModelError: No such name; close ones are named.
        InvalidInputError: An address of an unknown kind.
        PublishError: Other content lies there; it cannot be written; it can only be read.
        CheckpointError: The source is missing, damaged or not what is pinned.
        MissingExtraError: The library for this kind of address is not installed.
        OfflineError: The address cannot be reached.
    """
    remote = parsed_address(to, private=private)
    source = _source(name)
    try:
        if remote is None:
            return _to_folder(source, Path(to).expanduser(), overwrite=overwrite)
        with tempfile.TemporaryDirectory() as folder:
            stage = Path(folder)
            digest = _stage(source, stage)
            revision = ""
            if isinstance(remote, remotes.Hub):
                revision = remote.publish(
                    stage, name=source.name, overwrite=overwrite, private=private
                )
            else:
                remote.publish(stage, overwrite=overwrite)
    except OSError as error:
        if isinstance(error, ZooError):
            raise
        raise PublishError(
            f"{to} cannot be published to ({error}). Nothing there was changed: make room, or "
            "choose another place."
        ) from error
    return Publication(address=str(remote), sha256=digest, revision=revision)


def parsed_address(
    to: str | os.PathLike[str], *, private: bool = False
) -> remotes.Hub | remotes.Bucket | None:
    """The Hub or the bucket of an address; None for a folder. Connects to nothing.

    Raises PublishError and InvalidInputError for what cannot be published to.
    """
    remote = remotes.parse(str(to)) if remotes.is_address(to) else None
    if isinstance(remote, remotes.Web):
        raise PublishError(
            f"{remote} can be read, not written: publish to a folder, and serve that."
        )
    if private and not isinstance(remote, remotes.Hub):
        raise InvalidInputError(f"private goes with an hf:// address; got it for {str(to)!r}.")
    return remote


# --- the source, verified, and a copy of it, verified


def is_run(name: str | os.PathLike[str]) -> bool:
    """Whether `name` is a folder as training leaves it: its hashes list no card and no manifest."""
    if not loading.is_folder(name):
        return False
    folder = Path(name).expanduser()
    hashed = (folder / SUMS_FILE).is_file()
    return not hashed or not {CARD_FILE, MANIFEST_FILE} & read_sha256sums(folder).keys()


def _source(name: str | os.PathLike[str]) -> _Source:
    if remotes.is_address(name):
        raise InvalidInputError(
            f"Expected a name or a folder on this machine to publish; got {str(name)!r}."
        )
    if not loading.is_folder(name):
        folder = loading.resolve(str(name))
        pin = pins.pins()[str(name)]
        files = {file: known for file, known in pin["files"].items() if file != SUMS_FILE}
        digests = {file: known["sha256"] for file, known in files.items()}
        return _Source(folder=folder, name=str(name), version=pin["version"], digests=digests)
    folder = Path(name).expanduser().resolve()
    if verify_sha256sums(folder):
        digests = read_sha256sums(folder)
    else:
        present = [file for file in _OF_A_RUN if os.path.lexists(folder / file)]
        for file in present:
            check_file(folder / file, links=False)
        loading.load(folder)
        digests = {file: sha256_of(folder / file) for file in present}
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if file not in digests:
            raise PublishError(f"{SUMS_FILE} in {folder} does not list {file}: hash it first.")
    return _Source(folder=folder, name=folder.name, version=0, digests=digests)


def _stage(source: _Source, stage: Path) -> str:
    """Copies the files into an empty folder, `SHA256SUMS` last; returns the hash of that."""
    for file, digest in source.digests.items():
        check_file(source.folder / file, links=False)
        with replacing(stage / file) as temporary:
            shutil.copyfile(source.folder / file, temporary)
            if sha256_of(temporary) != digest:
                raise PublishError(f"{source.folder / file} changed while it was being copied.")
    if MANIFEST_FILE not in source.digests:  # a published folder keeps its own
        write_json_atomic(stage / MANIFEST_FILE, _manifest(source, stage))
    write_sha256sums(stage)
    return sha256_of(stage / SUMS_FILE)


def _manifest(source: _Source, stage: Path) -> dict[str, Any]:
    """What lies here; `files` has the form of an entry of the registry's pins."""
    return {
        "manifest_version": MANIFEST_VERSION,
        "name": source.name,
        "version": source.version,
        "family": read_config(stage)["family"],
        "files": {
            file: {"sha256": digest, "size": (stage / file).stat().st_size}
            for file, digest in sorted(source.digests.items())
        },
    }


# --- folders


def _to_folder(source: _Source, place: Path, *, overwrite: bool) -> Publication:
    """Stages beside the place, and moves there in one step."""
    target = place.resolve()  # through links: what they point to is replaced, not they
    with staged(target, is_published=lambda _: False) as stage:
        digest = _stage(source, stage)
        _move(stage, target, digest, overwrite=overwrite)
    # A path to `zoo.load`, were it a registered name.
    address = str(place) if os.sep in str(place) else os.path.join(os.curdir, place)
    return Publication(address=address, sha256=digest)


def _move(stage: Path, target: Path, digest: str, *, overwrite: bool) -> None:
    """Renames the staged folder to its place, unless the same content is there.

    A folder is never renamed onto one with content, so that of two processes one wins whole; the
    other then finds the place taken. What is overwritten goes last, and comes back after an error.
    """
    old: list[Path] = []
    for attempt in range(_ATTEMPTS):
        try:
            stage.rename(target)
        except OSError as error:
            if not target.exists():
                if error.errno in _TAKEN:  # it was there, and somebody else has just moved it
                    continue
                if old:
                    old.pop().rename(target)
                raise
        else:
            break
        found = _identity(target)
        if _holds(target, digest):
            break
        if not overwrite:
            raise PublishError(
                f"{target} holds other content. Choose another folder, or overwrite it."
            )
        try:
            _refuse_foreign(target)
        except (PublishError, FileNotFoundError):
            if _identity(target) != found:  # as above, and perhaps another is there by now
                continue
            raise
        aside = stage.with_name(f"{OLD}-{attempt}")
        with contextlib.suppress(FileNotFoundError):  # as above
            old.append(target.rename(aside))
    else:
        if old and not target.exists():
            old.pop().rename(target)
        raise PublishError(f"Others publish to {target} as well. Publish again when they are done.")
    for aside in old:
        shutil.rmtree(aside)


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells this folder from any other of the same path; None where there is none."""
    try:
        status = folder.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _holds(folder: Path, digest: str) -> bool:
    """Whether the folder is a whole copy with that hash."""
    try:
        return sha256_of(folder / SUMS_FILE) == digest and verify_sha256sums(folder)
    except (OSError, CheckpointError):
        return False


def _refuse_foreign(folder: Path) -> None:
    """Raises PublishError for a folder with anything that its own `SHA256SUMS` does not list."""
    if not folder.is_dir():
        raise PublishError(f"{folder} is a file, not a checkpoint folder: it stays.")
    try:
        listed = {*read_sha256sums(folder), SUMS_FILE}
    except CheckpointError as error:
        raise PublishError(f"{folder} is no published checkpoint, and stays: {error}") from error
    foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in listed)
    if foreign:
        raise PublishError(
            f"{folder} holds more than a checkpoint ({', '.join(foreign[:3])}), and stays. Choose "
            "another folder."
        )
