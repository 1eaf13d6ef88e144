"""Weights files in Keras' own `.weights.h5` layout, checked before anything is assigned.

`keras.Model.load_weights` reads them too; matrices may be stored as float16. Nothing here unpickles
or runs code from a file. Keras and h5py are imported on first use.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from zoo.errors import (
    FormatError,
    InvalidInputError,
    MissingCheckpointError,
    WeightsMismatchError,
)
from zoo.store import structure
from zoo.store.files import replacing

__all__ = ["FORMAT_VERSION", "WEIGHTS_FILE", "check_version", "load_weights", "save_weights"]

FORMAT_VERSION = 1
"""The newest checkpoint format this version of the zoo reads and the one it writes."""

WEIGHTS_FILE = "model.weights.h5"

_COMPRESS_FROM = 1024  # elements: below this a chunked HDF5 dataset is larger than a plain one
_SMALLEST_MATRIX = 4096  # elements: smaller weights stay float32, they cost nothing
_OPTIMIZER_PREFIX = "optimizer/"  # in files of a compiled model's own `save_weights`


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

    Names and shapes are compared, and every value is read and cast to its weight's dtype, before
    the first assignment.

    Raises:
        MissingCheckpointError: No such file.
        FormatError: Truncated, damaged or not HDF5; a newer format version; NaN, infinity, numbers
            beyond the weight's dtype, or what is no number.
        WeightsMismatchError: Names or shapes that are not the model's.
    """
    import h5py

    path = Path(path)
    if not path.exists():
        raise MissingCheckpointError(f"No weights file {path}.")
    structure.shapes(path)
    variables, _ = _layout(model)
    try:
        with h5py.File(path, "r") as file:
            check_version(file.attrs.get("zoo_format_version", FORMAT_VERSION), path)
            datasets = _datasets(file, path)
            _check_match(
                {key: tuple(variable.shape) for key, variable in variables.items()},
                {key: tuple(dataset.shape) for key, dataset in datasets.items()},
                path,
            )
            values = {key: _read(datasets[key], variables[key], path) for key in variables}
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


def check_version(version: Any, path: Path) -> None:
    """Raises FormatError for a format version that is no number, or newer than this zoo's."""
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


def _read(dataset: Any, variable: Any, path: Path) -> Any:
    """The dataset's numbers in the dtype of the variable, whose shape they have."""
    import ml_dtypes
    import numpy as np

    value = dataset[()]
    if dataset.attrs.get("dtype") == "bfloat16" and dataset.dtype == "V2":  # as Keras marks it
        value = np.asarray(value).view(ml_dtypes.bfloat16).astype(np.float32)
    if value.dtype.kind not in "fiub" or value.shape != tuple(variable.shape):
        raise FormatError(
            f"{path} holds {dataset.dtype} in {dataset.name}: expected numbers. Nothing was loaded."
        )
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise FormatError(f"{path} holds NaN or infinity in {dataset.name}. Nothing was loaded.")
    target = np.dtype(getattr(ml_dtypes, variable.dtype, variable.dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        cast = value.astype(target)
    whole = target.kind in "iub"
    if not (np.array_equal(cast, value) if whole else np.isfinite(cast.astype(np.float64)).all()):
        largest = value.flat[np.argmax(np.abs(value.astype(np.float64)))]
        raise FormatError(
            f"{path} holds numbers in {dataset.name}, up to {largest:g}, that are none of "
            f"{variable.dtype}, which its weight is. Nothing was loaded."
        )
    return cast
