"""Checkpoint folders in Google Cloud Storage: gs://bucket/path, through etils.epath.

epath uses TensorFlow's own client, so that credentials and settings (`gcloud auth
application-default login`, `GOOGLE_APPLICATION_CREDENTIALS`, `GCS_*`) are those of TFDS and
checkpoints elsewhere. An object is written whole or not at all; a folder is not, so `SHA256SUMS` is
the first to go and the last to come: without it nothing is loaded.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import (
    FormatError,
    IntegrityError,
    InvalidInputError,
    MissingCheckpointError,
    MissingExtraError,
    OfflineError,
    PublishError,
    ZooError,
)
from zoo.store import downloads
from zoo.store.files import replacing
from zoo.store.hashes import SUMS_FILE, read_sha256sums, sha256_of, verify_fetched

__all__ = ["Bucket"]

_DENIED = ("PermissionDeniedError", "UnauthenticatedError", "PermissionError", "Forbidden")


@dataclass(frozen=True)
class Bucket:
    """A folder of a bucket: the objects `<url>/<file>`."""

    url: str
    is_immutable = False

    @classmethod
    def parse(cls, location: str) -> Bucket:
        """The folder at gs://location."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]+(/[^/?#*]+)+", location):
            raise InvalidInputError(f"Expected gs://bucket/path; got 'gs://{location}'.")
        return cls(f"gs://{location}")

    def __str__(self) -> str:
        """The address."""
        return self.url

    def fetch(self, file: str, folder: Path, sha256: str) -> None:
        """See `zoo.store.remotes.Remote`."""
        with replacing(folder / file) as temporary:
            with self._explained(MissingCheckpointError, file):
                self._refuse_large(file)
                self._object(file).copy(temporary, overwrite=True)
            verify_fetched(temporary, sha256, f"{self}/{file}")

    def _refuse_large(self, file: str) -> None:
        """Raises IntegrityError for a file that fills the disk before its hash is known."""
        size, most = 0, downloads.most_bytes(file)
        with contextlib.suppress(FileNotFoundError):  # which copying it says
            size = self._object(file).stat().length
        if size > most:
            raise IntegrityError(
                f"{self}/{file} has {size:,} bytes; {most:,} at most are expected."
            )

    def publish(self, stage: Path, *, overwrite: bool) -> None:
        """Puts the files of `stage` into the folder, `SHA256SUMS` last, and reads them back.

        What is there already is not written again, so that an interrupted call can be repeated.

        Raises:
            PublishError: The folder holds other content and `overwrite` is False; no right to
                write.
            OfflineError: The bucket cannot be reached.
            IntegrityError: What is read back is not what was written: somebody else wrote as well.
        """
        ours = {path.name: sha256_of(path) for path in stage.iterdir()}
        with self._explained(PublishError):
            theirs = {file: self._sha256(file) for file in ours if self._object(file).exists()}
            other = sorted(file for file in theirs if theirs[file] != ours[file])
            if other and not overwrite:
                raise PublishError(
                    f"{self} holds other content ({', '.join(other[:3])}). Choose another address, "
                    "or overwrite it."
                )
            if SUMS_FILE in other:
                stale = self._listed() - set(ours)
                for file in (SUMS_FILE, *sorted(stale)):
                    self._object(file).unlink(missing_ok=True)
            missing = sorted(file for file in ours if theirs.get(file) != ours[file])
            for file in sorted(missing, key=lambda file: file == SUMS_FILE):
                _path(stage / file).copy(self._object(file), overwrite=True)
            for file in missing:
                if self._sha256(file) != ours[file]:
                    raise IntegrityError(
                        f"{self}/{file} is not what was written: somebody else publishes there as "
                        "well. Publish again when they are done."
                    )

    def _object(self, file: str) -> Any:
        return _path(self.url) / file

    def _sha256(self, file: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            self.fetch(file, Path(folder), "")
            return sha256_of(Path(folder, file))

    def _listed(self) -> set[str]:
        """The files that were published here before."""
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(FormatError):
            self.fetch(SUMS_FILE, Path(folder), "")
            return set(read_sha256sums(folder))
        return set()  # somebody else's file: none of it is ours

    @contextlib.contextmanager
    def _explained(self, refusal: type[ZooError], file: str = "") -> Iterator[None]:
        """The errors of TensorFlow or fsspec as the zoo's."""
        where = f"{self}/{file}".rstrip("/")
        try:
            yield
        except ZooError:
            raise
        except FileNotFoundError as error:
            raise refusal(f"There is no {where}. Check the address.") from error
        except Exception as error:  # each of epath's backends has its own
            kind = type(error).__name__
            if kind in _DENIED:
                raise refusal(
                    f"{where} is not accessible ({_first_line(error)}). `gcloud auth "
                    "application-default login` gives access."
                ) from error
            if isinstance(error, OSError) and error.errno is not None:  # of this machine
                raise
            raise OfflineError(
                f"{where} cannot be reached ({kind}: {_first_line(error)}). Check the network and "
                "try again."
            ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["no reason given"])[0]


def _path(path: str | Path) -> Any:
    try:
        from etils import epath
    except ImportError as error:
        raise MissingExtraError(
            "gs:// addresses need etils.epath: pip install 'density-zoo[gs]'."
        ) from error
    return epath.Path(path)
