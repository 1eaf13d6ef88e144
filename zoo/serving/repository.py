"""The models that a server answers for, by name and version, from the layout of an export.

    <path>/<name>/<version>/saved_model.pb

Every version is loaded when the server starts, its warm-up requests are run, and the highest one
answers where a request names none (TensorFlow Serving's `model_version_policy {all {}}`). Requests
look names up in a table: none of them reaches the file system.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import grpc

from zoo.errors import ServingError
from zoo.serving import warmup
from zoo.serving.servable import Servable
from zoo.serving.status import RequestError, invalid

__all__ = ["Repository", "check_name", "find", "find_versions"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_VERSION = re.compile(r"[0-9]{1,18}")  # what fits in int64


def check_name(name: str) -> str:
    """The name, if it can stand in an address and names one folder; else raises ServingError."""
    if not _NAME.fullmatch(name):
        raise ServingError(
            f"A model's name has letters, digits, '_', '-' and '.'; got {name!r}. "
            "Folders are given by --path."
        )
    return name


def find_versions(folder: Path) -> dict[int, Path]:
    """version -> folder of every SavedModel directly below `folder`; other entries are ignored."""
    if not folder.is_dir():
        return {}
    found = {
        int(entry.name): entry
        for entry in sorted(folder.iterdir())
        if _VERSION.fullmatch(entry.name) and (entry / "saved_model.pb").is_file()
    }
    return dict(sorted(found.items()))


def find(path: str | os.PathLike[str]) -> list[str]:
    """The names of the models exported to `path`, sorted."""
    folder = Path(path)
    if not folder.is_dir():
        return []
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if _NAME.fullmatch(entry.name) and find_versions(entry)
    )


class Repository:
    """Loaded models.

    folders: name -> the folder that holds its version folders.
    max_rows: the most rows that a request may have.
    say: told what is being done.
    Raises ServingError if there is no model, a name is malformed, a model has no version, or a
    SavedModel cannot be loaded or refuses its own warm-up requests.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        *,
        max_rows: int,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        if not folders:
            raise ServingError("There is no model to serve: name one, or export one first.")
        self._models: dict[str, dict[int, Servable]] = {}
        for name, folder in folders.items():
            versions = find_versions(folder)
            if not versions:
                raise ServingError(
                    f"{folder} holds no SavedModel: expected {folder / '<version>'} with a "
                    f"saved_model.pb. `zoo export {name}` writes one."
                )
            self._models[check_name(name)] = {}
            for version, path in versions.items():
                say(f"loading {name}, version {version}")
                servable = Servable(name, version, path, max_rows=max_rows)
                warmup.replay(servable)
                self._models[name][version] = servable

    def names(self) -> Iterable[str]:
        """The names of the models, in the order in which they were given."""
        return self._models.keys()

    def versions(self, name: str, version: int | None = None) -> list[int]:
        """The versions of a model, highest first; or the one asked for, if it exists.

        Raises RequestError (NOT_FOUND).
        """
        known = sorted(self._models.get(name, ()), reverse=True)
        if not known:
            raise _not_found(f"Could not find any versions of model {name}")
        if version is None:
            return known
        if version not in known:
            raise _not_found(f"Could not find version {version} of model {name}")
        return [version]

    def get(self, name: str, version: int | None = None, label: str = "") -> Servable:
        """The model that a request means: the highest version if it names none.

        Raises RequestError: NOT_FOUND, or INVALID_ARGUMENT for a label, since none is defined.
        """
        if not name:
            raise invalid("ModelSpec has no name specified")
        if label:
            raise invalid(f"Unrecognized servable version label: {label}")
        versions = self._models.get(name, {})
        chosen = max(versions, default=0) if version is None else version
        if chosen not in versions:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise _not_found(f"Servable not found for request: {wanted}")
        return versions[chosen]


def _not_found(message: str) -> RequestError:
    return RequestError(grpc.StatusCode.NOT_FOUND, message)
