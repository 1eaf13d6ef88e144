"""`zoo compress` and `zoo decompress`: rows of integers as small files, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.app import EXIT_CODES, AsJson, Name, app, complaining, loaded, print_json
from zoo.cli.use import SUFFIXES, read_rows, write_rows_to
from zoo.errors import InvalidInputError
from zoo.media.console import waiting
from zoo.store.files import replacing

SUFFIX = ".zoo"


@app.command(epilog=EXIT_CODES)
def compress(
    name: Name,
    file: Annotated[Path, typer.Argument(help="Rows: .npy, .npz (key x), .csv or an image.")],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", help="The .zoo file to write.")],
    as_json: AsJson = False,
) -> None:
    """Write rows in about as many bits as the model says: -log2 of their probability.

    For models with exact probabilities of integers and codes that give rows back: integer flows.
    What was written is decoded and compared before it is kept; `zoo decompress` with the same
    weights gives the same rows, bit for bit.

    Example: zoo compress idf_digits digits.npy -o digits.zoo
    """
    from zoo.tasks import compression

    _check_suffix(out, (SUFFIX,))
    model = loaded(name)
    compression.check_codes(model)
    with complaining():
        rows, labels = read_rows(file, model, names=model.column_names)
    if labels is not None:
        raise InvalidInputError(
            f"{file} holds labels, which the model does not code: keep x alone."
        )
    with waiting(f"compressing {file}"):
        found = compression.compress(model, rows)
    with replacing(out) as temporary:
        temporary.write_bytes(found.content)
    size, dims = len(found.content), found.rows * model.config.event_size
    bits = 8 * size / max(dims, 1)
    if as_json:
        facts = {"rows": found.rows, "verbatim_rows": found.verbatim, "code_bits": found.code_bits}
        print_json({"file": str(out), "bytes": size, "bits_per_dim": bits, **facts})
        return
    print(f"{out}: {found.rows:,} rows in {size:,} bytes, {bits:.4f} bits/dim")
    if found.verbatim:
        print(f"  {found.verbatim:,} rows are stored as they are")


@app.command(epilog=EXIT_CODES)
def decompress(
    name: Name,
    file: Annotated[Path, typer.Argument(help="A .zoo file that `zoo compress` wrote.")],
    *,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="A .npy, .npz, .csv or, of one image, .png file.")
    ],
) -> None:
    """Give back the rows of a compressed file, with the weights that it was made with.

    Example: zoo decompress idf_digits digits.zoo -o digits.npy
    """
    from zoo.tasks import compression

    _check_suffix(out, SUFFIXES)
    if not file.is_file():
        raise InvalidInputError(f"No file {file}.")
    model = loaded(name)
    with waiting(f"decompressing {file}"):
        rows = compression.decompress(model, file.read_bytes())
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".png":
        _write_image(out, rows, model)
    else:
        write_rows_to(out, rows, model, model.column_names)
    print(f"{out}: {len(rows):,} rows")


def _write_image(path: Path, rows: Any, model: Any) -> None:
    from zoo.media import pictures

    if len(rows) != 1 or model.data.medium != "image":
        raise InvalidInputError(
            f"A .png holds one image, and the file {len(rows):,} rows: write them to .npy or .npz."
        )
    pictures.save_png(path, pictures.as_grey(rows, model.data.levels)[0])


def _check_suffix(path: Path, expected: tuple[str, ...]) -> None:
    if path.suffix.lower() not in expected:
        raise InvalidInputError(f"Expected a {', '.join(expected)} file; got {str(path)!r}.")
