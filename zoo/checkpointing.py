"""Checkpoint folders: files written whole or not at all, and checked before anything is assigned.

A folder holds `config.json` (format version, family, model config, software), `recipe.json` and
`model.weights.h5`; `zoo evaluate` adds `metrics.json`, and `SHA256SUMS` lists them all. The
weights file has Keras' own `.weights.h5` layout, so `keras.Model.load_weights` reads it too;
matrices may be stored as float16. Nothing here unpickles or runs code from a file.

Every writer goes through a temporary file in the same folder, `fsync` and `os.replace`: a killed
process leaves the old file or the new one. TensorFlow, Keras and h5py are imported on first use.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from zoo import recipes
from zoo.errors import (
    FormatError,
    IntegrityError,
    InvalidInputError,
    MissingCheckpointError,
    WeightsMismatchError,
)

__all__ = [
    "CONFIG_FILE",
    "FORMAT_VERSION",
    "RECIPE_FILE",
    "SUMS_FILE",
    "WEIGHTS_FILE",
    "apply_umask",
    "load_weights",
    "read_config",
    "read_json",
    "read_sha256sums",
    "replacing",
    "save_checkpoint",
    "save_weights",
    "sha256_of",
    "software_versions",
    "verify_fetched",
    "verify_files",
    "verify_folder",
    "verify_listed",
    "verify_sha256sums",
    "write_json_atomic",
    "write_sha256sums",
    "write_text_atomic",
]

FORMAT_VERSION = 1
"""The newest checkpoint format this version of the zoo reads and the one it writes."""

CONFIG_FILE = "config.json"
RECIPE_FILE = "recipe.json"
SUMS_FILE = "SHA256SUMS"
WEIGHTS_FILE = "model.weights.h5"

_COMPRESS_FROM = 1024  # elements: below this a chunked HDF5 dataset is larger than a plain one
_SMALLEST_MATRIX = 4096  # elements: smaller weights stay float32, they cost nothing
_OPTIMIZER_PREFIX = "optimizer/"  # in files of a compiled model's own `save_weights`
_SOFTWARE = ("tensorflow", "keras", "tensorflow-probability", "numpy", "h5py")


# --- files, whole or not at all


def apply_umask(path: Path) -> None:
    """Gives a temporary file or folder, which is made private, the permissions of any new one."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        apply_umask(temporary)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomic(path: str | os.PathLike[str], text: str) -> Path:
    """Writes `text` as UTF-8; a reader sees the old file or the new one, never a part."""
    path = Path(path)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def write_json_atomic(path: str | os.PathLike[str], value: Any) -> Path:
    """Writes `value` as indented JSON.

    Raises:
        ValueError: For NaN or infinity, which JSON cannot hold.
        TypeError: For a value that is not JSON.
    """
    return write_text_atomic(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a JSON file of a checkpoint.

    Raises:
        MissingCheckpointError: The file is absent.
        FormatError: It is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingCheckpointError(
            f"{path.name} is missing in {path.parent}. Restore the folder, or remove it."
        ) from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise FormatError(f"{path} is not JSON ({error}). Restore the file.") from error


# --- hashes


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_sha256sums(folder: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Writes `SHA256SUMS` over the folder's files, in the format of `sha256sum --check`.

    Hidden files, subfolders and `SHA256SUMS` itself are left out.

    Returns:
        {file name: {"sha256": digest, "size": bytes}}, the `files` of an entry in `zoo/pins.json`.
    """
    folder = Path(folder)
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.name != SUMS_FILE and not path.name.startswith(".")
    )
    files: dict[str, dict[str, Any]] = {
        name: {"sha256": sha256_of(folder / name), "size": (folder / name).stat().st_size}
        for name in names
    }
    lines = [f"{files[name]['sha256']}  {name}\n" for name in names]
    write_text_atomic(folder / SUMS_FILE, "".join(lines))
    return files


def verify_folder(folder: str | os.PathLike[str], pins: Mapping[str, Any]) -> None:
    """Checks every pinned file of a folder: present, of the pinned size, of the pinned SHA-256.

    Args:
        folder: A checkpoint folder.
        pins: An entry of `zoo.registry.pins()`:
            {"version": 1, "files": {name: {"sha256": digest, "size": bytes}}}.

    Raises:
        MissingCheckpointError: The folder, or a pinned file, is absent.
        IntegrityError: A size or a hash is another one.
    """
    verify_files(folder, pins["files"])


def verify_files(folder: str | os.PathLike[str], files: Mapping[str, Mapping[str, Any]]) -> None:
    """`verify_folder` for some of the pinned files."""
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingCheckpointError(f"No checkpoint folder {folder}.")
    for name, pin in files.items():
        path = folder / name
        if not path.is_file():
            raise MissingCheckpointError(
                f"{name} is missing in {folder}. Restore the folder, or remove it so that the zoo "
                "looks for the checkpoint elsewhere."
            )
        size = path.stat().st_size
        if size != pin["size"]:
            raise IntegrityError(
                f"{path} has {size:,} bytes; {pin['size']:,} are pinned. The file is truncated or "
                "is another one: restore it, or remove the folder."
            )
        digest = sha256_of(path)
        if digest != pin["sha256"]:
            raise IntegrityError(
                f"{path} has the SHA-256 {digest[:16]}…; {pin['sha256'][:16]}… is pinned. The file "
                "is damaged or changed: restore it, or remove the folder."
            )


def read_sha256sums(folder: str | os.PathLike[str]) -> dict[str, str]:
    """{file name: SHA-256} of a folder's `SHA256SUMS`.

    Raises:
        MissingCheckpointError: There is none.
        FormatError: A line is not a hash and a plain file name, or a name is there twice.
    """
    path = Path(folder) / SUMS_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise MissingCheckpointError(f"{SUMS_FILE} is missing in {path.parent}.") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not text ({error}).") from error
    digests: dict[str, str] = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        plain = Path(name).name == name and name not in ("", "..", SUMS_FILE)
        if not plain or name in digests or not re.fullmatch("[0-9a-f]{64}", digest):
            raise FormatError(f"{path} has a line that is no 'hash  file name': {line!r}.")
        digests[name] = digest
    return digests


def verify_sha256sums(folder: str | os.PathLike[str]) -> bool:
    """Checks a folder against its own `SHA256SUMS`; False where there is none.

    Raises:
        FormatError: A line of `SHA256SUMS` is not a hash and a plain file name.
        MissingCheckpointError: A listed file is absent.
        IntegrityError: A hash is another one.
    """
    folder = Path(folder)
    if not (folder / SUMS_FILE).is_file():
        return False
    for name, digest in read_sha256sums(folder).items():
        verify_listed(folder / name, digest)
    return True


def verify_listed(path: Path, digest: str) -> None:
    """Checks one file against its line in the `SHA256SUMS` beside it.

    Raises:
        MissingCheckpointError: It is absent.
        IntegrityError: Its hash is another one.
    """
    if not path.is_file():
        raise MissingCheckpointError(
            f"{path.name} is missing in {path.parent}; {SUMS_FILE} lists it."
        )
    if sha256_of(path) != digest:
        raise IntegrityError(
            f"{path} is not the file that {SUMS_FILE} lists ({digest[:16]}…): restore it."
        )


def verify_fetched(path: Path, digest: str, source: str) -> None:
    """Checks what was just read from `source`; a digest "" takes anything.

    Raises:
        IntegrityError: Its hash is another one.
    """
    if digest and (found := sha256_of(path)) != digest:
        raise IntegrityError(
            f"{source} is not the pinned file: it has the SHA-256 {found[:16]}…, {digest[:16]}… is "
            "expected. Nothing was kept. Check the address and the hash."
        )


# --- weights


def save_weights(
    model: Any,
    path: str | os.PathLike[str],
    *,
    storage_dtype: Literal["float32", "float16"] = "float32",
) -> Path:
    """Writes a built model's weights in Keras' `.weights.h5` layout, compressed, atomically.

    Optimizer and metric state is left out. Equal weights give equal bytes.

    Args:
        model: A built `keras.Model`.
        path: A file name that ends in `.weights.h5`.
        storage_dtype: "float16" stores float32 weights of at least two dimensions and 4,096
            elements in half precision (they are read back as float32); the rest keeps its dtype.

    Raises:
        InvalidInputError: Another ending or storage dtype, or a weight beyond float16's range.
    """
    import h5py
    import numpy as np

    path = Path(path)
    if not path.name.endswith(".weights.h5"):
        raise InvalidInputError(
            f"Expected a file name that ends in .weights.h5; got {path.name!r}."
        )
    if storage_dtype not in ("float32", "float16"):
        raise InvalidInputError(f"storage_dtype is float32 or float16; got {storage_dtype!r}.")
    variables, layer_names = _layout(model)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["zoo_format_version"] = FORMAT_VERSION
        for group, name in layer_names.items():
            file.require_group(group).attrs["name"] = name
        for key, variable in variables.items():
            value = variable.value.numpy()
            if variable.dtype == "bfloat16":  # unknown to HDF5; float32 holds each of its values
                value = value.astype(np.float32)
            large = value.ndim >= 2 and value.size >= _SMALLEST_MATRIX
            if storage_dtype == "float16" and large and value.dtype == np.float32:
                value = _as_float16(value, key)
            packed = value.size >= _COMPRESS_FROM
            options = {"compression": "gzip", "shuffle": True} if packed else {}
            file.create_dataset(key, data=value, **options)
    return path


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Assigns a `.weights.h5` file to a built model: all of it, or none of it.

    Names and shapes are compared, and every value is read, before the first assignment.

    Raises:
        MissingCheckpointError: No such file.
        FormatError: Truncated, damaged or not HDF5; a newer format version; NaN or infinity.
        WeightsMismatchError: Names or shapes that are not the model's.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise MissingCheckpointError(f"No weights file {path}.")
    variables, _ = _layout(model)
    try:
        with h5py.File(path, "r") as file:
            _check_version(file.attrs.get("zoo_format_version", FORMAT_VERSION), path)
            datasets = _datasets(file, path)
            _check_match(
                {key: tuple(variable.shape) for key, variable in variables.items()},
                {key: tuple(dataset.shape) for key, dataset in datasets.items()},
                path,
            )
            values = {key: _read(datasets[key], path) for key in variables}
    except (OSError, RuntimeError, KeyError) as error:  # what h5py raises for damaged files
        raise FormatError(
            f"{path} cannot be read as HDF5 ({error}). It is truncated or damaged: restore it."
        ) from error
    for key, variable in variables.items():
        variable.assign(values[key])


def _as_float16(value: Any, key: str) -> Any:
    import numpy as np

    largest = float(np.max(np.abs(value)))
    limit = float(np.finfo(np.float16).max)
    if not largest <= limit:
        raise InvalidInputError(
            f"{key} has a weight of {largest:g}, beyond float16's {limit:g}: store it as float32."
        )
    return value.astype(np.float16)


def _layout(model: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Keras' own names: {dataset path: variable} and {group path: layer name}.

    Keras' saver walks the model and hands each layer a store to write its variables into; here the
    store takes notes instead. The walk is private to Keras, whose version is pinned; tests compare
    the result with the files that Keras writes and reads.
    """
    from keras.src.saving import saving_lib

    class Notes(saving_lib.H5IOStore):
        def __init__(self) -> None:
            self.variables: dict[str, Any] = {}
            self.names: dict[str, str] = {}
            self._group = ""

        def __bool__(self) -> bool:
            return True

        def make(self, path: str, metadata: Mapping[str, str] | None = None) -> Notes:
            self._group = f"{path}/vars" if path else "vars"
            if metadata:
                self.names[self._group] = metadata["name"]
            return self

        def __setitem__(self, key: str, value: Any) -> None:
            self.variables[f"{self._group}/{key}"] = value

    if not model.built:
        raise InvalidInputError(f"{type(model).__name__} is not built: call it on data once.")
    notes = Notes()
    optimizer = getattr(model, "optimizer", None)
    skipped = {id(optimizer)} if optimizer is not None else set()
    saving_lib._save_state(
        model, weights_store=notes, assets_store=None, inner_path="", visited_saveables=skipped
    )
    owned = {id(variable): variable for variable in model.weights}
    found = {id(variable) for variable in notes.variables.values()}
    if found != set(owned):
        lost = [variable.path for key, variable in owned.items() if key not in found]
        foreign = [key for key, value in notes.variables.items() if id(value) not in owned]
        raise WeightsMismatchError(
            f"Keras would not save exactly the weights of {type(model).__name__}: lost {lost}, "
            f"not among model.weights {foreign}. Make every layer an attribute of the model."
        )
    return notes.variables, notes.names


def _check_version(version: Any, path: Path) -> None:
    try:
        number = int(version)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{path} has the format version {version!r}: not a number.") from error
    if not 1 <= number <= FORMAT_VERSION:
        raise FormatError(
            f"{path} has format version {number}; this version of the zoo reads 1 to "
            f"{FORMAT_VERSION}. Upgrade the zoo, or take a checkpoint made for this version."
        )


def _datasets(file: Any, path: Path) -> dict[str, Any]:
    """{path: dataset} of the file itself: links and external or virtual data are not followed."""
    import h5py

    datasets: dict[str, Any] = {}

    def collect(name: str, node: Any) -> None:
        if not isinstance(node, h5py.Dataset) or name.startswith(_OPTIMIZER_PREFIX):
            return
        if node.external or node.is_virtual:
            raise FormatError(f"{path} points to data in other files ({name}): not allowed.")
        if node.shape is None or node.dtype.kind not in "fiubV":  # V: bfloat16, as raw bytes
            raise FormatError(f"{path} holds {node.dtype} in {name}: expected numbers.")
        datasets[name] = node

    file.visititems(collect)
    return datasets


def _check_match(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    problems = [f"{key} is missing" for key in expected if key not in found]
    problems += [f"{key} is not in the model" for key in found if key not in expected]
    problems += [
        f"{key} has shape {list(found[key])}, the model's is {list(shape)}"
        for key, shape in expected.items()
        if key in found and found[key] != shape
    ]
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise WeightsMismatchError(
            f"{path} does not fit the model ({len(expected)} weights expected, {len(found)} "
            f"found): {'; '.join(problems[:3])}{more}. Nothing was loaded. Take the weights of "
            "this config, or build the model from the checkpoint's own config."
        )


def _read(dataset: Any, path: Path) -> Any:
    import numpy as np

    value = dataset[()]
    if dataset.attrs.get("dtype") == "bfloat16":  # how Keras marks what it stores as raw bytes
        import ml_dtypes

        value = np.array(value, dtype=ml_dtypes.bfloat16).astype(np.float32)
    if value.dtype.kind not in "fiub":
        raise FormatError(f"{path} holds {value.dtype} in {dataset.name}: expected numbers.")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise FormatError(f"{path} holds NaN or infinity in {dataset.name}. Nothing was loaded.")
    return value


# --- folders


def software_versions() -> dict[str, str]:
    """Versions of the zoo, Python and what computes, for `config.json` and `run.json`."""
    from zoo import __version__

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
    recipe: recipes.Recipe | None = None,
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
        write_json_atomic(folder / RECIPE_FILE, recipes.to_dict(recipe))
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
    values = read_json(path)
    if not isinstance(values, dict) or "format_version" not in values:
        raise FormatError(f"{path} has no format_version: it is not a checkpoint's config.")
    _check_version(values["format_version"], path)
    for key, kind in (("family", str), ("config", dict)):
        if not isinstance(values.get(key), kind):
            raise FormatError(
                f"{path} needs {key!r} as a {kind.__name__}; got {values.get(key)!r}."
            )
    return values
