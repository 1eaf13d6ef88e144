"""Datasets as arrays in memory, by TFDS name and pinned version.

A `zoo.core.data.Rows` names a TFDS dataset, its version and, for each of the zoo's three
splits, a TFDS split string ("train[:50000]"). The rows come back exactly as the dataset stores them
(uint8 images, float32 features): whatever happens to them afterwards belongs to the model's
preprocessing.

Where a prepared dataset is looked for, in this order:

1. `data_dir`, where given, and then nowhere else;
2. `$TFDS_DATA_DIR`, or `~/tensorflow_datasets` where that is not set (TFDS's own default);
3. `<cache>/tensorflow_datasets`, where the zoo prepares the datasets of its own (`zoo.data.magic`,
   `zoo.data.building`) if the directory above cannot be written to; <cache> is `$ZOO_CACHE`, else
   `$XDG_CACHE_HOME/zoo`, else `~/.cache/zoo`.

A dataset is read from its files, so the code of its TFDS builder is needed only to prepare it.
Nothing is downloaded unless `download=True`. For a machine without internet, prepare the dataset
elsewhere (`tfds build mnist`, or `tfds.load`) and copy the directory `<name>/<version>`.

`fashion_mnist` can be prepared without internet where Debian's package `dataset-fashion-mnist` is
at hand: it holds the original files in /usr/share/datasets/fashion-mnist. TFDS's own builder reads
them when its download manager is made to answer with those files, unpacked:

    def local(manager, urls):  # {"train_images": "…/train-images-idx3-ubyte.gz", …} -> paths
        unpacked = {key: Path(folder, Path(url).stem) for key, url in urls.items()}
        for key, url in urls.items():
            unpacked[key].write_bytes(gzip.decompress(Path(source, Path(url).name).read_bytes()))
        return unpacked

    tfds.download.DownloadManager.download_and_extract = local
    tfds.builder("fashion_mnist:3.0.1").download_and_prepare()
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo import extras
from zoo.core.data import Rows, Table
from zoo.data import energies, ljspeech, own_rows, spoken_digit
from zoo.data.arrays import Arrays
from zoo.data.builders import OWN_DATASETS, builder_module
from zoo.errors import DataError
from zoo.store.files import read_object

__all__ = [
    "SPLITS",
    "Arrays",
    "available",
    "cache_data_dir",
    "data_dirs",
    "datasets_of",
    "find_prepared",
    "load_arrays",
    "open_builder",
    "split_expression",
    "stored_rows",
]

SPLITS = ("train", "validation", "test")
_READ_BATCH = 1024


def cache_data_dir() -> Path:
    """The cache's TFDS directory (see the module's docstring); it may not exist yet."""
    if root := os.environ.get("ZOO_CACHE"):
        cache = Path(root)
    elif root := os.environ.get("XDG_CACHE_HOME"):
        cache = Path(root) / "zoo"
    else:
        cache = Path.home() / ".cache" / "zoo"
    return cache.expanduser() / "tensorflow_datasets"


def data_dirs(data_dir: str | Path | None = None) -> list[Path]:
    """The directories that are searched for prepared datasets, in order."""
    if data_dir is not None:
        return [Path(data_dir).expanduser()]
    first = os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
    return [Path(first).expanduser(), cache_data_dir()]


def find_prepared(dataset: Rows, *, data_dir: str | Path | None = None) -> Path | None:
    """The directory of the prepared dataset of exactly the pinned version, or None."""
    for root in data_dirs(data_dir):
        folder = root / dataset.name / dataset.version
        if (folder / "dataset_info.json").is_file():
            return folder
    return None


def available(dataset: Rows, *, data_dir: str | Path | None = None) -> bool:
    """Whether `load_arrays` can read the dataset without a download."""
    if isinstance(dataset, Table):
        return own_rows.available(dataset)
    if energies.is_energy(dataset):
        return True
    if find_prepared(dataset, data_dir=data_dir) is not None:
        return True
    if dataset.name not in OWN_DATASETS:
        return False
    module = builder_module(dataset.name)
    return dataset.version == module.VERSION and module.local_source(dataset.name) is not None


def split_expression(dataset: Rows, split: str) -> str:
    """The TFDS split string of "train", "validation" or "test". Raises DataError for others."""
    if split not in SPLITS:
        raise DataError(f"Expected a split out of {', '.join(SPLITS)}; got {split!r}.")
    expression: str = getattr(dataset, split)
    if not expression:
        raise DataError(f"The recipe of {dataset.name} declares no {split} split.")
    return expression


def open_builder(
    dataset: Rows, *, data_dir: str | Path | None = None, download: bool = False
) -> Any:
    """The TFDS builder of a prepared dataset, preparing it first where that is allowed.

    Raises DataError where the dataset is absent and may not, or cannot, be prepared, and where its
    files are damaged.
    """
    folder = find_prepared(dataset, data_dir=data_dir)
    if folder is None:
        folder = _prepare(dataset, data_dir=data_dir, download=download)
    builder = _builder_in(folder)
    found = (builder.name, str(builder.version))
    if found != (dataset.name, dataset.version):
        raise DataError(
            f"Expected {dataset.name} {dataset.version} in {folder}, but its files say they are "
            f"{found[0]} {found[1]}. Prepare the dataset again."
        )
    return builder


def _builder_in(folder: Path) -> Any:
    """The builder of a directory's own description. Raises DataError for one that is damaged.

    The description names the classes of its features, whose modules TFDS imports: its own alone.
    """
    tfds = extras.tensorflow_datasets()

    try:
        read_object(folder / "dataset_info.json")
        names = set(_class_names(read_object(folder / "features.json")))
        if foreign := sorted(name for name in names if not name.startswith("tensorflow_datasets.")):
            raise DataError(f"its features are of a foreign class, {foreign[0]}")
        return tfds.builder_from_directory(str(folder))
    except Exception as error:  # TFDS has no error of its own for any of this
        reason = (str(error).splitlines() or ["no reason given"])[0][:200]
        raise DataError(
            f"{folder} is no prepared dataset ({type(error).__name__}: {reason}). Restore "
            "dataset_info.json and features.json, or remove the folder and prepare it again."
        ) from error


def _class_names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "pythonClassName" in value:
            yield str(value["pythonClassName"])
        for item in value.values():
            yield from _class_names(item)


def load_arrays(
    dataset: Rows,
    split: str,
    *,
    data_dir: str | Path | None = None,
    download: bool = False,
) -> Arrays:
    """All rows of a split, in memory, as stored.

    The order is the stored one (shards in sequence, nothing shuffled), the same on every machine
    that holds the same files. Train rows are followed by those of the dataset's `more_train`.

    Args:
        dataset: Name, pinned version, split strings, feature, context feature and classes.
        split: "train", "validation" or "test".
        data_dir: The one TFDS directory to use, instead of the look-up of the module's docstring.
        download: Whether an absent dataset may be downloaded and prepared.

    Returns:
        Arrays: uint8 [rows, height, width, channels] for images, float32 [rows, columns] for
        tables, int16 [rows, samples] for audio (`zoo.data.spoken_digit`, `zoo.data.ljspeech`); the
        context, if the dataset declares one: labels as int32 [rows], numbers and images as
            stored, or mel frames.

    Raises:
        DataError: the dataset, its version, the split or a feature is not there, or no row has one
            of the labels; or its files are damaged, or hold fewer rows than they declare; or the
            rows of `more_train` have another shape, or other contexts.
    """
    if isinstance(dataset, Table):
        return own_rows.read(dataset, split)
    import tensorflow as tf

    parts = datasets_of(dataset, split)
    if len(parts) > 1:
        for part in parts:  # an absent one is named before any row is read
            open_builder(part, data_dir=data_dir, download=download)
        return _joined(
            [load_arrays(part, split, data_dir=data_dir, download=download) for part in parts],
            dataset,
        )
    expression = split_expression(dataset, split)
    if dataset.labels and (energies.is_energy(dataset) or dataset.name == ljspeech.NAME):
        raise DataError(f"{dataset.name} has no classes; got labels {list(dataset.labels)}.")
    if energies.is_energy(dataset):
        return Arrays(energies.read_split(dataset, expression))
    builder = open_builder(dataset, data_dir=data_dir, download=download)
    names = [dataset.feature, dataset.context] if dataset.context else [dataset.feature]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    try:
        if dataset.name == spoken_digit.NAME:
            return Arrays(*spoken_digit.read_split(builder, dataset, expression))
        if dataset.name == ljspeech.NAME:
            return Arrays(*ljspeech.read_split(builder, expression))
        stored = stored_rows(builder, dataset, expression)
        for batch in stored.batch(_READ_BATCH).as_numpy_iterator():
            for name in names:
                columns[name].append(batch[name])
    except DataError:
        raise
    except (
        tf.errors.OpError,
        AssertionError,
        LookupError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else str(error)
        raise DataError(
            f"{dataset.name}:{dataset.version}[{expression}] cannot be read: {reason} "
            "Prepare the dataset again."
        ) from error
    if not columns[dataset.feature]:
        raise DataError(
            f"No row of {dataset.name}, {split}, has one of the labels {list(dataset.labels)}."
        )
    x = np.concatenate(columns[dataset.feature])
    context = None
    if dataset.context:
        context = stored_context(np.concatenate(columns[dataset.context]))
    return Arrays(x, context)


def stored_context(values: np.ndarray) -> np.ndarray:
    """Contexts as models take them: labels int32 [rows], others as stored, [rows, ...]."""
    return values.astype(np.int32) if values.ndim == 1 and values.dtype.kind in "iub" else values


def datasets_of(dataset: Rows, split: str) -> list[Rows]:
    """The datasets that hold a split's rows, in order: itself, and of train its `more_train`."""
    if split != "train" or not dataset.more_train:
        return [dataset]
    own = dataclasses.replace(dataset, more_train="")
    return [own, dataclasses.replace(own, name=dataset.more_train, train="train")]


def _joined(arrays: list[Arrays], dataset: Rows) -> Arrays:
    """The rows of a dataset and those of its `more_train`. Raises DataError for other shapes."""
    own, more = ([a.shape[1:] for a in (part.x, part.context) if a is not None] for part in arrays)
    if own != more:
        raise DataError(
            f"The rows of {dataset.more_train} cannot follow those of {dataset.name}: they have "
            f"the shapes {more}, not {own}."
        )
    contexts = [part.context for part in arrays if part.context is not None]
    return Arrays(
        np.concatenate([part.x for part in arrays]), np.concatenate(contexts) if contexts else None
    )


def stored_rows(builder: Any, dataset: Rows, expression: str) -> Any:
    """The rows of a split as a `tf.data.Dataset` of dicts of the named features, in stored order.

    Of a dataset with `labels` those of the classes alone.

    Raises DataError where the dataset has no such feature, class or split, or the split no rows.
    """
    import tensorflow as tf

    tfds = extras.tensorflow_datasets()

    version = f"{dataset.name}:{dataset.version}"
    label = dataset.context or ("label" if dataset.labels else "")
    names = [dataset.feature, label] if label else [dataset.feature]
    for name in names:
        if name not in builder.info.features:
            raise DataError(
                f"{version} stores no feature {name!r}; "
                f"it has {', '.join(sorted(builder.info.features))}."
            )
    if dataset.labels:
        # Of a label that is no class, as an integer of a table, no range is known.
        classes = getattr(builder.info.features[label], "num_classes", None) or 2**31
        unknown = [number for number in dataset.labels if number not in range(classes)]
        if unknown:
            raise DataError(f"{version} has the labels 0..{classes - 1}; got {unknown}.")
    try:
        rows = int(builder.info.splits[expression].num_examples)
    except (KeyError, ValueError, AssertionError) as error:
        raise DataError(
            f"{version} has no split {expression!r}; its splits are "
            f"{', '.join(builder.info.splits)}."
        ) from error
    if rows == 0:
        raise DataError(f"The split {expression!r} of {version} has no rows.")
    found = builder.as_dataset(
        split=expression,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(names, True)),
        read_config=tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1),
    )
    if not dataset.labels:
        return found
    return found.filter(
        lambda row: tf.reduce_any(tf.cast(row[label], tf.int64) == list(dataset.labels))
    )


def _prepare(dataset: Rows, *, data_dir: str | Path | None, download: bool) -> Path:
    """Prepares an absent dataset; returns its directory."""
    if dataset.name in OWN_DATASETS:
        module = builder_module(dataset.name)
        if dataset.version == module.VERSION:
            return module.prepare(dataset.name, data_dir=data_dir, download=download)
    if not download:
        raise DataError(_absent(dataset, data_dir))
    tfds = extras.tensorflow_datasets()

    root = data_dirs(data_dir)[0]
    try:
        builder = tfds.builder(f"{dataset.name}:{dataset.version}", data_dir=str(root))
        builder.download_and_prepare()
    except Exception as error:
        raise DataError(
            f"{dataset.name} {dataset.version} could not be downloaded and prepared in {root}: "
            f"{type(error).__name__}: {error}"
        ) from error
    return root / dataset.name / dataset.version


def _absent(dataset: Rows, data_dir: str | Path | None) -> str:
    roots = data_dirs(data_dir)
    others = sorted(
        folder.name
        for root in roots
        if (root / dataset.name).is_dir()
        for folder in (root / dataset.name).iterdir()
        if (folder / "dataset_info.json").is_file()
    )
    found = f" (found version {', '.join(others)}, which is not the pinned one)" if others else ""
    return (
        f"The dataset {dataset.name} {dataset.version} is not prepared{found} in "
        f"{' or '.join(str(root) for root in roots)}. Set TFDS_DATA_DIR to the directory that "
        f"holds {dataset.name}/{dataset.version}, or let TFDS download it: "
        f"`tfds build {dataset.name}`, or load_arrays(…, download=True)."
    )
