"""Checkpoint folders on the Hugging Face Hub: hf://user/repository[/folder].

The Hub's own library does the talking: `HF_TOKEN` or `hf auth login` for private repositories,
`HF_ENDPOINT` for another Hub, `HF_HUB_OFFLINE`, proxies, retries and timeouts are its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
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
from zoo.media.console import interactive
from zoo.store import downloads
from zoo.store.files import replacing
from zoo.store.hashes import SUMS_FILE, read_sha256sums, sha256_of, verify_fetched

__all__ = ["Hub"]

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_CARD, _README = "card.md", "README.md"
_REFUSED = (400, 401, 403, 404, 410)
_CHANGED = (409, 412)


@dataclass(frozen=True)
class Hub:
    """A folder of a model repository, at a revision ("" for the default branch)."""

    repository: str
    folder: str = ""
    revision: str = ""

    @classmethod
    def parse(cls, location: str, *, revision: str) -> Hub:
        """The folder at hf://location."""
        match = re.fullmatch(rf"({_NAME}/{_NAME})((?:/{_NAME})*)", location)
        if match is None:
            raise InvalidInputError(
                "Expected hf://user/repository or hf://user/repository/folder, with a revision as "
                f"an argument of its own; got 'hf://{location}'."
            )
        return cls(match[1], match[2].lstrip("/"), revision)

    def __str__(self) -> str:
        """The address."""
        return f"hf://{self.repository}/{self.folder}".rstrip("/")

    @property
    def is_immutable(self) -> bool:
        """Whether the revision is a full commit hash, which names the same content for ever."""
        return re.fullmatch("[0-9a-f]{40}", self.revision) is not None

    def fetch(self, file: str, folder: Path, sha256: str) -> None:
        """See `zoo.store.remotes.Remote`."""
        library = _library()
        incoming = folder / downloads.INCOMING  # where the library keeps what it can resume
        with self._explained(MissingCheckpointError):
            self._refuse_large(file)
            path = library.hf_hub_download(
                self.repository,
                self._path(file),
                revision=self.revision or None,
                local_dir=incoming,
                library_name="zoo",
            )
        with replacing(folder / file) as temporary:
            shutil.copyfile(path, temporary)
            shutil.rmtree(incoming)  # what is damaged must not be resumed
            verify_fetched(temporary, sha256, f"{self}/{file}")

    def _refuse_large(self, file: str) -> None:
        """Raises IntegrityError for a file that fills the disk before its hash is known."""
        library = _library()
        url = library.hf_hub_url(self.repository, self._path(file), revision=self.revision or None)
        size, most = library.get_hf_file_metadata(url).size or 0, downloads.most_bytes(file)
        if size > most:
            raise IntegrityError(
                f"{self}/{file} has {size:,} bytes; {most:,} at most are expected."
            )

    def publish(self, stage: Path, *, name: str, overwrite: bool, private: bool) -> str:
        """Puts the files of `stage` into the folder, in one commit; returns its hash.

        Nothing is committed where the folder holds these files already. The repository is made
        where there is none, and shows the card as its README.md where it has none.

        Raises:
            PublishError: The folder holds other content and `overwrite` is False; a public
                repository, and `private` is True; no right to write; another commit came in
                between; a card that the Hub refuses.
            OfflineError: The Hub cannot be reached.
        """
        api = _library().HfApi(library_name="zoo")
        with self._explained(PublishError):
            head = self._head(api, private=private)
            if private and not head.private:
                raise PublishError(f"{self} is public already: private makes new repositories so.")
            present = {entry.rfilename for entry in head.siblings or ()}
            files = {path.name: path for path in stage.iterdir()}
            old, digest = self._published(head.sha, present)
            taken = {file for file in {*files, *old} if self._path(file) in present}
            if taken == set(files) and digest == sha256_of(stage / SUMS_FILE):
                return str(head.sha)
            if taken and not overwrite:
                raise PublishError(
                    f"{self} holds other content ({', '.join(sorted(taken)[:3])}). Choose another "
                    "address, or overwrite it: the Hub keeps the earlier commits."
                )
            add = {self._path(file): path for file, path in files.items()}
            if _CARD in files and not self.folder and (overwrite or _README not in present):
                add[_README] = files[_CARD]
            delete = sorted({self._path(file) for file in taken} - set(add))
            return self._commit(api, add, delete, parent=head.sha, message=f"Publish {name}")

    def _path(self, file: str) -> str:
        return f"{self.folder}/{file}" if self.folder else file

    def _head(self, api: Any, *, private: bool) -> Any:
        """The newest commit, with its files; of a new repository where there is none."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            return api.model_info(self.repository)
        except RepositoryNotFoundError:
            api.create_repo(self.repository, private=private)
            return api.model_info(self.repository)

    def _published(self, commit: str, present: Collection[str]) -> tuple[list[str], str]:
        """The files that were published here before, and the SHA-256 of their `SHA256SUMS`."""
        if self._path(SUMS_FILE) not in present:
            return [], ""
        with tempfile.TemporaryDirectory() as folder:
            dataclasses.replace(self, revision=commit).fetch(SUMS_FILE, Path(folder), "")
            digest = sha256_of(Path(folder, SUMS_FILE))
            with contextlib.suppress(FormatError):  # somebody else's file: none of it is ours
                return list(read_sha256sums(folder)), digest
            return [], digest

    def _commit(
        self, api: Any, add: Mapping[str, Path], delete: list[str], *, parent: str, message: str
    ) -> str:
        library = _library()
        operations = [library.CommitOperationAdd(to, path) for to, path in sorted(add.items())]
        operations += [library.CommitOperationDelete(path) for path in delete]
        commit = api.create_commit(
            self.repository, operations, commit_message=message, parent_commit=parent
        )
        return str(commit.oid)

    @contextlib.contextmanager
    def _explained(self, refusal: type[ZooError]) -> Iterator[None]:
        """The library's errors as the zoo's; `refusal` for what the Hub has not or does not let."""
        from huggingface_hub.errors import LocalEntryNotFoundError
        from huggingface_hub.utils import httpx

        try:
            with _progress():
                yield
        except ZooError:
            raise
        except (httpx.HTTPError, OSError, RuntimeError, ValueError) as error:
            wraps = isinstance(error, LocalEntryNotFoundError | RuntimeError)
            cause = error.__cause__ or error if wraps else error
            raise self._translated(cause, refusal) from error

    def _translated(self, error: BaseException, refusal: type[ZooError]) -> BaseException:
        from huggingface_hub.errors import HfHubHTTPError

        status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
        if status in _CHANGED:
            return PublishError(
                f"{self} changed while it was being published to. Nothing of this was committed: "
                "look at it, and publish again."
            )
        if status in _REFUSED:
            return refusal(
                f"{self} answered {status}: {_first_line(error)} Check the address and the "
                "revision; `hf auth login` gives access to what is private."
            )
        if not status and isinstance(error, ValueError):  # a name or a card it does not take
            return refusal(f"{self}: {_first_line(error)}")
        if not status and isinstance(error, OSError) and error.errno is not None:
            return error  # of this machine: its disk, its permissions
        return OfflineError(
            f"{self} cannot be reached ({type(error).__name__}: {_first_line(error)}). Check the "
            "network, HF_ENDPOINT and HF_HUB_OFFLINE, and try again."
        )


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason")


@contextlib.contextmanager
def _progress() -> Iterator[None]:
    """Holds the library's progress bars back where the zoo draws none."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if interactive() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError(
            "hf:// addresses need huggingface_hub: pip install 'density-zoo[hub]'."
        ) from error
    return huggingface_hub
