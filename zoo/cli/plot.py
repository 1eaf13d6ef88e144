"""`zoo plot`: the history of a run as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.app import EXIT_CODES, app


@app.command(epilog=EXIT_CODES)
def plot(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder (its --out).")],
    *,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The PNG; DIR/history.png without.")
    ] = None,
) -> None:
    """Draw a run's losses, bits/dim, learning rate and speed, while it trains or after.

    Example: zoo plot runs/nice_mnist
    """
    from zoo.media import plots

    print(plots.plot(folder, out or ""))
