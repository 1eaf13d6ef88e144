"""Where datasets of our own come from, and how they are prepared.

`$ZOO_RAW_DATA` is a folder with source files that lie on this machine, one subfolder a dataset; the
builders' modules say which files. Without it a builder downloads its canonical archive, where that
is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo import extras
from zoo.data import sources
from zoo.errors import DataError

__all__ = ["RAW_DATA", "numbered_rows", "prepare", "raw_folder", "rows_info", "writable_root"]

RAW_DATA = "ZOO_RAW_DATA"


def raw_folder(name: str) -> Path | None:
    """`$ZOO_RAW_DATA/<name>`, or None where the variable is not set or has no such folder."""
    root = os.environ.get(RAW_DATA)
    folder = Path(root).expanduser() / name if root else None
    return folder if folder is not None and folder.is_dir() else None


def rows_info(builder: Any, *, columns: int, description: str, homepage: str, licence: str) -> Any:
    """The TFDS info of a table of float32 rows [columns] under the feature "features"."""
    tfds = extras.tensorflow_datasets()

    features = tfds.features.Tensor(
        shape=(columns,), dtype=np.float32, encoding=tfds.features.Encoding.BYTES
    )
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict({"features": features}),
        homepage=homepage,
        license=licence,
        disable_shuffling=True,  # rows stay in the order in which they are made
    )


def numbered_rows(rows: np.ndarray, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """The examples that a builder yields for rows [n, columns]."""
    for number, row in enumerate(rows, start):
        yield number, {"features": row}


def prepare(
    builder: Callable[..., Any],
    *,
    name: str,
    version: str,
    source: str,
    raw: str = "",
    data_dir: str | Path | None = None,
    download: bool = False,
) -> Path:
    """Prepares a dataset where it is absent; returns its directory.

    It is written to the first directory of `zoo.data.sources.data_dirs(data_dir)` that can be
    written to. Processes that prepare it at the same time wait for one another.

    builder: the builder's class.   source: words for where the files can be had.   raw: the folder
    of `$ZOO_RAW_DATA` with them, where that is not the dataset's name.

    Raises:
        DataError: there are no files on this machine and `download` is False, no directory can be
            written to, the download failed, or the files are not the dataset's.
    """
    from filelock import FileLock

    raw = raw or name
    if raw_folder(raw) is None and not download:
        raise DataError(
            f"The dataset {name} {version} is not prepared in "
            f"{' or '.join(str(root) for root in sources.data_dirs(data_dir))}. Set TFDS_DATA_DIR "
            f"to a directory that holds it; or {RAW_DATA} to a folder whose subfolder {raw} holds "
            f"its files ({source}); or allow the download (download=True)."
        )
    root = writable_root(name, data_dir)
    folder = root / name / version
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            if not (folder / "dataset_info.json").is_file():
                builder(data_dir=str(root)).download_and_prepare()
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{name} {version} could not be prepared in {root}: {type(error).__name__}: {error}"
        ) from error
    return folder


def writable_root(name: str, data_dir: str | Path | None) -> Path:
    """The first of the directories that can be written to. Raises DataError where none can."""
    roots = [root.absolute() for root in sources.data_dirs(data_dir)]
    for root in roots:
        nearest = next(path for path in (root, *root.parents) if path.exists())
        # A directory without any write permission is meant to stay as it is, for root as well.
        if nearest.stat().st_mode & 0o222 and os.access(nearest, os.W_OK):
            return root
    raise DataError(
        f"{name} cannot be prepared: {' and '.join(str(root) for root in roots)} cannot be written "
        "to. Set ZOO_CACHE or TFDS_DATA_DIR to a directory that can."
    )
