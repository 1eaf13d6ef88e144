"""Places away from this machine that hold checkpoint folders, one module for each kind.

    hf://user/repository[/folder]    the Hugging Face Hub, through huggingface_hub
    gs://bucket/path                 Google Cloud Storage, through etils.epath
    https://host/path                any web server, to read from; http:// as well

A remote moves files. What may be trusted is decided in `zoo.store.addresses`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

from zoo.errors import InvalidInputError
from zoo.store.remotes.bucket import Bucket
from zoo.store.remotes.hub import Hub
from zoo.store.remotes.web import Web

__all__ = ["Bucket", "Hub", "Remote", "Web", "is_address", "parse"]


class Remote(Protocol):
    """A checkpoint folder elsewhere; `str` gives its address."""

    @property
    def is_immutable(self) -> bool:
        """Whether the place promises that its content never changes."""

    def fetch(self, file: str, folder: Path, sha256: str) -> None:
        """Puts the file into the folder, whole and with that SHA-256 ("" for any), or not at all.

        Raises:
            MissingCheckpointError: There is no such file, or no right to read it.
            OfflineError: The place cannot be reached.
            IntegrityError: The file has another SHA-256.
            MissingExtraError: The library for this place is not installed.
        """


def is_address(name: Any) -> bool:
    """Whether `name` is a string such as "scheme://…"."""
    return isinstance(name, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name) is not None


def parse(address: str, *, revision: str = "") -> Bucket | Hub | Web:
    """The remote at an address; nothing is read yet.

    Raises:
        InvalidInputError: An unknown scheme, a malformed address, or a revision where there are
            none.
    """
    scheme, _, location = address.partition("://")
    scheme, location = scheme.lower(), location.rstrip("/")
    if scheme == "hf":
        return Hub.parse(location, revision=revision)
    if revision:
        raise InvalidInputError(f"revision goes with an hf:// address; got it for {address!r}.")
    if scheme == "gs":
        return Bucket.parse(location)
    if scheme in ("https", "http"):
        return Web.parse(scheme, location)
    raise InvalidInputError(
        f"Expected an address hf://user/repository, gs://bucket/path or https://host/path, or the "
        f"path of a folder; got {address!r}."
    )
