"""What `--context` means for a model: a label, numbers, values of columns, or a file of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from zoo.core.space import Space

__all__ = ["beside_columns", "context_of", "for_rows"]

_SUFFIXES = (".npy", ".npz", ".csv", ".parquet", ".png")


def context_of(model: Any, text: str | None) -> Any:
    """A label, a context [1, ...] for all rows, or those of a file [n, ...]; None for None.

    "3" is a label, "0.5,2" two numbers, "region=north,year=2020" columns by name, and a path with
    a known suffix a file: rows of numbers, a table with the columns' names, or an image.
    Raises InvalidInputError for what is none of these for the model.
    """
    if text is None:
        return None
    space, path = model.context, Path(text)
    if space is None:
        raise InvalidInputError(f"{model.name} is unconditional: leave out --context.")
    if path.suffix.lower() in _SUFFIXES:
        return _read(path, space)
    if space.columns:
        return _of_columns(text, space)
    if space.num_labels:
        try:
            return int(text)
        except ValueError:
            raise InvalidInputError(f"--context is a label, a number; got {text!r}.") from None
    return _of_numbers(text, space)


def for_rows(context: Any, count: int) -> Any:
    """A context a row of so many, of what `context_of` gives."""
    import numpy as np

    if context is None:
        return None
    one = np.ndim(context) == 0 or len(context) == 1
    return np.broadcast_to(context, (count, *np.shape(context)[1:])) if one else context


def _of_columns(text: str, space: Space) -> np.ndarray:
    from zoo.core.encoding import encoded

    given: dict[str, list[str]] = {}
    for part in text.split(","):
        name, separator, value = part.partition("=")
        if not separator:
            names = ",".join(f"{column.name}=VALUE" for column in space.columns)
            raise InvalidInputError(f"Expected --context {names}; got {text!r}.")
        given[name.strip()] = [value.strip()]
    return encoded(given, space.columns, "--context").astype(space.dtype)


def _of_numbers(text: str, space: Space) -> np.ndarray:
    import numpy as np

    expected = f"--context is {space.size} numbers with commas between, or a file of such rows"
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInputError(f"{expected}; got {text!r}.") from None
    if len(numbers) != space.size:
        raise InvalidInputError(f"{expected}; got {len(numbers)}.")
    return np.asarray(numbers, space.dtype).reshape(1, *space.shape)


def _read(path: Path, space: Space) -> np.ndarray:
    """The contexts of a file, [n, ...]."""
    import numpy as np

    from zoo.core.encoding import encoded
    from zoo.data import frames
    from zoo.media.tables import read_csv

    suffix = path.suffix.lower()
    if not path.is_file():
        raise InvalidInputError(f"--context {path}: no such file.")
    if space.columns:
        return encoded(frames.read_frame(path), space.columns, str(path)).astype(space.dtype)
    if suffix == ".png":
        from zoo.media import pictures

        return pictures.read_image(path, space.shape)
    if suffix == ".csv":
        rows, _ = read_csv(path, space.size, dtype="float64" if space.is_integer else space.dtype)
        if space.is_integer:
            rows = rows.astype(np.int32)
        return rows.reshape(-1, *space.shape)
    if suffix not in (".npy", ".npz"):
        raise InvalidInputError(f"Expected numbers in a .npy, .npz or .csv file; got {path}.")
    try:
        content: Any = np.load(path, allow_pickle=False)
        if isinstance(content, np.lib.npyio.NpzFile):
            keys = content.files
            content = content["context" if "context" in keys else keys[0]]
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise InvalidInputError(f"{path} cannot be read as {suffix} ({error}).") from error
    rows = np.asarray(content)
    return rows[np.newaxis] if rows.shape == space.shape else rows


def beside_columns(path: Path, model: Any) -> tuple[Any, Any]:
    """Rows of numbers, and the columns of their context where the file has them."""
    import numpy as np

    from zoo.core.encoding import encoded
    from zoo.data import frames

    frame, space, names = frames.read_frame(path), model.data, []
    context = None
    if {column.name for column in model.context.columns} <= set(frame.columns):
        context = encoded(frame, model.context.columns, str(path)).astype(model.context.dtype)
        names = [column.name for column in model.context.columns]
    others = frame.drop(columns=names)
    if others.shape[1] != space.size:
        raise InvalidInputError(
            f"Expected {space.size} columns of data in {path}, and those of the context: "
            f"{', '.join(column.name for column in model.context.columns)}; got "
            f"{', '.join(map(str, frame.columns))}."
        )
    try:
        return others.to_numpy(np.dtype(space.dtype)).reshape(-1, *space.shape), context
    except ValueError as error:
        raise InvalidInputError(f"Expected numbers in {path}: {error}.") from error
