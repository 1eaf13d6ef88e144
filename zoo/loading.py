"""Models by name: what there is, what is known of it, and a real Keras model with its weights.

`list_models` and `info` read tables and small files and import no TensorFlow. `load` is one way:
locate the folder and verify its files (`zoo.store.locate`, `zoo.store.addresses`), then build what
its config.json describes.
"""

from __future__ import annotations

import contextlib
import fnmatch
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import registry
from zoo.core import recipe_json
from zoo.core.backend import require_tensorflow
from zoo.core.release import Release
from zoo.errors import InvalidInputError, MissingCheckpointError, ZooError
from zoo.media.console import figure
from zoo.registry.datasets import column_names
from zoo.registry.listing import ModelInfo
from zoo.store import addresses, downloads, locate, pins, remotes
from zoo.store.blank import blank_weights
from zoo.store.files import read_object, read_optional
from zoo.store.folder import CONFIG_FILE, METRICS_FILE, RECIPE_FILE, check_config, read_config
from zoo.store.hashes import verify_files
from zoo.store.limits import limit_of
from zoo.store.weights import WEIGHTS_FILE, load_weights

if TYPE_CHECKING:
    from zoo.kinds.model import ZooModel

__all__ = [
    "ModelInfo",
    "create",
    "from_preset",
    "info",
    "is_folder",
    "list_models",
    "load",
    "loaded",
    "local_folder",
    "resolve",
]


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
    published = pins.pins()
    return sorted(
        name
        for name, entry in registry.ENTRIES.items()
        if fnmatch.fnmatchcase(name, pattern)
        and (family is None or entry.family == family)
        and (dataset is None or dataset in (entry.recipe.dataset.name, _dataset(entry.recipe)))
        and (pretrained is None or (name in published) == pretrained)
    )


def info(name: str) -> ModelInfo:
    """What is known of a model; nothing is downloaded.

    Raises:
        UnknownModelError: No such name; close ones are named.
        IntegrityError: The card, the metrics or the config are not the pinned files.
    """
    entry = registry.get(name)
    pin = pins.pins().get(name)
    metrics: dict[str, Any] = {}
    card = ""
    parameters = None
    event_shape = entry.recipe.config.get("event_shape", ())
    folder = local_folder(name)
    if pin and folder:
        small = (METRICS_FILE, "card.md", CONFIG_FILE)
        present = {file: pin["files"][file] for file in small if file in pin["files"]}
        verify_files(folder, present)
        config = read_config(folder)
        parameters = config.get("num_parameters")
        event_shape = config["config"].get("event_shape", event_shape)
        if METRICS_FILE in present:
            metrics = read_object(folder / METRICS_FILE)
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
        columns=column_names(entry.recipe.dataset.name, math.prod(event_shape)),
        num_parameters=parameters,
        metrics=metrics,
        licence=entry.licence,
        limitations=entry.limitations,
        pretrained=pin is not None,
        version=pin["version"] if pin else 0,
        card=card,
    )


def _dataset(recipe: Any) -> str:
    return f"{recipe.dataset.name}:{recipe.dataset.version}"


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
    version: int | None = None,
    revision: str = "",
    sha256: str = "",
    cache_dir: str | os.PathLike[str] | None = None,
) -> ZooModel:
    """A model as a `keras.Model`: one of the registry, of a checkpoint folder, or of an address.

    Args:
        name: One of `zoo.list_models()`; or the path of a checkpoint folder such as `zoo train`
            writes; or the address of one that `zoo publish` wrote: "hf://user/repository[/folder]",
            "gs://bucket/path", "https://host/path". Of a folder or an address, the model is built
            from the config there.
        weights: True for the published weights, False for fresh ones, or the path of a checkpoint
            folder or of a `.weights.h5` file. For a name of the registry, fresh and given weights
            go into the model of its recipe, and none of the published files is needed. A folder
            and a file are checked against the `SHA256SUMS` there; where there is none, the log
            says that nothing proves them.
        version: Of the published weights of a name; the newest without.
        revision: A branch, tag or commit of an hf:// address.
        sha256: The SHA-256 of the `SHA256SUMS` behind an address, or in a folder, and through it of
            config and weights; `zoo publish` prints it. An address needs it, as its content can
            change, unless `revision` is a full commit hash: what a commit holds is then the Hub's
            word. Names of the registry are pinned by the installed package.
        cache_dir: Where downloads are kept, in place of `$ZOO_CACHE` or `~/.cache/zoo`.

    Of an address nothing but `SHA256SUMS`, `config.json` and `model.weights.h5` is downloaded, and
    nothing of it is executed.

    Raises:
        UnknownModelError: No such name; close ones are named.
        InvalidInputError: An address of an unknown kind or without sha256, a malformed sha256, or
            one that does not apply; a version that is not pinned, or does not apply; the path of a
            file; a name that is no text.
        BackendError: Keras is to run on another backend than TensorFlow.
        MissingCheckpointError: The model has no published weights, or its files are nowhere.
        MissingExtraError: The library for this kind of address is not installed.
        IntegrityError: A file is not the pinned one.
        FormatError: A file is truncated, damaged or of a newer format version.
        WeightsMismatchError: Weights or a config of another shape.
        OfflineError: A download is needed, and is forbidden or not possible.
    """
    if not isinstance(name, str | os.PathLike):
        raise InvalidInputError(f"name is a name, a path or an address; got {name!r}.")
    require_tensorflow()
    with downloads.caching_in(cache_dir):
        folder = _located(name, weights=weights, version=version, revision=revision, sha256=sha256)
    if weights is True and folder is not None:
        model = loaded(folder)
        model.release = _release(str(name), folder, version)
        model.column_names = model.column_names or _column_names(str(name), folder, model.data.size)
        return model
    with contextlib.nullcontext() if weights is False else blank_weights():
        model = _built(str(name), folder, _weights_file(weights))
        model.column_names = model.column_names or _column_names(str(name), folder, model.data.size)
    if not isinstance(weights, bool):
        _load_given(model, weights)
    return model


def from_preset(
    preset: str | os.PathLike[str],
    load_weights: bool = True,  # noqa: FBT001, FBT002  # as in KerasHub
    **options: Any,
) -> ZooModel:
    """`load(preset, weights=load_weights, **options)`, under the name that KerasHub has for it."""
    return load(preset, weights=load_weights, **options)


def loaded(folder: Path) -> ZooModel:
    """The model of a folder that has been verified: nothing is hashed. Raises as `load`."""
    with blank_weights():
        model = _built(str(folder), folder, folder / WEIGHTS_FILE)
    load_weights(model, folder / WEIGHTS_FILE)
    return model


def _release(name: str, folder: Path, version: int | None) -> Release:
    """What the published weights of a name are called, with the first figure of its card.

    folder: verified, so that nothing is hashed again.
    """
    if is_folder(name) or remotes.is_address(name):
        return Release(name)
    metrics = read_optional(folder / METRICS_FILE).get("metrics", {})
    wanted = registry.get(name).metrics
    figures = [f"{metric} {figure(metrics[metric])}" for metric in wanted if metric in metrics]
    version = version or pins.pins().get(name, {}).get("version", 1)
    return Release(f"{name}, version {version}", "".join(figures[:1]))


def _column_names(name: str, folder: Path | None, size: int) -> tuple[str, ...]:
    """The names of the numbers of the rows that a model was trained on; () where none are known."""
    try:
        if folder is None or name in registry.ENTRIES:
            recipe = registry.get(name).recipe
        else:
            recipe = recipe_json.from_dict(read_object(folder / RECIPE_FILE))
        return column_names(recipe.dataset.name, size)
    except ZooError:  # of a folder without a recipe, or an address
        return ()


def is_folder(name: str | os.PathLike[str]) -> bool:
    """Whether `name` is a path: anything with a separator, or a folder that holds a checkpoint."""
    if isinstance(name, os.PathLike) or os.sep in name:
        return True
    return name not in registry.ENTRIES and Path(name, CONFIG_FILE).is_file()


def local_folder(name: str, version: int | None = None) -> Path | None:
    """The folder on this machine that `load` would use; None where there is none. Hashes nothing.

    Raises:
        UnknownModelError: No such name.
        InvalidInputError: The version is not pinned.
        MissingCheckpointError: `$ZOO_CHECKPOINTS` is set and is not a folder.
    """
    registry.get(name)
    return locate.local_folder(name, version)


def resolve(name: str, version: int | None = None) -> Path:
    """The folder with the published files of a model, hashed; downloaded where need be.

    Raises:
        UnknownModelError: No such name.
        InvalidInputError: The version is not pinned.
        MissingCheckpointError: No published weights, or the files are nowhere.
        IntegrityError: A file is not the pinned one.
        OfflineError: A download is needed, and is forbidden or not possible.
    """
    registry.get(name)
    return locate.resolve(name, version)


def _located(
    name: str | os.PathLike[str],
    *,
    weights: bool | str | os.PathLike[str],
    version: int | None,
    revision: str,
    sha256: str,
) -> Path | None:
    """The verified folder that describes the model; None where the registry's recipe does."""
    named = not (remotes.is_address(name) or is_folder(name))
    if version is not None and not (named and weights is True):
        raise InvalidInputError(
            f"version goes with the published weights of a name; got it for {str(name)!r}."
        )
    if remotes.is_address(name):
        return addresses.resolve(str(name), revision=revision, sha256=sha256)
    if revision:
        raise InvalidInputError(f"revision goes with an hf:// address; got it for {str(name)!r}.")
    if is_folder(name):
        return locate.given(name, sha256=sha256)
    if sha256:
        raise InvalidInputError(
            f"sha256 goes with an address or a folder; the files of {str(name)!r} are pinned by "
            "the installed zoo."
        )
    return resolve(str(name), version) if weights is True else None


def _weights_file(weights: Any) -> Path | None:
    """The file that the weights will come from; None for fresh ones, and where it is refused."""
    if isinstance(weights, bool):
        return None
    try:
        path = Path(weights)
    except TypeError:
        return None
    file = path / WEIGHTS_FILE if path.is_dir() else path
    return file if file.name.endswith(".weights.h5") and file.is_file() else None


def _built(name: str, folder: Path | None, weights: Path | None) -> ZooModel:
    """The model of a folder's config, or, without a folder, of the registry's recipe.

    weights: the file that a folder's config must not be far larger than.
    """
    from zoo import models

    if folder is None:
        recipe = registry.get(name).recipe
        return models.build(recipe.family, recipe.config)
    values = read_config(folder)
    limit = limit_of(folder, weights)
    limit.check(values["config"], folder)
    with limit.held():
        return models.build(values["family"], values["config"])


def _load_given(model: ZooModel, weights: str | os.PathLike[str]) -> None:
    """Loads a folder or a file that the caller named; a folder's config must be the model's own."""
    if isinstance(weights, bool) or not isinstance(weights, str | os.PathLike):
        raise InvalidInputError(f"weights is True, False or a path; got {weights!r}.")
    if remotes.is_address(weights):
        raise InvalidInputError(f"weights takes a path; an address is loaded whole: {weights}.")
    path = Path(weights)
    if path.is_dir():
        check_config(locate.given(path), model)
        load_weights(model, path / WEIGHTS_FILE)
    elif path.name.endswith(".weights.h5"):
        load_weights(model, locate.given_file(path))
    elif path.exists():
        raise InvalidInputError(f"Expected a checkpoint folder or a .weights.h5 file; got {path}.")
    else:
        raise MissingCheckpointError(
            f"No weights at {path}: expected a checkpoint folder or a .weights.h5 file."
        )
