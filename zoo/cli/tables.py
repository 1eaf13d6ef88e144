"""`zoo anomalies` and `zoo impute`: what a density does for a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.app import (
    EXIT_CODES,
    AsJson,
    Context,
    Name,
    app,
    complain,
    complaining,
    loaded,
    print_json,
    recipe_of,
)
from zoo.cli.contexts import context_of, for_rows
from zoo.cli.use import read_rows, scores_of
from zoo.errors import CheckpointError, DataError, InvalidInputError
from zoo.media.console import columns, waiting

SHOWN_ROWS = 10


@app.command(epilog=EXIT_CODES)
def anomalies(
    name: Name,
    file: Annotated[Path, typer.Argument(help="The rows to judge: .csv, .npy, .npz, an image.")],
    *,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Rows known to be normal, not trained on; by default the dataset's test rows that "
            "ship with the package."
        ),
    ] = None,
    level: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Of false alarms among normal rows.")
    ] = 0.01,
    context: Context = None,
    show_all: Annotated[
        bool, typer.Option("--all", help=f"Show every anomaly, not the first {SHOWN_ROWS}.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the rows that are unlike the data: conformal p-values of their log-densities.

    p is the share of reference rows that are as improbable or more. Rows with p <= LEVEL are
    anomalies; of normal rows that is at most the share LEVEL.
    """
    import numpy as np

    from zoo.tasks.anomalies import p_values

    model = loaded(name)
    with complaining():
        names = model.column_names
        rows, labels = read_rows(file, model, context, names=names)
        normal, normal_labels = reference_rows(name, reference, model, context)
    nats = scores_of(model, rows, labels, label=str(file))
    p = p_values(nats, scores_of(model, normal, normal_labels, label="reference"))
    least = 1.0 / (1 + len(normal))
    if level < least:
        complain(
            f"{len(normal)} reference rows give no p below {least:.3g}, and --level is {level:g}: "
            "no row can be an anomaly. Give more of them (--reference), or a higher --level."
        )
    found = np.flatnonzero(p <= level)
    found = found[np.argsort(p[found], kind="stable")]
    if as_json:
        print_json(
            {
                "name": name,
                "file": str(file),
                "count": len(p),
                "reference_count": len(normal),
                "level": level,
                "p": [float(value) for value in p],
                "log_prob": [float(value) for value in nats],
                "anomalies": [int(row) for row in found],
            }
        )
        return
    print(f"{len(found)} of {len(p)} rows have p <= {level:g}, by {len(normal)} reference rows")
    shown = found if show_all else found[:SHOWN_ROWS]
    if len(shown):
        lines = [("row", "p", "nats"), *((str(i), f"{p[i]:.4f}", f"{nats[i]:.3f}") for i in shown)]
        print(columns(lines, right={0, 1, 2}, indent="  "))
    if len(shown) < len(found):
        print(f"  {len(found) - len(shown)} more; --all shows them")


def reference_rows(
    name: str, path: Path | None, model: Any, context: str | None, *, option: str = "--reference"
) -> tuple[Any, Any]:
    """The rows of a file, else test rows that are at hand, and their labels.

    option: which names the file. Raises InvalidInputError where there are none.
    """
    if path is not None:
        return read_rows(path, model, context, names=model.column_names)
    import numpy as np

    from zoo.core.data import Table
    from zoo.data import own_rows, sample_labels, samples

    try:
        recipe = recipe_of(name)
        if isinstance(recipe.dataset, Table):
            own = own_rows.read(recipe.dataset, "test")
            return own.x, own.context
        dataset, learnt = recipe.dataset.name, recipe.dataset.labels
        rows = samples(dataset)
        labels = sample_labels(dataset) if model.config.context_size or learnt else None
    except (CheckpointError, DataError, ValueError) as error:
        raise InvalidInputError(
            f"The package holds no test rows for {name}: give {option}, a file of normal rows."
        ) from error
    if rows.shape[1:] != tuple(model.config.event_shape):
        raise InvalidInputError(
            f"The package's rows of {dataset} have shape {list(rows.shape[1:])}, the model's "
            f"{list(model.config.event_shape)}: give {option}, a file of normal rows."
        )
    if labels is not None:  # rows of labels that were not learnt, or not asked for, are not normal
        normal = np.isin(labels, learnt) if learnt else np.full(len(labels), fill_value=True)
        if model.config.context_size and context is not None:
            normal &= labels == context_of(model, context)
        rows, labels = rows[normal], labels[normal]
    if not len(rows):
        raise InvalidInputError(
            f"The package holds no rows of {dataset} with such labels: give {option}, a file of "
            "normal rows."
        )
    return rows, labels if model.config.context_size else None


@app.command(epilog=EXIT_CODES)
def impute(
    name: Name,
    file: Annotated[Path, typer.Argument(help="A .csv table; empty cells are missing.")],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", help="The .csv file to write.")],
    seed: Annotated[int | None, typer.Option(help="Makes the draws reproducible.")] = None,
    steps: Annotated[
        int,
        typer.Option(
            min=10, help="Of every Markov chain; models with conditionals of their own need none."
        ),
    ] = 200,
    context: Context = None,
) -> None:
    """Fill in the missing cells of a table with draws from the model, given the cells there are.

    Each row's missing values are one draw from their joint conditional density: exactly, of a model
    that has the conditionals of any order; else by a Markov chain a row. Observed cells are written
    as they were read.
    """
    import numpy as np

    from zoo.media.tables import is_missing, numbers_of, read_cells, write_csv
    from zoo.tasks.imputation import impute as imputed

    for path in (file, out):
        if path.suffix.lower() != ".csv":
            raise InvalidInputError(f"Expected a .csv file; got {str(path)!r}.")
    model = loaded(name)
    if model.data.columns:
        _impute_table(model, file, out, seed=seed, steps=steps, context=context)
        return
    with complaining():
        cells, header = read_cells(file, model.config.event_size, names=model.column_names)
        rows = numbers_of(cells, header, file, allow_missing=True)
        labels = for_rows(context_of(model, context), len(rows))
        with waiting(f"drawing {int(np.isnan(rows).sum())} values from {name}"):
            filled = imputed(model, rows, context=labels, num_steps=steps, seed=seed)
    drawn = filled.astype(str).tolist()
    whole = [
        [new if is_missing(old) else old for old, new in zip(*pair, strict=True)]
        for pair in zip(cells, drawn, strict=True)
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_csv(out, np.array(whole), header)
    print(out)


def _impute_table(
    model: Any, file: Path, out: Path, *, seed: int | None, steps: int, context: str | None
) -> None:
    """`impute` of a table of named columns, in the columns' own order."""
    import dataclasses

    import numpy as np

    from zoo.core.encoding import encoded, write_rows
    from zoo.data.frames import read_frame
    from zoo.tasks.imputation import impute as imputed

    frame = read_frame(file)
    columns = [dataclasses.replace(column, missing=True) for column in model.data.columns]
    rows = encoded(frame, columns, str(file))
    given = context_of(model, context)
    if given is not None:
        given = for_rows(given, len(rows))
    elif model.context is not None:
        given = encoded(frame, model.context.columns, str(file))
    with waiting(f"drawing {int(np.isnan(rows).sum())} values from {model.name}"):
        filled = imputed(model, rows, context=given, num_steps=steps, seed=seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_rows(out, filled, model.data)
    print(out)
