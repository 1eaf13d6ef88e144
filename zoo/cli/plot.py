"""`zoo plot`: a run's history, and a model beside its data, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zoo.cli.app import EXIT_CODES, Context, app, loaded
from zoo.errors import InvalidInputError
from zoo.media.console import waiting

MOST_ROWS = 2000  # drawn of data and of samples
What = Literal["history", "pairs", "calibration", "traversal"]


@app.command(epilog=EXIT_CODES)
def plot(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A run's folder (its --out), or of `zoo list`.")
    ],
    what: Annotated[What, typer.Argument(help="The picture.")] = "history",
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="Rows to compare with; by default the test rows that are at hand."),
    ] = None,
    context: Context = None,
    latents: Annotated[str, typer.Option(help="Of a traversal, by their numbers: 0,3,7.")] = "",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The PNG; WHAT.png in the folder without.")
    ] = None,
) -> None:
    """Draw a picture of a run or a model, by Matplotlib.

    history: losses, bits/dim, learning rate and speed, while it trains or after. pairs: columns of
    the data and of samples. calibration: how often rows lie below the model's quantiles, column by
    column and, of a flow, latent by latent. traversal: what becomes of a row as a latent moves.

    Example: zoo plot runs/mine pairs
    """
    from zoo.media import plots

    target = out or _folder(name) / f"{what}.png"
    if what == "history":
        print(plots.history(name, target))
        return
    model = loaded(name)
    from zoo.evaluation import figures

    with waiting(f"drawing {target}"):
        if what == "traversal":
            _traversal(model, latents, context, target)
        else:
            rows, given = _rows(name, data, model, context)
            drawn = figures.pairs if what == "pairs" else figures.calibration
            drawn(model, rows, given, target)
    print(target)


def _folder(name: str) -> Path:
    return Path(name) if Path(name).is_dir() else Path()


def _rows(name: str, path: Path | None, model: Any, context: str | None) -> tuple[Any, Any]:
    """At most MOST_ROWS rows and their contexts."""
    from zoo.cli.tables import reference_rows

    rows, given = reference_rows(name, path, model, context, option="--data")
    if rows[0].ndim != 1 or model.data.medium != "features":
        raise InvalidInputError(
            f"{name} has rows {list(model.data.shape)}: pairs and calibration are of tables."
        )
    return rows[:MOST_ROWS], None if given is None else given[:MOST_ROWS]


def _traversal(model: Any, latents: str, context: str | None, target: Path) -> None:
    from zoo.cli.contexts import context_of
    from zoo.evaluation import figures

    try:
        chosen = [int(text) for text in latents.split(",") if text.strip()]
    except ValueError:
        raise InvalidInputError(f"Expected --latents 0,3,7; got {latents!r}.") from None
    figures.traversal(model, target, latents=chosen, context=context_of(model, context))
