"""`zoo ask`: the density of one column of a table, given others."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.app import EXIT_CODES, Context, Name, app, loaded
from zoo.cli.contexts import context_of
from zoo.errors import InvalidInputError
from zoo.media.console import waiting

Given = Annotated[
    list[str] | None,
    typer.Option("--given", metavar="COLUMN=VALUE", help="Of another column; may be repeated."),
]


@app.command(epilog=EXIT_CODES)
def ask(
    name: Name,
    column: Annotated[str, typer.Argument(help="The column that is asked for.")],
    *,
    given: Given = None,
    at: Annotated[str, typer.Option(help="Values of the column, 1,2,3; a grid without.")] = "",
    context: Context = None,
) -> None:
    """Print p(COLUMN | given) on a grid, as CSV: a density, or probabilities of a discrete column.

    By the model's own order of columns, or by integration over those that are not given; a question
    that neither answers is refused.

    Example: zoo ask runs/mine size --given region=south
    """
    from zoo.tasks.conditionals import conditional

    known = {}
    for text in given or []:
        key, separator, value = text.partition("=")
        if not separator:
            raise InvalidInputError(f"Expected --given COLUMN=VALUE; got {text!r}.")
        known[key.strip()] = value.strip()
    grid = [value.strip() for value in at.split(",") if value.strip()] or None
    model = loaded(name)
    with waiting(f"asking {name}"):
        found = conditional(model, column, known, grid=grid, context=context_of(model, context))
    print(found.to_csv(index=False), end="")
