"""Checkpoint folders on a web server: https://host/path, read by requests."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import InvalidInputError
from zoo.store import downloads

__all__ = ["Web"]


@dataclass(frozen=True)
class Web:
    """A folder whose files are served as `<url>/<file>`."""

    url: str
    is_immutable = False

    @classmethod
    def parse(cls, scheme: str, location: str) -> Web:
        """The folder at scheme://location."""
        try:
            parts = urllib.parse.urlsplit(f"{scheme}://{location}")
        except ValueError as error:
            raise InvalidInputError(f"{scheme}://{location} is no address: {error}.") from error
        if parts.username is not None:  # not repeated here: it may hold a password
            raise InvalidInputError(
                f"The address of {parts.hostname} holds a user name. Put it into ~/.netrc, where "
                "it is in no log."
            )
        if not parts.hostname or parts.query or parts.fragment:
            raise InvalidInputError(
                f"Expected {scheme}://host/path, to which /SHA256SUMS can be added; got "
                f"{parts.geturl()!r}."
            )
        return cls(parts.geturl())

    def __str__(self) -> str:
        """The address."""
        return self.url

    def fetch(self, file: str, folder: Path, sha256: str) -> None:
        """See `zoo.store.remotes.Remote`."""
        downloads.fetch(f"{self.url}/", file, sha256=sha256, folder=folder, origin="the address")
