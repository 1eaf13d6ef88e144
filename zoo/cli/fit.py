"""`zoo fit`: a model of a table, of pictures or of clips of your own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zoo.cli.app import EXIT_CODES, SIGNALLED, app, complaining
from zoo.cli.train import Assignments, print_result, training_display
from zoo.errors import InvalidInputError
from zoo.media.console import columns as aligned
from zoo.media.console import figure, import_tensorflow


@app.command(epilog=EXIT_CODES)
def fit(
    data: Annotated[
        Path,
        typer.Argument(
            help="A table, .csv, .tsv or .parquet with names, .npy or .npz; or a folder of "
            "pictures, or of .wav and .flac clips."
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run.")],
    family: Annotated[
        str, typer.Option(help="One that can learn from such rows: maf, nsf, realnvp, …")
    ] = "",
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
        str,
        typer.Option(
            help="Columns that the row is conditioned on, region,year; of files their subfolder: "
            "folder."
        ),
    ] = "",
    drop: Annotated[str, typer.Option(help="Columns to leave out: id,note.")] = "",
    split: Annotated[
        str,
        typer.Option(
            help="Of a table: rows (at random, by content), time:COLUMN (the last 10 % are the "
            "test), or a column that holds train, validation and test."
        ),
    ] = "",
    missing: Annotated[
        Literal["refuse", "marginalise"] | None,
        typer.Option(help="Missing cells: an error, or left out of the likelihood."),
    ] = None,
    size: Annotated[
        str, typer.Option(help="Of pictures: 32 or WIDTHxHEIGHT; else by the pictures' own.")
    ] = "",
    mode: Annotated[
        Literal["auto", "grey", "rgb"] | None,
        typer.Option(help="Of pictures; auto is grey where none has a colour."),
    ] = None,
    rate: Annotated[
        int | None, typer.Option(min=100, help="Samples per second of clips; else 8000 at most.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.01, help="Of a clip; else the longest file's, at most 1.")
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out files that cannot be read.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.0, help="Of the training, at most: as many epochs as it holds."),
    ] = None,
    assignments: Assignments = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the run.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run stopped, by its own rows.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that holds something else.")
    ] = False,
) -> None:
    """Train a model of your own data; the folder is what every other command takes.

    The kinds of a table's columns are told from their values; pictures are brought to one size,
    clips to one rate and length. Rows are split into train, validation and test rows, and training
    ends when the validation rows gain nothing. At the end the test rows are scored beside simple
    models.

    Example: zoo fit table.csv --out runs/mine --type hour=circular:24 --context region
    """
    given: dict[str, Any] = {
        "kinds": _kinds(kinds or []),
        "family": family,
        "context": _names(context),
        "drop": _names(drop),
        "split": split,
        "missing": missing,
        "size": size,
        "mode": mode,
        "rate": rate,
        "seconds": seconds,
        "skip_broken": skip_broken,
    }
    given = {name: value for name, value in given.items() if value}
    if resume and (given or assignments or overwrite):
        raise InvalidInputError(
            "A resumed run goes on by its own recipe, with its own rows: give --out and --minutes "
            "alone."
        )
    limit = math.inf if minutes is None else minutes
    import_tensorflow()
    from zoo.training import own_data

    with complaining(), training_display(out.name) as progress:
        if resume:
            result = own_data.resume(out, minutes=limit, progress=progress)
        else:
            result = own_data.train_on(
                data,
                out,
                minutes=limit,
                assignments=assignments or [],
                seed=seed,
                overwrite=overwrite,
                progress=progress,
                **given,
            )
    print_result(result)
    if result.best_step:
        with complaining():
            _print_figures(out)
    if result.reason.startswith("signal "):
        import signal

        raise typer.Exit(SIGNALLED + signal.Signals[result.reason.removeprefix("signal ")])


def _kinds(texts: list[str]) -> dict[str, str]:
    given = {}
    for text in texts:
        column, separator, kind = text.partition("=")
        if not separator:
            raise InvalidInputError(f"Expected --type COLUMN=KIND; got {text!r}.")
        given[column] = kind
    return given


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _print_figures(folder: Path) -> None:
    """What became of the data, and the test rows' score beside simple models'."""
    from zoo import loading
    from zoo.core.metric import METRICS
    from zoo.core.recipe_json import from_dict
    from zoo.evaluation import baselines, evaluate
    from zoo.store.files import read_json, write_json_atomic
    from zoo.store.folder import BASELINES_FILE, METRICS_FILE, RECIPE_FILE

    model = loading.load(folder)
    recipe = from_dict(read_json(folder / RECIPE_FILE))
    _print_rows(model, recipe.dataset)
    result = evaluate(folder, out=folder / METRICS_FILE)
    found = baselines.of_rows(recipe.dataset, model.data)
    others = {name: value for name, value in found.items() if isinstance(value, dict)}
    if found:
        write_json_atomic(folder / BASELINES_FILE, found)
    shared = [name for name in result["metrics"] if all(name in value for value in others.values())]
    metric = shared[0] if shared else next(iter(result["metrics"]))
    print(f"{result['count']:,} test rows, {METRICS[metric].unit} ({result['protocol']})")
    lines = [("this model", figure(result["metrics"][metric]))]
    lines += [(name.replace("_", " "), figure(value[metric])) for name, value in others.items()]
    print(aligned(lines, right={1}, indent="  "))


def _print_rows(model: Any, dataset: Any) -> None:
    """A table's columns, or how files became rows."""
    if model.data.columns:
        context = () if model.context is None else model.context.columns
        shown = [("column", "kind", ""), *((c.name, c.kind, "context") for c in context)]
        shown += [(c.name, c.kind, "heavy tails" if c.heavy else "") for c in model.data.columns]
        print(aligned(shown, indent="  "))
        return
    print(dataset.account)
    for label, name in enumerate(dataset.classes):
        print(f"  --context {label}: {name}")
