"""Models by name: what there is, what is known of it, and a real Keras model with its weights.

`list_models` and `info` read tables and small files and import no TensorFlow.

Where the files of a published model are looked for, in this order; the first folder found is the
one used, and every pinned file of it is hashed on every load:

    1. `$ZOO_CHECKPOINTS/<name>`
    2. `checkpoints/<name>` of a source checkout
    3. the copy inside an installed wheel
    4. the cache: `$ZOO_CACHE`, else `$XDG_CACHE_HOME/zoo`, else `~/.cache/zoo`
    5. a download from `$ZOO_BASE_URL/<name>/<file>` into the cache, unless `ZOO_OFFLINE=1`

Weights are immutable: from version 2 on, the cache and the host name the folder
`<name>.v<version>`. What lies at an address instead (hf://, gs://, https://) is loaded by
`zoo.store.addresses`.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import registry
from zoo.errors import (
    InvalidInputError,
    MissingCheckpointError,
    OfflineError,
    WeightsMismatchError,
)
from zoo.store import addresses, downloads, remotes
from zoo.store.downloads import cache_dir
from zoo.store.files import read_json
from zoo.store.folder import CONFIG_FILE, read_config
from zoo.store.hashes import verify_files, verify_folder, verify_sha256sums
from zoo.store.weights import WEIGHTS_FILE, load_weights

if TYPE_CHECKING:
    from zoo.kinds.base import ZooModel

__all__ = [
    "ModelInfo",
    "cache_dir",
    "create",
    "info",
    "list_models",
    "load",
    "local_folder",
    "resolve",
]


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What is known of a model without building it.

    `num_parameters` is None, `metrics` is {} and `card` is "" until the model has a checkpoint on
    this machine; `metrics` is the content of its `metrics.json`, `version` that of its weights
    (0 without published weights).
    """

    name: str
    family: str
    title: str
    description: str
    dataset: str
    paper: str
    arxiv: str
    event_shape: tuple[int, ...]
    num_parameters: int | None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    licence: str
    limitations: str
    pretrained: bool
    version: int
    card: str = ""

    def __str__(self) -> str:
        """A few aligned lines; the card is left out."""
        count = "unknown" if self.num_parameters is None else f"{self.num_parameters:,}"
        weights = f"version {self.version}" if self.pretrained else "none published"
        rows = [
            ("title", self.title),
            ("family", self.family),
            ("paper", f"{self.paper} (arXiv:{self.arxiv})" if self.arxiv else self.paper),
            ("dataset", self.dataset),
            ("event shape", str(list(self.event_shape))),
            ("parameters", count),
            ("weights", weights),
            ("licence", self.licence),
        ]
        rows += [(name, _figure(value)) for name, value in self.metrics.get("metrics", {}).items()]
        width = max(len(label) for label, _ in rows)
        return "\n".join([self.name, *(f"  {label:<{width}}  {text}" for label, text in rows)])


def _figure(metric: Mapping[str, Any]) -> str:
    text = f"{metric['value']:.6g}"
    if "two_standard_errors" in metric:
        text += f" ± {metric['two_standard_errors']:.2g}"
    return text


# --- what there is


def list_models(
    pattern: str = "*",
    family: str | None = None,
    dataset: str | None = None,
    pretrained: bool | None = None,  # noqa: FBT001  # the documented signature
) -> list[str]:
    """Names of the models that pass every filter, sorted.

    Args:
        pattern: A shell pattern such as "*_mnist".
        family: Only this family, such as "realnvp".
        dataset: Only models of this TFDS dataset: "mnist" or, with the version, "mnist:3.0.1".
        pretrained: True for models with published weights, False for those without.
    """
    pins = registry.pins()
    return sorted(
        name
        for name, entry in registry.ENTRIES.items()
        if fnmatch.fnmatchcase(name, pattern)
        and (family is None or entry.family == family)
        and (dataset is None or dataset in (entry.recipe.dataset.name, _dataset(entry.recipe)))
        and (pretrained is None or (name in pins) == pretrained)
    )


def info(name: str) -> ModelInfo:
    """What is known of a model; nothing is downloaded.

    Raises:
        UnknownModelError: No such name; close ones are named.
        IntegrityError: The card, the metrics or the config are not the pinned files.
    """
    entry = registry.get(name)
    pins = registry.pins().get(name)
    metrics: dict[str, Any] = {}
    card = ""
    parameters = None
    event_shape = entry.recipe.config.get("event_shape", ())
    folder = local_folder(name)
    if pins and folder:
        small = ("metrics.json", "card.md", CONFIG_FILE)
        present = {file: pin for file, pin in pins["files"].items() if file in small}
        verify_files(folder, present)
        config = read_config(folder)
        parameters = config.get("num_parameters")
        event_shape = config["config"].get("event_shape", event_shape)
        if "metrics.json" in present:
            metrics = read_json(folder / "metrics.json")
        if "card.md" in present:
            card = (folder / "card.md").read_text(encoding="utf-8")
    return ModelInfo(
        name=name,
        family=entry.family,
        title=entry.title,
        description=entry.description,
        dataset=_dataset(entry.recipe),
        paper=entry.paper,
        arxiv=entry.arxiv,
        event_shape=tuple(event_shape),
        num_parameters=parameters,
        metrics=metrics,
        licence=entry.licence,
        limitations=entry.limitations,
        pretrained=pins is not None,
        version=pins["version"] if pins else 0,
        card=card,
    )


def _dataset(recipe: Any) -> str:
    return f"{recipe.dataset.name}:{recipe.dataset.version}"


# --- models


def create(family: str, **config: Any) -> ZooModel:
    """A model with fresh weights, of any event shape.

    Args:
        family: "nice", "realnvp", "maf", …
        **config: Fields of the family's config; the others have its defaults.

    Raises:
        UnknownModelError: No such family.
        ConfigError: A field that the family does not have, or a value that cannot be built.
    """
    from zoo import models

    return models.create(family, **config)


def load(
    name: str | os.PathLike[str],
    weights: bool | str | os.PathLike[str] = True,  # noqa: FBT001, FBT002  # as in Keras
    *,
    revision: str = "",
    sha256: str = "",
) -> ZooModel:
    """A model as a `keras.Model`: one of the registry, of a checkpoint folder, or of an address.

    Args:
        name: One of `zoo.list_models()`; or the path of a checkpoint folder such as `zoo train`
            writes; or the address of one that `zoo publish` wrote: "hf://user/repository[/folder]",
            "gs://bucket/path", "https://host/path". Of a folder or an address, the model is built
            from the config there.
        weights: True for the published weights, False for fresh ones, or the path of a checkpoint
            folder or of a `.weights.h5` file.
        revision: A branch, tag or commit of an hf:// address.
        sha256: The SHA-256 of the `SHA256SUMS` behind an address, or in a folder, and through it of
            config and weights; `zoo publish` prints it. An address needs it, as its content can
            change, unless `revision` is a full commit hash: what a commit holds is then the Hub's
            word. Names of the registry are pinned by the installed package.

    Of an address nothing but `SHA256SUMS`, `config.json` and `model.weights.h5` is downloaded, and
    nothing of it is executed.

    Raises:
        UnknownModelError: No such name; close ones are named.
        InvalidInputError: An address of an unknown kind or without sha256, a malformed sha256, or
            one that does not apply; the path of a file; a name that is no text.
        MissingCheckpointError: The model has no published weights, or its files are nowhere.
        MissingExtraError: The library for this kind of address is not installed.
        IntegrityError: A file is not the pinned one.
        FormatError: A file is truncated, damaged or of a newer format version.
        WeightsMismatchError: Weights or a config of another shape.
        OfflineError: A download is needed, and is forbidden or not possible.
    """
    if not isinstance(name, str | os.PathLike):
        raise InvalidInputError(f"name is a name, a path or an address; got {name!r}.")
    if remotes.is_address(name):
        folder = addresses.resolve(str(name), revision=revision, sha256=sha256)
        return _build(folder, weights=weights)
    if revision:
        raise InvalidInputError(f"revision goes with an hf:// address; got it for {str(name)!r}.")
    if is_folder(name):
        return _load_folder(Path(name), weights=weights, sha256=sha256)
    if sha256:
        raise InvalidInputError(
            f"sha256 goes with an address or a folder; the files of {str(name)!r} are pinned by "
            "the installed zoo."
        )
    name = str(name)
    entry = registry.get(name)
    if weights is True:
        folder = resolve(name)
        return _with_weights(_fresh(entry), folder / WEIGHTS_FILE, folder)
    if weights is False:
        return _fresh(entry)
    return _with_given(_fresh(entry), weights=weights)


def is_folder(name: str | os.PathLike[str]) -> bool:
    """Whether `name` is a path: anything with a separator, or a folder that holds a checkpoint."""
    if isinstance(name, os.PathLike) or os.sep in name:
        return True
    return name not in registry.ENTRIES and Path(name, CONFIG_FILE).is_file()


def _fresh(entry: Any) -> ZooModel:
    return create(entry.family, **entry.recipe.config)


def _load_folder(folder: Path, *, weights: bool | str | os.PathLike[str], sha256: str) -> ZooModel:
    folder = folder.expanduser()
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(
            f"{folder} is a file: give its folder, or zoo.load(NAME, weights=FILE)."
        )
    if sha256:
        addresses.verify(folder, addresses.checked_sha256(sha256))
    verify_sha256sums(folder)
    return _build(folder, weights=weights)


def _build(folder: Path, *, weights: bool | str | os.PathLike[str]) -> ZooModel:
    """The model that a folder's config describes; its hashes have been checked."""
    from zoo import models

    values = read_config(folder)
    model = models.build(values["family"], values["config"])
    if weights is True:
        load_weights(model, folder / WEIGHTS_FILE)
    elif weights is not False:
        return _with_given(model, weights=weights)
    return model


def _with_given(model: ZooModel, *, weights: bool | str | os.PathLike[str]) -> ZooModel:
    """The model with the weights of a folder or a file that the caller named."""
    if isinstance(weights, bool) or not isinstance(weights, str | os.PathLike):
        raise InvalidInputError(f"weights is True, False or a path; got {weights!r}.")
    if remotes.is_address(weights):
        raise InvalidInputError(f"weights takes a path; an address is loaded whole: {weights}.")
    path = Path(weights)
    if path.is_dir():
        verify_sha256sums(path)
        return _with_weights(model, path / WEIGHTS_FILE, path)
    if path.name.endswith(".weights.h5"):
        return _with_weights(model, path, None)
    if path.exists():
        raise InvalidInputError(f"Expected a checkpoint folder or a .weights.h5 file; got {path}.")
    raise MissingCheckpointError(
        f"No weights at {path}: expected a checkpoint folder or a .weights.h5 file."
    )


def _with_weights(model: ZooModel, path: Path, folder: Path | None) -> ZooModel:
    """The model with the weights of `path`; a folder's config must be the model's own."""
    if folder is not None:
        # A field that is absent is younger than the file, and has its default.
        expected = json.loads(json.dumps(model.config.to_dict()))
        found = {**_defaults(type(model.config)), **read_config(folder)["config"]}
        if found != expected:
            fields = sorted(
                key for key in {*found, *expected} if found.get(key, ...) != expected.get(key, ...)
            )
            key = fields[0]
            raise WeightsMismatchError(
                f"{folder / CONFIG_FILE} is the config of another model: it differs "
                f"in {', '.join(fields)} ({key} is {found.get(key, 'absent')}, expected "
                f"{expected.get(key, 'absent')}). Nothing was loaded. zoo.load({str(folder)!r}) "
                "builds the model that the folder describes."
            )
    load_weights(model, path)
    return model


def _defaults(config_class: type[Any]) -> dict[str, Any]:
    """The plain defaults of a config's fields, as JSON has them."""
    fields = dataclasses.fields(config_class)
    defaults = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
    return json.loads(json.dumps(defaults))


# --- files


def local_folder(name: str) -> Path | None:
    """The folder on this machine that `load` would use; None where there is none. Hashes nothing.

    Raises:
        UnknownModelError: No such name.
        MissingCheckpointError: `$ZOO_CHECKPOINTS` is set and is not a folder.
    """
    registry.get(name)
    for folder in _folders(name):
        if folder.is_dir():
            return folder
    pins = registry.pins().get(name)
    if pins is None:
        return None
    cached = cache_dir() / _versioned(name, pins)
    return cached if _is_complete(cached, pins) else None


def resolve(name: str) -> Path:
    """The folder with the published files of a model, hashed; downloaded where need be.

    Raises:
        UnknownModelError: No such name.
        MissingCheckpointError: No published weights, or the files are nowhere.
        IntegrityError: A file is not the pinned one.
        OfflineError: A download is needed, and is forbidden or not possible.
    """
    registry.get(name)
    pins = registry.pins().get(name)
    if pins is None:
        raise MissingCheckpointError(
            f"{name} has no published weights. zoo.load({name!r}, weights=False) builds it with "
            f"fresh ones, `zoo train {name}` trains it, and zoo.list_models(pretrained=True) shows "
            "the models that have weights."
        )
    folder = local_folder(name) or _download(name, pins)
    verify_folder(folder, pins)
    return folder


def _folders(name: str) -> list[Path]:
    """Candidates before the cache, in order."""
    folders = []
    if chosen := os.environ.get("ZOO_CHECKPOINTS"):
        root = Path(chosen).expanduser()
        if not root.is_dir():
            raise MissingCheckpointError(f"ZOO_CHECKPOINTS is {chosen!r}, which is not a folder.")
        folders.append(root / name)
    package = Path(__file__).resolve().parent
    if (package.parent / "pyproject.toml").is_file():
        folders.append(package.parent / "checkpoints" / name)
    return [*folders, package / "_checkpoints" / name]


def _versioned(name: str, pins: Mapping[str, Any]) -> str:
    return name if pins["version"] == 1 else f"{name}.v{pins['version']}"


def _is_complete(folder: Path, pins: Mapping[str, Any]) -> bool:
    return all((folder / file).is_file() for file in pins["files"])


def _download(name: str, pins: Mapping[str, Any]) -> Path:
    """Fetches what the cache lacks."""
    remote = _versioned(name, pins)
    folder = cache_dir() / remote
    base = os.environ.get("ZOO_BASE_URL", "").rstrip("/")
    if downloads.is_offline():
        raise OfflineError(
            f"The files of {name} are not on this machine and ZOO_OFFLINE forbids a download. "
            f"Looked in {_places(name, folder)}. Copy the folder to one of them, or unset "
            "ZOO_OFFLINE."
        )
    if not base:
        raise MissingCheckpointError(
            f"The files of {name} are not on this machine. Looked in {_places(name, folder)}. "
            "Point ZOO_CHECKPOINTS at a folder that holds them, or ZOO_BASE_URL at a host that "
            "serves them."
        )
    url = f"{base}/{remote}/"
    with downloads.filling(folder, what=name):
        for file, pin in pins["files"].items():
            if not (folder / file).is_file():
                downloads.fetch(
                    url, file, sha256=pin["sha256"], folder=folder, origin="ZOO_BASE_URL"
                )
    return folder


def _places(name: str, cached: Path) -> str:
    return ", ".join(str(folder) for folder in [*_folders(name), cached])
