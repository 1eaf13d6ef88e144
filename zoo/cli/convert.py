"""`zoo convert`: weights of other libraries as a checkpoint folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from zoo.cli.app import EXIT_CODES, app
from zoo.errors import InvalidInputError
from zoo.media.console import import_tensorflow, waiting
from zoo.store.folder import CONFIG_FILE, save_checkpoint


@app.command(epilog=EXIT_CODES)
def convert(
    file: Annotated[
        Path,
        typer.Argument(help="flow.state_dict() as .safetensors, .npz or, with PyTorch, .pt."),
    ],
    *,
    source: Annotated[
        Literal["nflows", "zuko"], typer.Option("--from", help="The library that wrote it.")
    ],
    family: Annotated[
        Literal["maf", "nsf", "coupling"],
        typer.Option(help="Affine autoregressive steps, splines, or affine couplings."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The checkpoint folder to write.")],
    activation: Annotated[str, typer.Option(help="Of the networks.")] = "relu",
    tail_bound: Annotated[
        float | None, typer.Option(help="Of splines; nflows has to be told, zuko's is 5.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="ROWS.npz",
            help="Rows x and their log_prob by the source: what differs is not written.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a checkpoint that lies there.")
    ] = False,
) -> None:
    """Make a checkpoint of the weights of an nflows or zuko flow: the same densities.

    Every command and zoo.load take the folder.

    Example: zoo convert flow.safetensors --from nflows --family nsf --tail-bound 3 -o runs/mine
    """
    if (out / CONFIG_FILE).exists() and not overwrite:
        raise InvalidInputError(f"{out} holds a checkpoint: give another -o, or --overwrite.")
    import_tensorflow()
    from zoo import converting

    with waiting(f"converting {file.name}"):
        model = converting.convert(
            file, source=source, family=family, activation=activation, tail_bound=tail_bound
        )
        found = f", log_prob within {converting.check_rows(model, check):.1g}" if check else ""
        save_checkpoint(out, model, family=model.family)
    kinds = [step.kind for step in model.config.steps]
    told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    print(f"{out}: {model.count_params():,} weights in {told}{found}")
