"""`zoo fit`: a model of a table of your own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from zoo.cli.app import EXIT_CODES, app, complaining
from zoo.cli.train import Assignments, print_result, training_display
from zoo.errors import InvalidInputError
from zoo.media.console import columns as aligned
from zoo.media.console import import_tensorflow


@app.command(epilog=EXIT_CODES)
def fit(
    table: Annotated[
        Path, typer.Argument(help="A .csv, .tsv or .parquet file with names, a .npy or .npz.")
    ],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run.")],
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="COLUMN=KIND",
            help="real, positive, bounded:0:1, circular:24, count, integer, category, boolean or "
            "date; may be repeated.",
        ),
    ] = None,
    context: Annotated[
        str, typer.Option(help="Columns that the row is conditioned on: region,year.")
    ] = "",
    drop: Annotated[str, typer.Option(help="Columns to leave out: id,note.")] = "",
    split: Annotated[
        str,
        typer.Option(
            help="rows (at random, by content), time:COLUMN (the last 10 % are the test), or a "
            "column that holds train, validation and test."
        ),
    ] = "rows",
    missing: Annotated[
        Literal["refuse", "marginalise"],
        typer.Option(help="Missing cells: an error, or left out of the likelihood."),
    ] = "refuse",
    minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Stop the training after this time.")
    ] = None,
    assignments: Assignments = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the run.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that holds something else.")
    ] = False,
) -> None:
    """Train a model of your own table; the folder is what every other command takes.

    The kinds of the columns are told from their values, and shown. Rows are split into train,
    validation and test rows; training ends when the validation rows gain nothing. At the end the
    test rows are scored beside a Gaussian of the columns.

    Example: zoo fit table.csv --out runs/mine --type hour=circular:24 --context region
    """
    given = {}
    for text in kinds or []:
        column, separator, kind = text.partition("=")
        if not separator:
            raise InvalidInputError(f"Expected --type COLUMN=KIND; got {text!r}.")
        given[column] = kind
    import_tensorflow()
    from zoo.training import own_data

    with complaining(), training_display(out.name) as progress:
        result = own_data.fit_table(
            table,
            out,
            kinds=given,
            context=_names(context),
            drop=_names(drop),
            split=split,
            missing=missing,
            minutes=math.inf if minutes is None else minutes,
            assignments=assignments or [],
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
    print_result(result)
    _print_figures(out)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _print_figures(folder: Path) -> None:
    """The columns as they were told, and the test rows' score beside a baseline's."""
    from zoo import loading
    from zoo.core.recipe_json import from_dict
    from zoo.evaluation import baselines, evaluate
    from zoo.store.files import read_json, write_json_atomic
    from zoo.store.folder import BASELINES_FILE, METRICS_FILE, RECIPE_FILE

    model = loading.load(folder)
    shown = [("column", "kind", "")]
    shown += [(c.name, c.kind, "context") for c in model.config.context_columns]
    shown += [(c.name, c.kind, "heavy tails" if c.heavy else "") for c in model.config.columns]
    print(aligned(shown, indent="  "))
    result = evaluate(folder, out=folder / METRICS_FILE)
    print(f"{result['count']:,} test rows, nats per row ({result['protocol']})")
    figure = result["metrics"]["log_prob"]
    lines = [("this model", f"{figure['value']:.3f} ± {figure['two_standard_errors']:.3f}")]
    recipe = from_dict(read_json(folder / RECIPE_FILE))
    found = baselines.of_table(recipe.dataset, model.config.columns)
    write_json_atomic(folder / BASELINES_FILE, found)
    for name, value in found.items():
        if not isinstance(value, dict):
            continue
        score = value["log_prob"]
        lines.append((name, f"{score['value']:.3f} ± {score['two_standard_errors']:.3f}"))
    print(aligned(lines, right={1}, indent="  "))
