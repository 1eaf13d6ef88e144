"""`zoo sample` and `zoo score`: using a model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.app import (
    EXIT_CODES,
    AsJson,
    Context,
    Name,
    app,
    complaining,
    loaded,
    print_json,
)
from zoo.cli.contexts import beside_columns, context_of, for_rows
from zoo.errors import InvalidInputError
from zoo.media.audio import AUDIO_SUFFIXES, read_audio, write_audio
from zoo.media.console import columns, progress_bar, waiting
from zoo.media.tables import read_csv

if TYPE_CHECKING:
    import numpy as np

    from zoo.core.space import Space

SLOW_EVENT_SIZE = 2000  # of rows whose density takes a pass a number
SUFFIXES = (".png", ".npy", ".npz", ".csv")  # of files of rows
SHOWN_ROWS = 20  # of scores, without --all


@app.command(epilog=EXIT_CODES)
def sample(
    name: Name,
    *,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="Rows to draw.")] = 64,
    seed: Annotated[int | None, typer.Option(help="Makes the draw reproducible.")] = None,
    temperature: Annotated[float, typer.Option(help="Scale of the latents.")] = 1.0,
    context: Context = None,
    all_contexts: Annotated[
        bool, typer.Option("--all-contexts", help="Rows of the labels 0, 1, ... in turn.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="A .png, .wav, .flac, .npy, .npz or .csv file."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV instead.")] = False,
) -> None:
    """Draw rows from a model: a picture, sound, or numbers, by the file's suffix.

    .png is a grid of images; .wav and .flac hold clips one after the other; .npy, .npz (key x) and
    .csv hold numbers.

    The rows are those of `model.sample(number, seed=seed, temperature=temperature)`.
    """
    if as_csv == (out is not None):
        raise InvalidInputError("Give either --out FILE or --csv.")
    if all_contexts and context is not None:
        raise InvalidInputError("Give either --context or --all-contexts.")

    def drawn(model: Any) -> np.ndarray:
        labels = _labels_in_turn(model, number) if all_contexts else context_of(model, context)
        with waiting(f"drawing {number} from {name}"):
            rows = model.sample(number, seed=seed, temperature=temperature, context=labels)
        return rows.numpy()

    from zoo.core.encoding import write_rows

    if out is None:
        model = loaded(name)
        write_rows(None, drawn(model), model.data, model.column_names)
        return
    suffix = out.suffix.lower()
    if suffix not in (*SUFFIXES, *AUDIO_SUFFIXES):
        expected = ", ".join((*SUFFIXES, *AUDIO_SUFFIXES))
        raise InvalidInputError(f"Expected a {expected} file; got {str(out)!r}.")
    model = loaded(name)
    if suffix == ".png" and not model.data.levels:
        raise InvalidInputError(
            f"{name} draws rows of {model.config.event_size} numbers, not images: write them to "
            ".npy, .npz or .csv, and audio to .wav or .flac."
        )
    if suffix in AUDIO_SUFFIXES and model.data.medium != "audio":
        raise InvalidInputError(f"{name} draws no audio: write its rows to another kind of file.")
    rows = drawn(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    if suffix in AUDIO_SUFFIXES:
        write_audio(out, rows, model.data.rate)
    elif suffix == ".png":
        _write_png(out, rows, model.data.levels)
    else:
        write_rows_to(out, rows, model, model.column_names)
    print(out)


def write_rows_to(path: Path, rows: np.ndarray, model: Any, names: Sequence[str]) -> None:
    """Rows as .csv, .npy or .npz, by the suffix."""
    from zoo.core.encoding import write_rows

    if path.suffix.lower() == ".csv":
        write_rows(path, rows, model.data, names)
    else:
        _ARRAYS[path.suffix.lower()](path, rows)


def _labels_in_turn(model: Any, number: int) -> np.ndarray:
    """0, 1, ... over and over. Raises InvalidInputError where a model has no labels."""
    from zoo.media import pictures

    if model.context is None or not model.context.num_labels:
        raise InvalidInputError(f"{model.name} has no labels: leave out --all-contexts.")
    return pictures.labels_in_turn(number, model.context.num_labels)


def _write_png(path: Path, rows: np.ndarray, levels: int) -> None:
    """A grid; binary images are black and white."""
    from zoo.media import pictures

    pictures.save_png(path, pictures.grid(pictures.as_grey(rows, levels)))


def _write_npy(path: Path, rows: np.ndarray) -> None:
    import numpy as np

    with path.open("wb") as stream:
        np.save(stream, rows, allow_pickle=False)


def _write_npz(path: Path, rows: np.ndarray) -> None:
    import numpy as np

    with path.open("wb") as stream:
        np.savez_compressed(stream, x=rows)


_ARRAYS: dict[str, Callable[[Path, Any], None]] = {".npy": _write_npy, ".npz": _write_npz}


@app.command(epilog=EXIT_CODES)
def score(
    name: Name,
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Rows as the dataset stores them: .npy, .npz, .csv, images, .wav or .flac.",
            metavar="FILE…",
        ),
    ],
    *,
    context: Context = None,
    seed: Annotated[
        int | None, typer.Option(help="Names the dequantisation noise; one fixed draw without.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows scored at a time.")] = 250,
    symmetrised: Annotated[
        bool,
        typer.Option(
            "--symmetrised",
            help="For square patches: the mixture of the model over their 8 symmetries.",
        ),
    ] = False,
    show_all: Annotated[
        bool, typer.Option("--all", help=f"Show every row, not the first {SHOWN_ROWS} of a file.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score rows: log-density in nats and bits per dimension, row by row, and their means.

    .npy holds rows [n, …], or one row; .npz the same under the key x (or its only key), with labels
    under context for class-conditional models; .csv one row of numbers a line; an image file is one
    row, and so is an audio file, with silence behind it where it is shorter than the model's clips.
    """
    model = loaded(name)
    scored = []
    if model.slow_direction == "density" and model.config.event_size >= SLOW_EVENT_SIZE:
        typer.echo(
            f"zoo: {name} scores a row by up to {model.config.event_size:,} passes of each "
            "network: this takes minutes.",
            err=True,
        )
    for path in files:
        with complaining():
            rows, labels = read_rows(path, model, context, names=model.column_names)
        nats = scores_of(
            model,
            rows,
            labels,
            seed=seed,
            batch_size=batch_size,
            symmetrised=symmetrised,
            label=str(path),
        )
        scored.append(_scores(path, nats, model.config.event_size))
    if as_json:
        print_json({"name": name, "files": scored})
        return
    for result in scored:
        _print_scores(result, shown=None if show_all else SHOWN_ROWS)


def _read_clip(path: Path, space: Space) -> np.ndarray:
    """An audio file as one row, [1, samples of a clip]."""
    from zoo.data.spoken_digit import fit_clip

    if space.medium != "audio":
        raise InvalidInputError(f"{path} is audio, and the model's rows are not.")
    samples, size = read_audio(path, space.rate), space.size
    if len(samples) > size:
        raise InvalidInputError(
            f"{path} has {len(samples):,} samples, and the model's clips {size:,} "
            f"({size / space.rate:.2f} s): cut it."
        )
    return fit_clip(samples, size)[None]


def read_rows(
    path: Path, model: Any, text: str | None = None, *, names: Sequence[str] = ()
) -> tuple[Any, Any]:
    """The rows of a file, [n, …], and their context: the file's own, or `text` for all, or None.

    names: those of the columns, which a table's header may have in another order.
    text: as of `--context`.
    Warns of features that lose digits in the model's dtype. Raises InvalidInputError for files that
    cannot be read, and a context in both places.
    """
    from zoo.core.checks import as_array

    space = model.data
    if space.columns:
        rows, labels = _stored_table(path, model)
    elif model.context is not None and model.context.columns and path.suffix.lower() == ".csv":
        rows, labels = beside_columns(path, model)
    else:
        rows, labels = _stored_rows(path, space, names)
    if "float" in space.dtype and rows.dtype.kind in "fiu":
        rows = as_array(rows, str(path), space.dtype)  # warns by the rows of the file
    context = context_of(model, text)
    if context is None:
        return rows, labels
    if labels is not None:
        raise InvalidInputError(f"{path} holds labels of its own: leave out --context.")
    return rows, for_rows(context, len(rows))


def _stored_table(path: Path, model: Any) -> tuple[Any, Any]:
    """The rows and the context of a table of named columns."""
    from zoo.core.encoding import rows_of
    from zoo.data import frames

    if path.suffix.lower() not in frames.SUFFIXES:
        expected = ", ".join(frames.SUFFIXES)
        raise InvalidInputError(f"Expected a table, {expected}; got {str(path)!r}.")
    frame = frames.read_frame(path)
    if path.suffix.lower() in (".npy", ".npz") and len(frame.columns) == len(model.data.columns):
        frame.columns = [column.name for column in model.data.columns]
    rows, context = rows_of(frame, model.data, str(path)), None
    names = [] if model.context is None else [column.name for column in model.context.columns]
    if names and set(names) <= set(frame.columns):
        context = rows_of(frame, model.context, str(path))
    return rows, context


def _of_table(rows: np.ndarray, path: Path, space: Space) -> np.ndarray:
    """Rows of numbers as the model's: whole ones where its data are integers."""
    import numpy as np

    rows = rows.reshape([-1, *space.shape])
    if not space.is_integer:
        return rows
    if (rows != np.round(rows)).any():
        raise InvalidInputError(f"Expected whole numbers in {path}: the model's data are integers.")
    return rows.astype(np.int32)


def _stored_rows(path: Path, space: Space, names: Sequence[str]) -> tuple[Any, Any]:
    import tokenize
    import zipfile
    import zlib

    import numpy as np

    suffix, event_shape = path.suffix.lower(), space.shape
    if suffix in AUDIO_SUFFIXES:
        return _read_clip(path, space), None
    if suffix == ".csv":
        # Integers of a table may have more digits than float32 holds.
        dtype = "float64" if space.is_integer else space.dtype
        rows, _ = read_csv(path, space.size, names=names, dtype=dtype)
        return _of_table(rows, path, space), None
    if suffix not in (".npy", ".npz"):
        from zoo.media import pictures

        pixels = pictures.read_image(path, event_shape)
        step = 255 // (space.levels - 1) if 2 <= space.levels < 256 else 1
        if not (pixels % step).any():
            pixels = pixels // step  # as `zoo sample` writes them: black and white, say
        return pixels, None
    labels = None
    try:
        with path.open("rb") as stream:
            content: Any = np.load(stream, allow_pickle=False)
            if isinstance(content, np.lib.npyio.NpzFile):
                keys = content.files
                key = "x" if "x" in keys else keys[0] if len(keys) == 1 else ""
                if not key:
                    raise InvalidInputError(
                        f"{path} needs its rows under the key x; it has {', '.join(keys)}."
                    )
                _tell_of_others(path, key, sorted(set(keys) - {key, "context"}))
                labels = content["context"] if "context" in keys else None
                content = content[key]
        if not isinstance(content, np.ndarray):  # another file in the archive: its bytes
            raise InvalidInputError(f"{path} holds no array.")
    except FileNotFoundError as error:
        raise InvalidInputError(f"No file {path}.") from error
    except (
        OSError, EOFError, MemoryError, ValueError, zipfile.BadZipFile, zlib.error,
        tokenize.TokenError,
    ) as error:  # fmt: skip
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{path} cannot be read as {suffix} ({error}).") from error
    if content.shape == tuple(event_shape):
        content = content[np.newaxis]
    return content, labels


def _tell_of_others(path: Path, key: str, others: list[str]) -> None:
    """Warns of arrays that are not used; raises InvalidInputError for a mask among them."""
    text = f"{path} holds {', '.join(others)} beside {key}"
    if any("mask" in other.lower() for other in others):
        raise InvalidInputError(
            f"{text}: a mask would be ignored. Leave out the rows in which something is masked."
        )
    if others:
        warnings.warn(f"{text}, of which nothing is used.", stacklevel=2)


def scores_of(
    model: Any,
    rows: Any,
    labels: Any,
    *,
    seed: int | None = None,
    batch_size: int = 250,
    symmetrised: bool = False,
    label: str,
) -> np.ndarray:
    """log p of every row, [n] nats, a batch at a time under a progress bar named `label`.

    symmetrised: of the mixture over the symmetries of square patches (`zoo.tasks.symmetrised`).
    Raises InvalidInputError, which begins with the label.
    """
    import numpy as np

    from zoo.tasks.symmetrised import symmetrised_log_prob

    if labels is not None and symmetrised:
        raise InvalidInputError(f"{label}: patches have no labels: leave out --context.")
    if labels is not None and rows.ndim and np.shape(labels)[:1] != (len(rows),):
        raise InvalidInputError(
            f"{label}: expected one label a row: {len(rows)}; got shape {list(np.shape(labels))}."
        )

    def nats_of(some: Any, some_labels: Any) -> np.ndarray:
        try:
            if symmetrised:
                return np.asarray(symmetrised_log_prob(model, some))
            return np.asarray(model.log_prob(some, some_labels, seed=seed))
        except InvalidInputError as error:
            raise InvalidInputError(f"{label}: {error}") from error

    starts = range(0, max(len(rows), 1) if rows.ndim else 1, batch_size)
    if len(starts) == 1:
        return nats_of(rows, labels)
    nats = []
    with progress_bar() as progress:
        task = progress.add_task(label, total=len(rows))
        for start in starts:
            chosen = slice(start, start + batch_size)
            some = None if labels is None else labels[chosen]
            nats.append(nats_of(rows[chosen], some))
            progress.update(task, advance=len(nats[-1]))
    return np.concatenate(nats)


def _scores(path: Path, nats: np.ndarray, event_size: int) -> dict[str, Any]:
    import numpy as np

    from zoo.ops.units import bits_per_dim_from_nats

    nats = nats.astype(np.float64)
    bits = bits_per_dim_from_nats(nats, event_size)
    return {
        "file": str(path),
        "count": len(nats),
        "mean_log_prob": float(nats.mean()),
        "mean_bits_per_dim": float(bits.mean()),
        "log_prob": [float(value) for value in nats],
        "bits_per_dim": [float(value) for value in bits],
    }


def _print_scores(result: Mapping[str, Any], *, shown: int | None) -> None:
    count = result["count"]
    lines = [("row", "nats", "bits/dim")]
    pairs = list(zip(result["log_prob"], result["bits_per_dim"], strict=True))[:shown]
    lines += [(str(i), f"{nats:.3f}", f"{bits:.4f}") for i, (nats, bits) in enumerate(pairs)]
    lines.append(("mean", f"{result['mean_log_prob']:.3f}", f"{result['mean_bits_per_dim']:.4f}"))
    print(result["file"])
    print(columns(lines, right={0, 1, 2}, indent="  "))
    if shown is not None and count > shown:
        print(f"  the mean is of all {count:,} rows; --all shows them")
