"""Checkpoint folders: `config.json`, `recipe.json` and `model.weights.h5`.

`config.json` holds the format version, the family, the model's config and the software;
`zoo evaluate` adds `metrics.json`, and `SHA256SUMS` lists them all.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any, Literal

from zoo.core.recipe import Recipe
from zoo.core.recipe_json import to_dict
from zoo.errors import ConfigError, FormatError, WeightsMismatchError
from zoo.store.files import read_object, write_json_atomic
from zoo.store.weights import FORMAT_VERSION, WEIGHTS_FILE, check_version, save_weights
from zoo.version import __version__

__all__ = [
    "BASELINES_FILE",
    "CONFIG_FILE",
    "METRICS_FILE",
    "RECIPE_FILE",
    "RUN_FILE",
    "check_config",
    "read_config",
    "save_checkpoint",
    "software_versions",
]

CONFIG_FILE = "config.json"
RECIPE_FILE = "recipe.json"
RUN_FILE = "run.json"
METRICS_FILE = "metrics.json"
BASELINES_FILE = "baselines.json"

_SOFTWARE = ("tensorflow", "keras", "tensorflow-probability", "numpy", "h5py")


def software_versions() -> dict[str, str]:
    """Versions of the zoo, Python and what computes, for `config.json` and `run.json`."""
    versions = {"zoo": __version__, "python": platform.python_version()}
    for package in _SOFTWARE:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def save_checkpoint(
    folder: str | os.PathLike[str],
    model: Any,
    *,
    family: str,
    recipe: Recipe | None = None,
    storage_dtype: Literal["float32", "float16"] = "float32",
) -> Path:
    """Writes `model.weights.h5`, `recipe.json` where there is a recipe, and `config.json` last.

    Args:
        folder: Made if it does not exist.
        model: A built density model of the zoo.
        family: The model's family, as in `zoo.create(family)`.
        recipe: The recipe that trained it.
        storage_dtype: See `save_weights`.

    Returns:
        The folder.
    """
    folder = Path(folder)
    save_weights(model, folder / WEIGHTS_FILE, storage_dtype=storage_dtype)
    if recipe is not None:
        write_json_atomic(folder / RECIPE_FILE, to_dict(recipe))
    config = {
        "format_version": FORMAT_VERSION,
        "family": family,
        "config": model.config.to_dict(),
        "num_parameters": int(model.count_params()),
        "storage_dtype": storage_dtype,
        "software": software_versions(),
    }
    write_json_atomic(folder / CONFIG_FILE, config)
    return folder


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """A checkpoint's `config.json`.

    Raises:
        MissingCheckpointError: No such file.
        FormatError: Not JSON, a newer format version, or without family and config.
    """
    path = Path(folder) / CONFIG_FILE
    values = read_object(path)
    if "format_version" not in values:
        raise FormatError(f"{path} has no format_version: it is not a checkpoint's config.")
    check_version(values["format_version"], path)
    for key, kind in (("family", str), ("config", dict)):
        if not isinstance(values.get(key), kind):
            raise FormatError(
                f"{path} needs {key!r} as a {kind.__name__}; got {values.get(key)!r}."
            )
    return values


def check_config(folder: str | os.PathLike[str], model: Any) -> None:
    """Raises WeightsMismatchError for a folder that describes another model.

    A field that is absent is younger than the file, and has its default.
    """
    path = Path(folder) / CONFIG_FILE
    expected = {"family": model.family, **model.config.to_dict()}
    values = read_config(folder)
    found = {"family": values["family"], **values["config"]}
    with contextlib.suppress(ConfigError):  # another family's fields, or a newer zoo's
        found |= type(model.config).from_dict(values["config"]).to_dict()
    fields = sorted(
        key for key in {*found, *expected} if found.get(key, ...) != expected.get(key, ...)
    )
    if fields:
        key = fields[0]
        raise WeightsMismatchError(
            f"{path} is the config of another model: it differs "
            f"in {', '.join(fields)} ({key} is {found.get(key, 'absent')}, expected "
            f"{expected.get(key, 'absent')}). Nothing was loaded. zoo.load({str(path.parent)!r}) "
            "builds the model that the folder describes."
        )
